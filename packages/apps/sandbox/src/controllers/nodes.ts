// Pods of nodes that no longer exist: nobody else will remove them.

import { NODES, PODS } from '../client/kinds.ts';
import { ignoreNotFound } from '../client/kube-client.ts';
import { nameOf, nsOf } from '../client/object.ts';
import { type Controller, type ControllerDeps, createReconciler } from './reconciler.ts';
import { specOf } from './shapes.ts';

export function createNodeController(d: ControllerDeps): Controller {
  const nodes = d.caches.of(NODES);
  const pods = d.caches.of(PODS);
  const queue = createReconciler('node', d, async (name) => {
    await Promise.all([nodes.synced(), pods.synced()]);
    if (nodes.get('', name) !== undefined) return;
    for (const p of [...pods.all()].filter((x) => specOf<{ nodeName?: string }>(x).nodeName === name)) {
      await ignoreNotFound(d.client.delete(PODS, nsOf(p), nameOf(p), { gracePeriodSeconds: 0 }));
    }
  });
  const stops: (() => void)[] = [];
  return {
    name: 'node',
    start() {
      stops.push(
        nodes.listen((type, o) => {
          if (type === 'DELETED') queue.mark(nameOf(o));
        }),
      );
    },
    stop() {
      queue.stop();
      for (const s of stops) s();
    },
  };
}
