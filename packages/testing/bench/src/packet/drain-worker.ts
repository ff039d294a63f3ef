// Reads the event ring on another core while the main thread measures. Started by run.ts as a worker thread.
import { parentPort, workerData } from 'node:worker_threads';
import { createRingReader, pinnedMap } from '@axoneme/bpf';
import { event } from '@axoneme/datapath';
import { invariant } from '@axoneme/std';

const { path, counter } = workerData as { readonly path: string; readonly counter: SharedArrayBuffer };
const map = pinnedMap(path);
invariant(map !== undefined, `no ring at ${path}`);
const count = new Int32Array(counter);
const identities = new Map<number, number>();
const reader = createRingReader({
  rings: [
    {
      map,
      onEvent: (bytes, offset) => {
        // what a flow aggregator does at least: decode, and count by who talks to whom
        const e = event.decode(bytes, offset);
        const pair = e.srcIdentity * 65_536 + e.dstIdentity;
        identities.set(pair, (identities.get(pair) ?? 0) + 1);
      },
    },
  ],
  onRound: (n) => void Atomics.add(count, 0, n),
});
parentPort?.once('message', () => void reader.stop().then(() => parentPort?.close()));
parentPort?.postMessage('ready');
