// Recent flow samples of all nodes, and who is watching them. Fed by agents' reports, read by the admin service.
import type { FlowSample } from '@axoneme/proto';

export interface NodeFlow {
  readonly node: string;
  readonly flow: FlowSample;
}

export interface FlowLog {
  add(node: string, flows: readonly FlowSample[]): void;
  /** The last `count`, oldest first. */
  last(count: number): readonly NodeFlow[];
  /** Samples from now on; ends with the signal. A slow reader loses the oldest ones. */
  follow(signal: AbortSignal): AsyncIterable<NodeFlow>;
  /** Samples that slow readers lost. */
  lost(): number;
}

const RING_SIZE = 8192;
const READER_QUEUE_MAX = 4096;

interface Reader {
  readonly queue: NodeFlow[];
  wake: () => void;
}

export function createFlowLog(): FlowLog {
  const ring: NodeFlow[] = [];
  let next = 0;
  let lost = 0;
  const readers = new Set<Reader>();

  const push = (f: NodeFlow): void => {
    ring[next % RING_SIZE] = f;
    next += 1;
    for (const r of readers) {
      if (r.queue.length >= READER_QUEUE_MAX) {
        r.queue.shift();
        lost += 1;
      }
      r.queue.push(f);
    }
  };

  async function* follow(signal: AbortSignal): AsyncGenerator<NodeFlow> {
    const reader: Reader = { queue: [], wake: () => undefined };
    readers.add(reader);
    const stop = (): void => reader.wake();
    signal.addEventListener('abort', stop);
    try {
      while (!signal.aborted) {
        const f = reader.queue.shift();
        if (f !== undefined) yield f;
        else await new Promise<void>((resolve) => (reader.wake = resolve));
      }
    } finally {
      signal.removeEventListener('abort', stop);
      readers.delete(reader);
    }
  }

  return {
    add(node, flows) {
      for (const flow of flows) push({ node, flow });
      for (const r of readers) r.wake();
    },
    last(count) {
      const held = Math.min(next, RING_SIZE, Math.max(0, count));
      return Array.from({ length: held }, (_, i) => ring[(next - held + i) % RING_SIZE]!);
    },
    follow,
    lost: () => lost,
  };
}
