// What the operator link asks of this node: who it is and what it holds, apply a commit, how it feels. Called by the sync client of
// edges/stream, which owns connections, heartbeats and failover.
import type { KernelFeatures } from '@axoneme/bpf';
import { type ComponentHealth, digestToBytes, type Hello } from '@axoneme/proto';
import { type Log, ok } from '@axoneme/std';
import type { SyncHandlers } from '@axoneme/stream';
import type { Apply } from '../apply/apply.ts';
import { type ObjectSet, objectPrefix } from '../datapath/objects.ts';

export interface HandlerDeps {
  readonly nodeName: string;
  readonly build: string;
  readonly schemaDigest: string;
  readonly kernel: KernelFeatures;
  readonly apply: Apply;
  readonly objects: { readonly running: () => ObjectSet; readonly builtin: ObjectSet };
  readonly health: () => readonly ComponentHealth[];
  readonly pathMtu: () => { readonly own: number; readonly told: number };
  readonly log: Log;
}

const features = ['reports', 'relay', 'chunks', 'objects', 'l2-leases', 'probes'];

function kernelFacts(k: KernelFeatures): Hello['kernel'] {
  const named = Object.entries(k).filter(([, v]) => v === true);
  return { release: k.kernel, btfHash: k.btfDigest ?? '', features: named.map(([name]) => name) };
}

export function createSyncHandlers(d: HandlerDeps): SyncHandlers {
  const stored = (): [string, Buffer][] =>
    [...d.apply.heldNames()].flatMap(([name, digest]) =>
      name.startsWith(objectPrefix) ? [[name.slice(objectPrefix.length), digestToBytes(digest)] as [string, Buffer]] : [],
    );
  return {
    hello: (full) => ({
      nodeName: d.nodeName,
      agentBuild: d.build,
      kernel: kernelFacts(d.kernel),
      schemaDigest: d.schemaDigest,
      held: full ? Object.fromEntries([...d.apply.heldNames()].map(([name, digest]) => [name, digestToBytes(digest)])) : {},
      heldDigest: d.apply.heldDigest(),
      revision: d.apply.revision,
      epoch: d.apply.epoch,
      features,
      datapath: {
        running: Object.fromEntries(d.objects.running()),
        builtin: Object.fromEntries(d.objects.builtin),
        stored: Object.fromEntries(stored()),
      },
      pathMtu: d.pathMtu().own,
      toldPathMtu: d.pathMtu().told,
    }),
    async commit(c) {
      const done = await d.apply.commit(c);
      if (!done.ok) return done;
      const { revision, heldDigest, applyUs } = done.value;
      d.log.debug('commit applied', { revision, upserts: c.upserts.length, removes: c.removes.length, applyUs });
      return ok({ heldDigest, tables: d.apply.occupancy(), applyUs, running: Object.fromEntries(d.objects.running()) });
    },
    heartbeat: () => ({
      revision: d.apply.revision,
      rssBytes: process.memoryUsage.rss(),
      health: [...d.health()],
      pathMtu: d.pathMtu().own,
    }),
  };
}
