// Policy edits: from the API server's answer to the write until every node has acknowledged, told by the operator's own status;
// and until the object's status says so. Called by the cluster bench.
import type { AdminClient } from '@axoneme/stream';
import type { LooseObject } from 'kopf-ts';
import { type Cluster, kinds, NS, realNodes, until } from './cluster.ts';

export interface Edit {
  readonly ackedMs: number;
  /** The condition Enforced of this generation, as a watcher of the object sees it. */
  readonly enforcedMs: number;
}

const APP = 'probe';
const POLL_MS = 2;
const TIMEOUT_MS = 60_000;

interface Policy extends LooseObject {
  readonly status?: {
    readonly revision?: number;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly observedGeneration?: number }[];
  };
}
interface Pod extends LooseObject {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

const spec = (port: number) => ({
  endpointSelector: { matchLabels: { app: APP } },
  ingress: [{ fromEndpoints: [{ matchLabels: { app: APP } }], toPorts: [{ ports: [{ port: String(port), protocol: 'TCP' }] }] }],
});

/** One selected pod on every node, so that every edit concerns all of them. */
export async function prepareEdits(c: Cluster): Promise<void> {
  for (const n of c.nodes) {
    await c.kube.create(kinds.pods, {
      metadata: { name: `${APP}-${n.name}`, namespace: NS, labels: { app: APP } },
      spec: {
        nodeName: n.name,
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'pause', image: 'pause', command: ['sleep', 'infinity'] }],
      },
    } as LooseObject);
  }
  await until('the probes are ready', TIMEOUT_MS, 100, async () => {
    const { items } = await c.kube.list<Pod>(kinds.pods, { namespace: NS, labelSelector: `app=${APP}` });
    return items.every((p) => p.status?.conditions?.some((x) => x.type === 'Ready' && x.status === 'True')) ? true : undefined;
  });
  await c.kube.create(kinds.policies, { metadata: { name: APP, namespace: NS }, spec: spec(80) } as LooseObject);
}

interface Seen {
  readonly atMs: number;
  readonly revision: number;
}

const enforced = (p: Policy, generation: number): boolean =>
  p.status?.conditions?.some((x) => x.type === 'Enforced' && x.status === 'True' && x.observedGeneration === generation) === true;

/** Follows the policy object; `next` resolves when the generation is enforced. */
async function followPolicy(c: Cluster): Promise<{ next(generation: number): Promise<Seen>; stop(): void }> {
  const life = new AbortController();
  const seen = new Map<number, Seen>();
  const waiting = new Map<number, (s: Seen) => void>();
  const take = (p: Policy): void => {
    const generation = p.metadata.generation ?? 0;
    if (p.metadata.name !== APP || seen.has(generation) || !enforced(p, generation)) return;
    const s = { atMs: performance.now(), revision: p.status?.revision ?? 0 };
    seen.set(generation, s);
    waiting.get(generation)?.(s);
  };
  const { items, resourceVersion } = await c.kube.list<Policy>(kinds.policies, { namespace: NS });
  items.forEach(take);
  const done = c.kube.watch<Policy>(kinds.policies, { namespace: NS, resourceVersion, signal: life.signal }, (e) => take(e.object));
  done.catch(() => undefined); // a watch that broke shows as an edit that is never enforced
  return {
    next: (generation) =>
      new Promise((resolve) => (seen.has(generation) ? resolve(seen.get(generation)!) : waiting.set(generation, resolve))),
    stop: () => life.abort(),
  };
}

/** Every state of the acknowledgements since it was started: revision that all nodes have, and when. */
function pollAcks(c: Cluster, admin: AdminClient): { readonly seen: readonly Seen[]; stop(): Promise<void> } {
  const seen: Seen[] = [];
  let running = true;
  const loop = async (): Promise<void> => {
    while (running) {
      const revision = Math.min(...realNodes(c, await admin.getStatus()).map((n) => n.ackedRevision));
      if (seen.at(-1)?.revision !== revision) seen.push({ atMs: performance.now(), revision });
      await new Promise((r) => setTimeout(r, POLL_MS));
    }
  };
  const ended = loop();
  return {
    seen,
    stop() {
      running = false;
      return ended;
    },
  };
}

async function editOnce(c: Cluster, admin: AdminClient, port: number, follow: { next(generation: number): Promise<Seen> }): Promise<Edit> {
  const acks = pollAcks(c, admin);
  const patch = { type: 'merge', body: { spec: spec(port) } } as const;
  const { metadata } = await c.kube.patch<Policy>(kinds.policies, { namespace: NS, name: APP }, patch);
  const accepted = performance.now();
  const end = await follow.next(metadata.generation ?? 0);
  await acks.stop();
  // the status cannot say so before the acknowledgement; the poll may just have missed it
  const acked = acks.seen.find((s) => s.revision >= end.revision)?.atMs ?? end.atMs;
  return { ackedMs: acked - accepted, enforcedMs: end.atMs - accepted };
}

export async function measureEdits(c: Cluster, count: number, firstPort: number): Promise<readonly Edit[]> {
  const admin = await c.admin();
  const follow = await followPolicy(c);
  const edits: Edit[] = [];
  try {
    for (let i = 0; i < count; i++) edits.push(await editOnce(c, admin, firstPort + i, follow));
  } finally {
    follow.stop();
    admin.close();
  }
  return edits;
}
