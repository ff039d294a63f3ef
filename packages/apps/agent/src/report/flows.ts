// Turns events of the ring buffer into flow samples for the operator: bounded, with loss counted. Events arrive faster than anybody reads
// them, so what nobody wants is not even decoded. Called by wiring (ring reader) and the reporter.
import { type Event, EventFlag, EventType, event, Shadow } from '@axoneme/datapath';
import type { FlowSample } from '@axoneme/proto';

export interface Flows {
  /** One event at `offset` of the ring's memory. */
  take(bytes: Buffer, offset: number, length: number): void;
  want(on: boolean): void;
  readonly wanted: boolean;
  /** Up to `max` samples, oldest first. */
  drain(max: number): FlowSample[];
  /** Puts samples back that could not be sent. */
  restore(samples: readonly FlowSample[]): void;
  /** Events lost here since the last call. */
  lost(): number;
}

export const flowQueueMax = 8192;
const forwarded = 1;
const dropped = 2;
const audited = 4;

/** Microseconds to add to the kernel's monotonic clock to get Unix time. */
const clockOffsetUs = (): number => Date.now() * 1000 - Number(process.hrtime.bigint() / 1000n);

/** Where the shadow layers disagree; of two directions that of the verdict. */
function shadowOf(e: Event): Pick<FlowSample, 'shadow' | 'shadowRuleId' | 'shadowDirection'> {
  const own = e.direction === 1 ? 1 : 0;
  for (const d of [own, own === 1 ? 0 : 1] as const) {
    if (e.shadow[d]! > Shadow.same) return { shadow: e.shadow[d]!, shadowRuleId: e.shadowRule[d], shadowDirection: d };
  }
  return { shadow: 0, shadowRuleId: 0, shadowDirection: 0 };
}

export function sampleOf(bytes: Buffer, offset: number, offsetUs: number): FlowSample {
  const e = event.decode(bytes, offset);
  const addressBytes = e.family === 4 ? 4 : 16;
  const verdict = e.type === EventType.drop ? dropped : (e.flags & EventFlag.audit) !== 0 ? audited : forwarded;
  return {
    timeUnixUs: Number(e.timeNs / 1000n) + offsetUs,
    sourceIdentity: e.srcIdentity,
    destinationIdentity: e.dstIdentity,
    sourceAddress: Buffer.from(e.saddr.subarray(0, addressBytes)),
    destinationAddress: Buffer.from(e.daddr.subarray(0, addressBytes)),
    sourcePort: e.sport,
    destinationPort: e.dport,
    protocol: e.proto,
    verdict,
    dropReason: e.reason,
    direction: e.direction,
    ruleId: e.ruleId[e.direction === 1 ? 1 : 0],
    endpointId: e.direction === 1 ? e.srcEndpoint : e.dstEndpoint,
    tracePoint: e.hook,
    length: e.length,
    tcpFlags: e.tcpFlags,
    ...shadowOf(e),
  };
}

export function createFlows(max = flowQueueMax): Flows {
  let queue: FlowSample[] = [];
  let wanted = false;
  let lost = 0;
  const offsetUs = clockOffsetUs();
  return {
    take(bytes, offset, length) {
      // programs of another build, until they are swapped, tell events of another shape
      if (!wanted || length !== event.size) return;
      if (queue.length >= max) lost++;
      else queue.push(sampleOf(bytes, offset, offsetUs));
    },
    want(on) {
      wanted = on;
      if (!on) queue = [];
    },
    get wanted() {
      return wanted;
    },
    drain: (n) => queue.splice(0, n),
    restore(samples) {
      queue = [...samples, ...queue].slice(0, max);
    },
    lost() {
      const n = lost;
      lost = 0;
      return n;
    },
  };
}
