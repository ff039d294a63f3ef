// One Sync stream from the agent's side: Hello, commits in, answers out, heartbeats and the watch over silence and stale operators.
// Called by the sync client, once per connection.
import {
  type AgentHeartbeat,
  type Commit,
  type Hello,
  NodeProtocolServiceDefinition,
  type OperatorHeartbeat,
  type SyncRequest,
  type SyncResponse,
  type TableOccupancy,
  type Welcome,
} from '@axoneme/proto';
import { AppError, type Clock, describeError, type Log, type Result } from '@axoneme/std';
import { type Client, type ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { fromStatus } from '../errors.ts';
import { methodOf } from '../wire.ts';
import { createAssembler, type ReceivedCommit } from './assemble.ts';

export interface AckBody {
  /** Digest of everything held now. */
  readonly heldDigest: Buffer;
  readonly tables: Readonly<Record<string, TableOccupancy>>;
  readonly applyUs: number;
  /** eBPF objects that run now: SHA-256 by name. */
  readonly running?: Readonly<Record<string, string>>;
}

export interface SyncHandlers {
  /** `full`: with the held map; otherwise only its digest. */
  hello(full: boolean): Hello;
  /** Applies a commit whole or not at all. The error's code goes into the Nack; `fields.artifact` names the culprit. */
  commit(commit: ReceivedCommit): Promise<Result<AckBody>>;
  heartbeat(): AgentHeartbeat;
  /** A message of the operator came, whatever it says. */
  heard?(): void;
  /** Absent on nodes that announce nothing. */
  readonly leases?: LeaseHandlers;
}

/** What may be announced is so only for a while, and asked for again and again. */
export interface LeaseHandlers {
  /** Calls `ask` whenever it is time to, with the clock of now, until the signal aborts: the stream is over. */
  start(ask: (askedMs: number) => void, signal: AbortSignal): void;
  /** The answer to what was asked then: until when, on the same clock. */
  granted(untilMs: number): void;
}

export interface SyncStreamConfig {
  readonly heartbeatMs: number;
  /** Heartbeat periods without any message after which the operator counts as lost. */
  readonly quietBeatsMax: number;
  readonly commitBytesMax: number;
}

export interface SyncStreamDeps {
  readonly handlers: SyncHandlers;
  readonly clock: Clock;
  readonly log: Log;
  /** Throws to leave this operator. */
  readonly welcomed: (welcome: Welcome) => void;
  /** Throws to leave this operator. */
  readonly beat: (beat: OperatorHeartbeat) => void;
}

type Call = ClientDuplexStream<SyncRequest, SyncResponse>;

/** Runs until the stream ends; resolves with the reason. A commit under way is finished first. */
export async function runSyncStream(client: Client, d: SyncStreamDeps, config: SyncStreamConfig, signal: AbortSignal): Promise<AppError> {
  const method = methodOf<SyncRequest, SyncResponse>(NodeProtocolServiceDefinition, NodeProtocolServiceDefinition.methods.sync);
  const call: Call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, new Metadata());
  const over = new AbortController();
  let applying: Promise<void> = Promise.resolve();
  let quietBeats = 0;

  const ended = new Promise<AppError>((resolve) => {
    const leave = (e: AppError): void => {
      if (over.signal.aborted) return;
      over.abort();
      signal.removeEventListener('abort', onAbort);
      call.cancel();
      resolve(e);
    };
    const onAbort = (): void =>
      leave(signal.reason instanceof AppError ? signal.reason : new AppError({ code: 'stream/unavailable', message: 'shut down' }));
    const say = (message: SyncRequest['message']): void => {
      if (!over.signal.aborted) call.write({ message });
    };
    const guarded = (fn: () => void): void => {
      try {
        fn();
      } catch (e) {
        leave(fromStatus(e));
      }
    };
    const take = createTaker(d, config, say, (work) => {
      applying = applying.then(work).catch((e: unknown) => leave(fromStatus(e)));
    });

    call.on('error', (e) => leave(fromStatus(e)));
    call.on('end', () => leave(new AppError({ code: 'stream/unavailable', message: 'the operator closed the stream', retry: 'later' })));
    call.on('data', (m: SyncResponse) => {
      quietBeats = 0;
      d.handlers.heard?.();
      if (!over.signal.aborted) guarded(() => take(m));
    });
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort);
    guarded(() => say({ $case: 'hello', value: d.handlers.hello(false) }));
    d.handlers.leases?.start((askedMs) => say({ $case: 'lease', value: { askedMs } }), over.signal);

    void (async () => {
      while (!over.signal.aborted) {
        await d.clock.sleep(config.heartbeatMs, over.signal);
        // Beats are counted, not milliseconds: after a pause of this process the operator gets its chance again.
        if (++quietBeats > config.quietBeatsMax)
          leave(new AppError({ code: 'stream/timeout', message: 'the operator is silent', retry: 'later' }));
        guarded(() => say({ $case: 'heartbeat', value: d.handlers.heartbeat() }));
      }
    })();
  });
  const reason = await ended;
  await applying;
  return reason;
}

type Say = (message: SyncRequest['message']) => void;

/** Handles messages of the operator in order. */
function createTaker(
  d: SyncStreamDeps,
  config: SyncStreamConfig,
  say: Say,
  enqueue: (work: () => Promise<void>) => void,
): (m: SyncResponse) => void {
  const assembler = createAssembler(config.commitBytesMax);
  let heldRevision = 0;
  const nack = (revision: number, e: AppError): void => {
    const artifact = e.fields.artifact;
    say({
      $case: 'nack',
      value: { revision, code: e.code, reason: describeError(e), artifact: typeof artifact === 'string' ? artifact : '', heldRevision },
    });
  };
  const commit = (m: Commit): void => {
    const received = assembler.commit(m);
    enqueue(async () => {
      const done = received.ok ? await d.handlers.commit(received.value) : received;
      if (!done.ok) {
        d.log.warn('commit refused', { revision: m.revision, error: done.error });
        return nack(m.revision, done.error);
      }
      heldRevision = m.revision;
      const { heldDigest, tables, applyUs, running } = done.value;
      const { revision, epoch } = m;
      say({ $case: 'ack', value: { revision, epoch, heldDigest, tables: { ...tables }, applyUs, running: { ...running } } });
    });
  };
  return ({ message: m }) => {
    if (m === undefined) return;
    if (m.$case === 'upsert') assembler.upsert(m.value);
    else if (m.$case === 'remove') assembler.remove(m.value.name);
    else if (m.$case === 'commit') commit(m.value);
    else if (m.$case === 'heartbeat') d.beat(m.value);
    else if (m.$case === 'lease') d.handlers.leases?.granted(m.value.askedMs + m.value.validMs);
    else {
      d.welcomed(m.value);
      if (m.value.needHeld) enqueue(async () => say({ $case: 'hello', value: d.handlers.hello(true) }));
    }
  };
}
