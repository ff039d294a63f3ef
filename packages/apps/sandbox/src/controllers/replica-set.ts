// ReplicaSet: as many pods as asked for.
import type { KubeObject } from '../apiserver/types.ts';
import { PODS, REPLICA_SETS } from '../client/kinds.ts';
import { isTerminating, keyOf, splitKey } from '../client/object.ts';
import { createPod, deletePod, markOwner, ownedPods } from './pods.ts';
import { type Controller, type ControllerDeps, createReconciler } from './reconciler.ts';
import { isActive, isReady, type ReplicaSetSpec, specOf } from './shapes.ts';
import { writeStatus } from './status.ts';

const BURST = 100;

/** Who goes first when there are too many: not scheduled, not ready, youngest. */
function byDispensability(a: KubeObject, b: KubeObject): number {
  const rank = (p: KubeObject): number => ((p.spec as { nodeName?: string }).nodeName === undefined ? 0 : isReady(p) ? 2 : 1);
  const born = (p: KubeObject): string => p.metadata.creationTimestamp ?? '';
  return rank(a) - rank(b) || (born(a) < born(b) ? 1 : -1);
}

export function createReplicaSetController(d: ControllerDeps): Controller {
  const pods = d.caches.of(PODS);
  const sets = d.caches.of(REPLICA_SETS);

  async function scale(rs: KubeObject, spec: ReplicaSetSpec): Promise<void> {
    const active = ownedPods(pods, rs).filter(isActive);
    const missing = (spec.replicas ?? 1) - active.length;
    const make = { owner: rs, apiVersion: 'apps/v1', kind: 'ReplicaSet', template: spec.template };
    if (missing > 0) await Promise.all(Array.from({ length: Math.min(missing, BURST) }, () => createPod(d, make)));
    if (missing < 0)
      await Promise.all(
        [...active]
          .sort(byDispensability)
          .slice(0, -missing)
          .map((p) => deletePod(d, p)),
      );
  }

  async function reconcile(key: string): Promise<void> {
    await Promise.all([pods.synced(), sets.synced()]);
    const rs = sets.get(...splitKey(key));
    if (rs === undefined) return;
    const spec = specOf<ReplicaSetSpec>(rs);
    if (!isTerminating(rs)) await scale(rs, spec);
    const active = ownedPods(pods, rs).filter(isActive);
    const ready = active.filter(isReady).length;
    await writeStatus(d, REPLICA_SETS, rs, {
      replicas: active.length,
      fullyLabeledReplicas: active.length,
      readyReplicas: ready,
      availableReplicas: ready,
      observedGeneration: rs.metadata.generation ?? 1,
    });
  }

  const queue = createReconciler('replicaset', d, reconcile);
  const stops: (() => void)[] = [];
  return {
    name: 'replicaset',
    start() {
      stops.push(sets.listen((_, o) => queue.mark(keyOf(o))));
      stops.push(pods.listen(markOwner('ReplicaSet', queue.mark)));
    },
    stop() {
      queue.stop();
      for (const s of stops) s();
    },
  };
}
