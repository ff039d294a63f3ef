// Exact counters of the kernel as differences since the last look. Idle rows are taken out when the table fills up, so that rules long gone
// do not crowd out new ones. Called by the reporter.
import type { BpfMap } from '@axoneme/bpf';
import { CountVerdict, counterKey, counterValue, sumPerCpu } from '@axoneme/datapath';
import type { CounterDelta } from '@axoneme/proto';

export interface Counters {
  /** Rows that changed since the last call. */
  deltas(): CounterDelta[];
}

interface Seen {
  packets: bigint;
  bytes: bigint;
  idle: number;
}

const crowded = 0.75;
const idleRounds = 12;

export function createCounters(map: Pick<BpfMap, 'dump' | 'keySize' | 'valueBytes' | 'maxEntries' | 'deleteBatch'>): Counters {
  let seen = new Map<string, Seen>();
  return {
    deltas() {
      const { keys, values } = map.dump();
      const next = new Map<string, Seen>();
      const out: CounterDelta[] = [];
      for (let i = 0; i * map.keySize < keys.length; i++) {
        const name = keys.toString('latin1', i * map.keySize, (i + 1) * map.keySize);
        const v = counterValue.decode(sumPerCpu(values.subarray(i * map.valueBytes, (i + 1) * map.valueBytes), counterValue.size));
        const before = seen.get(name);
        const packets = v.packets - (before?.packets ?? 0n);
        next.set(name, { packets: v.packets, bytes: v.bytes, idle: packets === 0n ? (before?.idle ?? 0) + 1 : 0 });
        if (packets <= 0n) continue;
        const k = counterKey.decode(keys, i * map.keySize);
        out.push({
          subject: k.subject,
          peer: k.peer,
          ruleId: k.ruleId,
          port: k.port,
          protocol: k.proto,
          direction: (k.dirVerdict & CountVerdict.egress) === 0 ? 0 : 1,
          verdict: k.dirVerdict & ~CountVerdict.egress,
          packets: Number(packets),
          bytes: Number(v.bytes - (before?.bytes ?? 0n)),
        });
      }
      if (next.size > map.maxEntries * crowded) {
        const idle = [...next].filter(([, s]) => s.idle >= idleRounds).map(([name]) => name);
        map.deleteBatch(Buffer.from(idle.join(''), 'latin1'), idle.length);
        for (const name of idle) next.delete(name);
      }
      seen = next;
      return out;
    },
  };
}
