// Deployment: one ReplicaSet per pod template, replaced step by step.
import { canonicalJson, hash32 } from '@axoneme/std';
import type { KubeObject } from '../apiserver/types.ts';
import { DEPLOYMENTS, REPLICA_SETS } from '../client/kinds.ts';
import { ignoreNotFound } from '../client/kube-client.ts';
import { isTerminating, keyOf, nameOf, nsOf, ownedBy, ownerRef, splitKey } from '../client/object.ts';
import { markOwner } from './pods.ts';
import { type Controller, type ControllerDeps, createReconciler } from './reconciler.ts';
import { type DeploymentSpec, type ReplicaSetSpec, scaled, specOf } from './shapes.ts';
import { conditions, writeStatus } from './status.ts';

const HASH_LABEL = 'pod-template-hash';
const REVISION = 'deployment.kubernetes.io/revision';
const HISTORY = 10;
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** Ten letters from the template's content, as pods of Deployments carry in their names. */
export function templateHash(template: unknown): string {
  let n = (BigInt(hash32(canonicalJson(template), 'a')) << 32n) | BigInt(hash32(canonicalJson(template), 'b'));
  let out = '';
  for (let i = 0; i < 10; i++) {
    out += ALPHABET[Number(n % 27n)];
    n /= 27n;
  }
  return out;
}

interface RsView {
  readonly rs: KubeObject;
  readonly wanted: number;
  readonly replicas: number;
  readonly ready: number;
}

const view = (rs: KubeObject): RsView => {
  const status = (rs.status ?? {}) as { replicas?: number; readyReplicas?: number };
  return { rs, wanted: specOf<ReplicaSetSpec>(rs).replicas ?? 1, replicas: status.replicas ?? 0, ready: status.readyReplicas ?? 0 };
};

export interface Step {
  readonly current: number;
  /** New size per old set, in the given order. */
  readonly old: readonly number[];
}

/** The next sizes of a rolling update: never above replicas + surge, never fewer ready than replicas - unavailable. Pure. */
export function rollingStep(
  replicas: number,
  current: Omit<RsView, 'rs'>,
  old: readonly Omit<RsView, 'rs'>[],
  surge: number,
  unavailable: number,
): Step {
  const total = current.wanted + old.reduce((n, o) => n + o.wanted, 0);
  const room = Math.max(0, replicas + surge - total);
  const grown = current.wanted > replicas ? replicas : Math.min(replicas, current.wanted + room);
  let spare = current.ready + old.reduce((n, o) => n + Math.min(o.ready, o.wanted), 0) - Math.max(0, replicas - unavailable);
  const shrunk = old.map((o) => {
    const sick = Math.max(0, o.wanted - o.ready);
    const down = Math.min(o.wanted, sick + Math.max(0, spare));
    spare -= Math.max(0, down - sick);
    return o.wanted - down;
  });
  return { current: grown, old: shrunk };
}

