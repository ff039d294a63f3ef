// Pods of nodes that no longer exist: nobody else will remove them. And the taint that a real API server's admission puts on every
// new node until a controller finds it ready.
import type { KubeObject } from '../apiserver/types.ts';
import { NODES, PODS } from '../client/kinds.ts';
import { ignoreNotFound } from '../client/kube-client.ts';
import { nameOf, nsOf } from '../client/object.ts';
import { NOT_READY, nodeReady } from './placement.ts';
import { type Controller, type ControllerDeps, createReconciler } from './reconciler.ts';
import { specOf, type Taint } from './shapes.ts';

export function createNodeController(d: ControllerDeps): Controller {
  const nodes = d.caches.of(NODES);
  const pods = d.caches.of(PODS);

  async function admit(node: KubeObject): Promise<void> {
    const taints = (node.spec as { taints?: readonly Taint[] } | undefined)?.taints ?? [];
    const rest = taints.filter((t) => t.key !== NOT_READY.key);
    if (!nodeReady(node) || rest.length === taints.length) return;
    const metadata = { resourceVersion: node.metadata.resourceVersion };
    await ignoreNotFound(d.client.patch(NODES, '', nameOf(node), 'merge', { metadata, spec: { taints: rest } }));
  }

  const queue = createReconciler('node', d, async (name) => {
    await Promise.all([nodes.synced(), pods.synced()]);
    const node = nodes.get('', name);
    if (node !== undefined) return admit(node);
    for (const p of [...pods.all()].filter((x) => specOf<{ nodeName?: string }>(x).nodeName === name)) {
      await ignoreNotFound(d.client.delete(PODS, nsOf(p), nameOf(p), { gracePeriodSeconds: 0 }));
    }
  });
  const stops: (() => void)[] = [];
  return {
    name: 'node',
    start() {
      stops.push(nodes.listen((_, o) => queue.mark(nameOf(o))));
    },
    stop() {
      queue.stop();
      for (const s of stops) s();
    },
  };
}
