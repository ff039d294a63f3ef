// The scheduler: binds pods to the emptiest node that takes them, pods of one owner apart.
import type { KubeObject } from '../apiserver/types.ts';
import { NODES, PODS } from '../client/kinds.ts';
import { ignoreNotFound } from '../client/kube-client.ts';
import { controllerOf, isTerminating, keyOf, nameOf, nowIso, nsOf, splitKey } from '../client/object.ts';
import { conditionsOf } from '../kubelet/pod-types.ts';
import { hasNeighbour, type Neighbour, type PlacementSpec, selectsNode, untolerated } from './placement.ts';
import { type Controller, type ControllerDeps, createReconciler } from './reconciler.ts';
import { isFinished, specOf } from './shapes.ts';

const nodeNameOf = (pod: KubeObject): string => specOf<PlacementSpec>(pod).nodeName ?? '';

const hostPorts = (spec: PlacementSpec): string[] =>
  (spec.containers ?? [])
    .flatMap((c) => c.ports ?? [])
    .filter((p) => p.hostPort !== undefined && p.hostPort > 0)
    .map((p) => `${p.protocol ?? 'TCP'}/${p.hostPort}`);

/** The reason the pod cannot go to the node, or undefined. */
function obstacle(pod: KubeObject, node: KubeObject, others: readonly Neighbour[]): string | undefined {
  const spec = specOf<PlacementSpec>(pod);
  if (!selectsNode(spec, node)) return "node(s) didn't match Pod's node affinity/selector";
  const taint = untolerated(spec, node);
  if (taint !== undefined) return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`;
  const wanted = hostPorts(spec);
  const here = others.filter((o) => o.node === node);
  if (wanted.length > 0 && here.some((o) => hostPorts(specOf(o.pod)).some((p) => wanted.includes(p))))
    return "node(s) didn't have free ports for the requested pod ports";
  const apart = spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  if (apart.some((t) => hasNeighbour(t, nsOf(pod), node, others))) return "node(s) didn't match pod anti-affinity rules";
  const together = spec.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  if (together.some((t) => !hasNeighbour(t, nsOf(pod), node, others))) return "node(s) didn't match pod affinity rules";
  return undefined;
}

/** The best node, or why none takes the pod. Pure. */
export function choose(
  pod: KubeObject,
  nodes: readonly KubeObject[],
  others: readonly Neighbour[],
): { readonly node: string } | { readonly why: string } {
  const owner = controllerOf(pod)?.uid;
  const reasons = new Map<string, number>();
  const candidates: { readonly name: string; readonly siblings: number; readonly pods: number }[] = [];
  for (const node of nodes) {
    const why = obstacle(pod, node, others);
    if (why !== undefined) {
      reasons.set(why, (reasons.get(why) ?? 0) + 1);
      continue;
    }
    const here = others.filter((o) => o.node === node);
    const siblings = owner === undefined ? 0 : here.filter((o) => controllerOf(o.pod)?.uid === owner).length;
    candidates.push({ name: nameOf(node), siblings, pods: here.length });
  }
  candidates.sort((a, b) => a.siblings - b.siblings || a.pods - b.pods || (a.name < b.name ? -1 : 1));
  const best = candidates[0];
  if (best !== undefined) return { node: best.name };
  const list = [...reasons].map(([why, n]) => `${n} ${why}`).join(', ');
  return { why: `0/${nodes.length} nodes are available: ${list || 'no nodes'}.` };
}

export function createScheduler(d: ControllerDeps): Controller {
  const pods = d.caches.of(PODS);
  const nodes = d.caches.of(NODES);
  const waiting = new Set<string>();

  async function reportUnschedulable(pod: KubeObject, why: string): Promise<void> {
    const old = conditionsOf(pod).find((c) => c.type === 'PodScheduled');
    if (old?.message === why) return;
    const condition = {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message: why,
      lastTransitionTime: nowIso(d.clock.nowMs()),
    };
    const body = { status: { phase: 'Pending', conditions: [condition] } };
    await ignoreNotFound(d.client.patch(PODS, nsOf(pod), nameOf(pod), 'strategic', body, { subresource: 'status' }));
  }

  async function reconcile(key: string): Promise<void> {
    await Promise.all([pods.synced(), nodes.synced()]);
    const pod = pods.get(...splitKey(key));
    if (pod === undefined || nodeNameOf(pod) !== '' || isTerminating(pod)) {
      waiting.delete(key);
      return;
    }
    const spec = specOf<PlacementSpec>(pod);
    if ((spec.schedulingGates?.length ?? 0) > 0 || (spec.schedulerName ?? 'default-scheduler') !== 'default-scheduler') return;
    const others: Neighbour[] = [];
    for (const p of pods.all()) {
      const node = nodeNameOf(p) === '' ? undefined : nodes.get('', nodeNameOf(p));
      if (node !== undefined && !isFinished(p)) others.push({ pod: p, node });
    }
    const choice = choose(pod, [...nodes.all()], others);
    if ('why' in choice) {
      waiting.add(key);
      return reportUnschedulable(pod, choice.why);
    }
    waiting.delete(key);
    await ignoreNotFound(d.client.bind(nsOf(pod), nameOf(pod), choice.node));
    await pods.settle(await d.client.get(PODS, nsOf(pod), nameOf(pod)));
  }

  // one at a time: each decision must see the one before
  let last: Promise<void> = Promise.resolve();
  const queue = createReconciler('scheduler', d, (key) => {
    const turn = last.then(() => reconcile(key));
    last = turn.catch(() => undefined);
    return turn;
  });
  const retryWaiting = (): void => {
    for (const key of waiting) queue.mark(key);
  };
  const stops: (() => void)[] = [];
  return {
    name: 'scheduler',
    start() {
      stops.push(
        pods.listen((type, pod) => {
          if (type === 'DELETED') retryWaiting();
          else if (nodeNameOf(pod) === '') queue.mark(keyOf(pod));
        }),
      );
      stops.push(nodes.listen(retryWaiting));
    },
    stop() {
      queue.stop();
      for (const s of stops) s();
    },
  };
}
