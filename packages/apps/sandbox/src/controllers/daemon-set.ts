// DaemonSet: one pod per node that takes it, replaced node by node when the template changes.
import type { KubeObject } from '../apiserver/types.ts';
import { DAEMON_SETS, NODES, PODS } from '../client/kinds.ts';
import { isTerminating, keyOf, nameOf, splitKey } from '../client/object.ts';
import { templateHash } from './deployment.ts';
import { type PlacementSpec, selectsNode, untolerated } from './placement.ts';
import { createPod, deletePod, markOwner, ownedPods } from './pods.ts';
import { type Controller, type ControllerDeps, createReconciler } from './reconciler.ts';
import { type DaemonSetSpec, isActive, isFinished, isReady, scaled, specOf, type Toleration } from './shapes.ts';
import { writeStatus } from './status.ts';

const HASH_LABEL = 'controller-revision-hash';
/** What every daemon tolerates: nodes that are not ready, not reachable, under pressure or cordoned. */
const TOLERATIONS: readonly Toleration[] = [
  'node.kubernetes.io/not-ready',
  'node.kubernetes.io/unreachable',
  'node.kubernetes.io/disk-pressure',
  'node.kubernetes.io/memory-pressure',
  'node.kubernetes.io/pid-pressure',
  'node.kubernetes.io/unschedulable',
  'node.kubernetes.io/network-unavailable',
].map((key) => ({ key, operator: 'Exists' }));

const nodeOf = (pod: KubeObject): string => specOf<PlacementSpec>(pod).nodeName ?? '';
const hashOf = (pod: KubeObject): string => pod.metadata.labels?.[HASH_LABEL] ?? '';

export function createDaemonSetController(d: ControllerDeps): Controller {
  const sets = d.caches.of(DAEMON_SETS);
  const pods = d.caches.of(PODS);
  const nodes = d.caches.of(NODES);

  const eligible = (spec: DaemonSetSpec): KubeObject[] => {
    const placement: PlacementSpec = {
      ...(spec.template.spec as PlacementSpec),
      tolerations: [...(spec.template.spec.tolerations ?? []), ...TOLERATIONS],
    };
    return [...nodes.all()].filter((n) => !isTerminating(n) && selectsNode(placement, n) && untolerated(placement, n) === undefined);
  };

  async function place(ds: KubeObject, spec: DaemonSetSpec, hash: string, wanted: ReadonlySet<string>): Promise<void> {
    const owned = ownedPods(pods, ds);
    const seen = new Set<string>();
    for (const p of owned) {
      const extra = !wanted.has(nodeOf(p)) || (seen.has(nodeOf(p)) && isActive(p));
      if ((extra || isFinished(p)) && !isTerminating(p)) await deletePod(d, p);
      else seen.add(nodeOf(p));
    }
    const tolerations = [...(spec.template.spec.tolerations ?? []), ...TOLERATIONS];
    const make = { owner: ds, apiVersion: 'apps/v1', kind: 'DaemonSet', template: spec.template, labels: { [HASH_LABEL]: hash } };
    await Promise.all([...wanted].filter((n) => !seen.has(n)).map((n) => createPod(d, { ...make, spec: { nodeName: n, tolerations } })));
  }

  /** Takes down outdated pods, as many at a time as may be unavailable. */
  async function replace(ds: KubeObject, spec: DaemonSetSpec, hash: string, nodeCount: number): Promise<void> {
    if (spec.updateStrategy?.type === 'OnDelete') return;
    const active = ownedPods(pods, ds).filter(isActive);
    const limit = Math.max(1, scaled(spec.updateStrategy?.rollingUpdate?.maxUnavailable, nodeCount, 1, true));
    const outdated = active.filter((p) => hashOf(p) !== hash);
    const sick = outdated.filter((p) => !isReady(p));
    let room = limit - (nodeCount - active.filter(isReady).length);
    const go = [...sick, ...outdated.filter(isReady).filter(() => room-- > 0)];
    await Promise.all(go.map((p) => deletePod(d, p)));
  }

  async function reconcile(key: string): Promise<void> {
    await Promise.all([sets.synced(), pods.synced(), nodes.synced()]);
    const ds = sets.get(...splitKey(key));
    if (ds === undefined || isTerminating(ds)) return;
    const spec = specOf<DaemonSetSpec>(ds);
    const hash = templateHash(spec.template);
    const wanted = new Set(eligible(spec).map(nameOf));
    await place(ds, spec, hash, wanted);
    await replace(ds, spec, hash, wanted.size);
    const active = ownedPods(pods, ds).filter((p) => isActive(p) && wanted.has(nodeOf(p)));
    const ready = active.filter(isReady).length;
    await writeStatus(d, DAEMON_SETS, ds, {
      currentNumberScheduled: active.length,
      desiredNumberScheduled: wanted.size,
      numberMisscheduled: 0,
      numberReady: ready,
      numberAvailable: ready,
      updatedNumberScheduled: active.filter((p) => hashOf(p) === hash).length,
      ...(wanted.size > ready ? { numberUnavailable: wanted.size - ready } : {}),
      observedGeneration: ds.metadata.generation ?? 1,
    });
  }

  const queue = createReconciler('daemonset', d, reconcile);
  const stops: (() => void)[] = [];
  return {
    name: 'daemonset',
    start() {
      stops.push(sets.listen((_, o) => queue.mark(keyOf(o))));
      stops.push(pods.listen(markOwner('DaemonSet', queue.mark)));
      stops.push(
        nodes.listen(() => {
          for (const o of sets.all()) queue.mark(keyOf(o));
        }),
      );
    },
    stop() {
      queue.stop();
      for (const s of stops) s();
    },
  };
}
