// Finds the leading replica for an agent that is served by another one. Only the leader writes statuses and endpoint objects, so it should hear
// the acknowledgements and reports of every node itself. Called by the sync client.
import { NodeProtocolServiceDefinition, type OperatorHeartbeat, type SyncRequest, type SyncResponse } from '@axoneme/proto';
import type { Backoff, Clock, Log } from '@axoneme/std';
import { type Client, Metadata } from '@grpc/grpc-js';
import { methodOf } from '../wire.ts';

export interface SeekDeps {
  /** A channel to a replica, of which only its first heartbeat is read. */
  readonly open: (endpoint: string) => Promise<Client>;
  /** Whether the replica that said this is one to move to. */
  readonly wanted: (beat: OperatorHeartbeat) => boolean;
  /** Pauses between rounds; jittered, so that nodes do not move all at once. */
  readonly pause: Backoff;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** The first heartbeat of a replica, which it sends to anybody at once; undefined when it does not answer. Says no Hello. */
function readBeat(client: Client, d: SeekDeps, signal: AbortSignal): Promise<OperatorHeartbeat | undefined> {
  const method = methodOf<SyncRequest, SyncResponse>(NodeProtocolServiceDefinition, NodeProtocolServiceDefinition.methods.sync);
  const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, new Metadata());
  return new Promise((resolve) => {
    const settle = (beat?: OperatorHeartbeat): void => {
      timer.cancel();
      signal.removeEventListener('abort', nothing);
      call.cancel();
      resolve(beat);
    };
    const nothing = (): void => settle();
    const timer = d.clock.after(d.timeoutMs, nothing);
    signal.addEventListener('abort', nothing);
    call.on('error', nothing);
    call.on('end', nothing);
    call.on('data', ({ message: m }: SyncResponse) => {
      if (m?.$case === 'heartbeat') settle(m.value);
    });
    if (signal.aborted) nothing();
  });
}

async function ask(endpoint: string, d: SeekDeps, signal: AbortSignal): Promise<OperatorHeartbeat | undefined> {
  let client: Client | undefined;
  try {
    client = await d.open(endpoint);
    return await readBeat(client, d, signal);
  } catch (error) {
    d.log.debug('replica not asked', { endpoint, error });
    return undefined;
  } finally {
    client?.close();
  }
}

/** Asks the other replicas, one at a time, until one is wanted. Undefined when the signal aborts first. */
export async function seekLeader(d: SeekDeps, others: () => readonly string[], signal: AbortSignal): Promise<string | undefined> {
  while (!signal.aborted) {
    await d.clock.sleep(d.pause.nextMs(), signal);
    for (const endpoint of others()) {
      const beat = signal.aborted ? undefined : await ask(endpoint, d, signal);
      if (beat !== undefined && d.wanted(beat) && !signal.aborted) return endpoint;
    }
  }
  return undefined;
}

/** Starts seeking when the operator that serves us does not lead, stops when it does. When another term has begun, at once and not after a long pause. */
export function createLeaderWatch(
  d: SeekDeps,
  others: () => readonly string[],
  found: (endpoint: string) => void,
  signal: AbortSignal,
): (beat: OperatorHeartbeat) => void {
  let seeking: AbortController | undefined;
  let leads = 0;
  let epoch: number | undefined;
  return (beat) => {
    const begun = epoch !== undefined && beat.epoch > epoch;
    epoch = beat.epoch;
    if (beat.leader) {
      seeking?.abort();
      seeking = undefined;
      // one heartbeat may be of a leader that is on its way out: two replicas in doubt must not see us come and go
      if (++leads === 2) d.pause.reset();
      return;
    }
    leads = 0;
    if (begun) {
      seeking?.abort();
      seeking = undefined;
      d.pause.reset();
    }
    if (seeking !== undefined || signal.aborted) return;
    const own = new AbortController();
    seeking = own;
    const both = AbortSignal.any([signal, own.signal]);
    void seekLeader(d, others, both).then((endpoint) => {
      if (endpoint !== undefined && !both.aborted) found(endpoint);
    });
  };
}
