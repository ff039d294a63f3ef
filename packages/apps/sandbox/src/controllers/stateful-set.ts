// StatefulSet: pods with fixed names, in order. Volume claims become directories that live as long as the sandbox.
import type { KubeObject } from '../apiserver/types.ts';
import { PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS } from '../client/kinds.ts';
import { ignoreExists } from '../client/kube-client.ts';
import { isTerminating, keyOf, nameOf, nsOf, splitKey } from '../client/object.ts';
import { templateHash } from './deployment.ts';
import { createPod, deletePod, markOwner, ownedPods } from './pods.ts';
import { type Controller, type ControllerDeps, createReconciler } from './reconciler.ts';
import { isActive, isFinished, isReady, type StatefulSetSpec, specOf } from './shapes.ts';
import { writeStatus } from './status.ts';

const HASH_LABEL = 'controller-revision-hash';
const ordinalOf = (pod: KubeObject): number => Number(/-(\d+)$/.exec(nameOf(pod))?.[1] ?? -1);

export function createStatefulSetController(d: ControllerDeps): Controller {
  const sets = d.caches.of(STATEFUL_SETS);
  const pods = d.caches.of(PODS);

  async function claims(set: KubeObject, spec: StatefulSetSpec, name: string): Promise<readonly Record<string, unknown>[]> {
    const out: Record<string, unknown>[] = [];
    for (const t of spec.volumeClaimTemplates ?? []) {
      const claimName = `${t.metadata.name}-${name}`;
      const claim = {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: claimName, namespace: nsOf(set) },
        spec: t.spec ?? {},
      };
      await ignoreExists(d.client.create(PERSISTENT_VOLUME_CLAIMS, claim));
      out.push({ name: t.metadata.name, persistentVolumeClaim: { claimName } });
    }
    return out;
  }

  async function make(set: KubeObject, spec: StatefulSetSpec, ordinal: number, hash: string): Promise<void> {
    const name = `${nameOf(set)}-${ordinal}`;
    const volumes = [...(spec.template.spec.volumes ?? []), ...(await claims(set, spec, name))];
    await createPod(d, {
      owner: set,
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      template: spec.template,
      name,
      labels: { 'statefulset.kubernetes.io/pod-name': name, 'apps.kubernetes.io/pod-index': String(ordinal), [HASH_LABEL]: hash },
      spec: {
        hostname: name,
        ...(spec.serviceName === undefined ? {} : { subdomain: spec.serviceName }),
        ...(volumes.length === 0 ? {} : { volumes }),
      },
    });
  }

  /** One step towards the wanted state; with ordered management only one pod moves at a time. */
  async function step(set: KubeObject, spec: StatefulSetSpec, hash: string): Promise<void> {
    const parallel = spec.podManagementPolicy === 'Parallel';
    const replicas = spec.replicas ?? 1;
    const owned = new Map(ownedPods(pods, set).map((p) => [ordinalOf(p), p]));
    for (let i = 0; i < replicas; i++) {
      const p = owned.get(i);
      if (p === undefined) await make(set, spec, i, hash);
      else if (isFinished(p) && !isTerminating(p)) await deletePod(d, p);
      if (!parallel && (p === undefined || !isActive(p) || !isReady(p))) return;
    }
    const surplus = [...owned.values()].filter((p) => ordinalOf(p) >= replicas).sort((a, b) => ordinalOf(b) - ordinalOf(a));
    for (const p of parallel ? surplus : surplus.slice(0, 1)) if (!isTerminating(p)) await deletePod(d, p);
    if (surplus.length > 0 || spec.updateStrategy?.type === 'OnDelete') return;
    const all = [...owned.values()];
    const outdated = all.filter((p) => p.metadata.labels?.[HASH_LABEL] !== hash).sort((a, b) => ordinalOf(b) - ordinalOf(a))[0];
    if (outdated !== undefined && all.every((p) => p === outdated || isReady(p)) && !isTerminating(outdated)) await deletePod(d, outdated);
  }

  async function reconcile(key: string): Promise<void> {
    await Promise.all([sets.synced(), pods.synced()]);
    const set = sets.get(...splitKey(key));
    if (set === undefined || isTerminating(set)) return;
    const spec = specOf<StatefulSetSpec>(set);
    const hash = templateHash(spec.template);
    await step(set, spec, hash);
    const active = ownedPods(pods, set).filter(isActive);
    const updated = active.filter((p) => p.metadata.labels?.[HASH_LABEL] === hash).length;
    const ready = active.filter(isReady).length;
    await writeStatus(d, STATEFUL_SETS, set, {
      observedGeneration: set.metadata.generation ?? 1,
      replicas: active.length,
      readyReplicas: ready,
      availableReplicas: ready,
      currentReplicas: updated,
      updatedReplicas: updated,
      currentRevision: `${nameOf(set)}-${hash}`,
      updateRevision: `${nameOf(set)}-${hash}`,
      collisionCount: 0,
    });
  }

  const queue = createReconciler('statefulset', d, reconcile);
  const stops: (() => void)[] = [];
  return {
    name: 'statefulset',
    start() {
      stops.push(sets.listen((_, o) => queue.mark(keyOf(o))));
      stops.push(pods.listen(markOwner('StatefulSet', queue.mark)));
    },
    stop() {
      queue.stop();
      for (const s of stops) s();
    },
  };
}