export function createDeploymentController(d: ControllerDeps): Controller {
  const deployments = d.caches.of(DEPLOYMENTS);
  const sets = d.caches.of(REPLICA_SETS);

  const revisionOf = (o: KubeObject): number => Number(o.metadata.annotations?.[REVISION] ?? 0);

  async function newSet(dep: KubeObject, spec: DeploymentSpec, hash: string, revision: number): Promise<KubeObject> {
    const labels = { ...spec.template.metadata?.labels, [HASH_LABEL]: hash };
    const made = await d.client.create(REPLICA_SETS, {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: {
        name: `${nameOf(dep)}-${hash}`,
        namespace: nsOf(dep),
        labels,
        annotations: { [REVISION]: String(revision) },
        ownerReferences: [ownerRef(dep, 'apps/v1', 'Deployment')],
      },
      spec: {
        replicas: 0,
        selector: { ...spec.selector, matchLabels: { ...spec.selector.matchLabels, [HASH_LABEL]: hash } },
        template: { ...structuredClone(spec.template), metadata: { ...structuredClone(spec.template.metadata ?? {}), labels } },
      },
    });
    await sets.settle(made);
    return made;
  }

  async function resize(v: RsView, replicas: number): Promise<void> {
    if (v.wanted === replicas) return;
    await sets.settle(await d.client.patch(REPLICA_SETS, nsOf(v.rs), nameOf(v.rs), 'merge', { spec: { replicas } }));
  }

  /** The set of the current template, its revision raised to the newest (a rollback reuses an old set). */
  async function currentSet(dep: KubeObject, spec: DeploymentSpec, owned: readonly KubeObject[]): Promise<KubeObject> {
    const hash = templateHash(spec.template);
    const newest = Math.max(0, ...owned.map(revisionOf));
    const held = owned.find((rs) => rs.metadata.labels?.[HASH_LABEL] === hash);
    let revision = newest;
    let rs = held;
    if (held === undefined) {
      revision = newest + 1;
      rs = await newSet(dep, spec, hash, revision);
    } else if (revisionOf(held) < newest) {
      revision = newest + 1;
      rs = await d.client.patch(REPLICA_SETS, nsOf(held), nameOf(held), 'merge', {
        metadata: { annotations: { [REVISION]: String(revision) } },
      });
      await sets.settle(rs);
    }
    if (revisionOf(dep) !== revision) {
      const next = await d.client.patch(DEPLOYMENTS, nsOf(dep), nameOf(dep), 'merge', {
        metadata: { annotations: { [REVISION]: String(revision) } },
      });
      await deployments.settle(next);
    }
    return rs as KubeObject;
  }

  async function roll(spec: DeploymentSpec, current: RsView, old: readonly RsView[]): Promise<void> {
    const replicas = spec.replicas ?? 1;
    if (spec.strategy?.type === 'Recreate') {
      await Promise.all(old.map((o) => resize(o, 0)));
      if (old.every((o) => o.replicas === 0)) await resize(current, replicas);
      return;
    }
    const rolling = spec.strategy?.rollingUpdate;
    const surge = scaled(rolling?.maxSurge, replicas, '25%', true);
    const unavailable = scaled(rolling?.maxUnavailable, replicas, '25%', false);
    const step = rollingStep(replicas, current, old, surge, surge === 0 && unavailable === 0 ? 1 : unavailable);
    await resize(current, step.current);
    await Promise.all(old.map((o, i) => resize(o, step.old[i] ?? 0)));
  }

  function statusOf(dep: KubeObject, spec: DeploymentSpec, owned: readonly KubeObject[], current: KubeObject): Record<string, unknown> {
    const replicas = spec.replicas ?? 1;
    const views = owned.map((o) => view(sets.get(nsOf(o), nameOf(o)) ?? o));
    const sum = (f: (v: RsView) => number): number => views.reduce((n, v) => n + f(v), 0);
    const total = sum((v) => v.replicas);
    const ready = sum((v) => v.ready);
    const updated = views.find((v) => nameOf(v.rs) === nameOf(current));
    const least = replicas - scaled(spec.strategy?.rollingUpdate?.maxUnavailable, replicas, '25%', false);
    const complete = updated?.replicas === replicas && total === replicas && ready === replicas;
    const available = ready >= least;
    return {
      observedGeneration: dep.metadata.generation ?? 1,
      replicas: total,
      updatedReplicas: updated?.replicas ?? 0,
      readyReplicas: ready,
      availableReplicas: ready,
      ...(replicas > ready ? { unavailableReplicas: Math.max(0, Math.max(total, replicas) - ready) } : {}),
      conditions: conditions(
        dep,
        [
          {
            type: 'Available',
            status: available,
            reason: available ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
            message: available ? 'Deployment has minimum availability.' : 'Deployment does not have minimum availability.',
          },
          {
            type: 'Progressing',
            status: true,
            reason: complete ? 'NewReplicaSetAvailable' : 'ReplicaSetUpdated',
            message: `ReplicaSet "${nameOf(current)}" ${complete ? 'has successfully progressed' : 'is progressing'}.`,
          },
        ],
        d.clock.nowMs(),
      ),
    };
  }

  async function forget(spec: DeploymentSpec, old: readonly RsView[]): Promise<void> {
    const empty = old.filter((o) => o.wanted === 0 && o.replicas === 0).sort((a, b) => revisionOf(b.rs) - revisionOf(a.rs));
    for (const o of empty.slice(spec.revisionHistoryLimit ?? HISTORY))
      await ignoreNotFound(d.client.delete(REPLICA_SETS, nsOf(o.rs), nameOf(o.rs)));
  }

  async function reconcile(key: string): Promise<void> {
    await Promise.all([deployments.synced(), sets.synced()]);
    const dep = deployments.get(...splitKey(key));
    if (dep === undefined || isTerminating(dep)) return;
    const spec = specOf<DeploymentSpec>(dep);
    const owned = sets.inNamespace(nsOf(dep)).filter((rs) => ownedBy(rs, dep));
    const current = await currentSet(dep, spec, owned);
    const old = owned.filter((rs) => nameOf(rs) !== nameOf(current)).map(view);
    const now = view(sets.get(nsOf(current), nameOf(current)) ?? current);
    if (spec.paused !== true) await roll(spec, now, old);
    await forget(spec, old);
    const fresh = deployments.get(...splitKey(key));
    const all = sets.inNamespace(nsOf(dep)).filter((rs) => ownedBy(rs, dep));
    if (fresh !== undefined) await writeStatus(d, DEPLOYMENTS, fresh, statusOf(fresh, spec, all, current));
  }

  const queue = createReconciler('deployment', d, reconcile);
  const stops: (() => void)[] = [];
  return {
    name: 'deployment',
    start() {
      stops.push(deployments.listen((_, o) => queue.mark(keyOf(o))));
      stops.push(sets.listen(markOwner('Deployment', queue.mark)));
    },
    stop() {
      queue.stop();
      for (const s of stops) s();
    },
  };
}
