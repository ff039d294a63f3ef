// One Sync stream of one node: greets, sends commits one at a time, takes acknowledgements, watches liveness. Called by the hub.
import { type Ack, type AgentHeartbeat, digestFromBytes, type Hello, type Nack, type SyncRequest, SyncResponse } from '@axoneme/proto';
import { AppError, type Backoff, type Clock, createBackoff, type Digest, type Log, type NodeName, type Timer } from '@axoneme/std';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { toStatus } from '../errors.ts';
import { encodeMessage } from '../wire.ts';
import type { Admission } from './admission.ts';
import { type WrittenCommit, writeCommit } from './commit-writer.ts';
import type { Encoder } from './encoder.ts';
import type { NodeState, Position } from './node-state.ts';

export type SyncCall = ServerDuplexStream<SyncRequest, Buffer>;

export interface SessionConfig {
  readonly operatorId: string;
  readonly features: readonly string[];
  /** Heartbeats without any message from the agent after which the stream is ended. */
  readonly quietBeatsMax: number;
  readonly ackTimeoutMs: number;
  /** A node that loads slowly gives its place to others after this time. */
  readonly admissionHoldMs: number;
  readonly nackBackoff: { readonly baseMs: number; readonly maxMs: number };
}

export interface SessionEvents {
  greeted(hello: Hello): void;
  ack(ack: Ack): void;
  nack(nack: Nack): void;
  heartbeat(beat: AgentHeartbeat): void;
  /** The node wants to go on announcing; for how many milliseconds, 0 is no answer. */
  lease(): number;
  /** Bytes of any message; `artifactBytes` of them carried artifacts. */
  sent(count: { readonly bytes: number } | { readonly artifacts: number; readonly artifactBytes: number }): void;
  closed(reason: string): void;
}

export interface SessionDeps {
  readonly node: NodeName;
  readonly call: SyncCall;
  readonly state: NodeState;
  readonly encoder: Encoder;
  readonly admission: Admission;
  readonly epoch: () => number;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: SessionEvents;
}

export interface Session {
  /** Desired state may have changed. */
  pump(): void;
  /** Sends one encoded heartbeat and counts silence, if this one is one of those that come in turn. */
  beat(message: Buffer, inTurn?: boolean): void;
  close(error: AppError): void;
  /** A commit the node has not answered yet. */
  outstanding(): Position | undefined;
  /** Whether a commit that may be about this artifact is on its way, or what the node holds is not known. */
  sends(name: string): boolean;
}

interface Progress {
  /** Hello seen and the held artifacts known. */
  ready: boolean;
  /** The agent was asked for its list. */
  asked: boolean;
  /** A first commit (maybe empty) was sent. */
  greeted: boolean;
  writing: boolean;
  closed: boolean;
  blocked: boolean;
  quietBeats: number;
  inflight: WrittenCommit | undefined;
  pendingHello: Hello | undefined;
}

/** Nack of a node that applied everything but the artifact it names. */
const partialCode = 'agent/host-policy-reverted';

export function createSession(d: SessionDeps, config: SessionConfig): Session {
  const p: Progress = {
    ready: false,
    asked: false,
    greeted: false,
    writing: false,
    closed: false,
    blocked: false,
    quietBeats: 0,
    inflight: undefined,
    pendingHello: undefined,
  };
  const nackBackoff: Backoff = createBackoff(config.nackBackoff);
  let ackTimer: Timer | undefined;
  let retryTimer: Timer | undefined;
  // what was desired when the node took all but a part: only something newer is worth sending before the retry
  let partial: number | undefined;
  let holdTimer: Timer | undefined;
  let leave: (() => void) | undefined;
  let admitted = false;
  const wakers = new Set<() => void>();
  const wake = (): void => {
    for (const w of wakers) w();
  };

  const close = (error: AppError | undefined, reason: string): void => {
    if (p.closed) return;
    p.closed = true;
    ackTimer?.cancel();
    retryTimer?.cancel();
    holdTimer?.cancel();
    leave?.();
    if (error === undefined) d.call.end();
    else d.call.emit('error', toStatus(error));
    wake();
    d.events.closed(reason);
  };
  const end = (error: AppError): void => close(error, error.message);

  const write = (message: Buffer): Promise<void> | undefined => {
    if (p.closed) return Promise.reject(new AppError({ code: 'stream/unavailable', message: 'the stream is over', retry: 'later' }));
    d.events.sent({ bytes: message.length });
    if (d.call.write(message)) return undefined;
    p.blocked = true;
    return new Promise((resolve, reject) => {
      const go = (): void => {
        if (p.blocked && !p.closed) return;
        wakers.delete(go);
        if (p.closed) reject(new AppError({ code: 'stream/unavailable', message: 'the stream is over', retry: 'later' }));
        else resolve();
      };
      wakers.add(go);
    });
  };
  const tell = (message: SyncResponse['message']): void => {
    // Small messages outside commits may go over the mark: there is at most one of each kind.
    write(encodeMessage(SyncResponse, { message }))?.catch(() => undefined);
  };

  const welcome = (needHeld: boolean): void =>
    tell({ $case: 'welcome', value: { operatorId: config.operatorId, epoch: d.epoch(), features: [...config.features], needHeld } });

  const askForHeld = (): void => {
    p.ready = false;
    p.asked = true;
    d.state.forgetHeld();
    welcome(true);
  };

  /** Settles what the node holds. A digest alone can only be judged once something is desired. */
  const judge = (): void => {
    const hello = p.pendingHello;
    if (hello === undefined) return;
    const names = Object.keys(hello.held);
    const holdsNothing = hello.heldDigest.every((b) => b === 0);
    if (names.length > 0 || holdsNothing || p.asked) {
      d.state.setHeld(new Map(names.map((n): [string, Digest] => [n, digestFromBytes(hello.held[n] as Buffer)])));
    } else if (!d.state.recognise(hello.heldDigest)) {
      if (d.state.position() === undefined) return;
      p.pendingHello = undefined;
      askForHeld();
      return;
    }
    p.pendingHello = undefined;
    p.asked = false;
    p.ready = true;
    welcome(false);
  };

  const pump = (): void => {
    judge();
    if (retryTimer !== undefined && partial !== undefined && (d.state.position()?.revision ?? 0) > partial) {
      retryTimer.cancel();
      retryTimer = undefined;
    }
    if (!p.ready || p.closed || p.writing || p.inflight !== undefined || retryTimer !== undefined || d.state.position() === undefined)
      return;
    if (p.greeted && d.state.lag().size === 0) return;
    if (!admitted) {
      leave ??= d.admission.request(() => {
        admitted = true;
        holdTimer = d.clock.after(config.admissionHoldMs, () => leave?.());
        // Not now: the room may open while another session is being closed.
        d.clock.after(0, pump);
      });
      return;
    }
    p.writing = true;
    const sent = (a: { readonly bytes: number }): void => d.events.sent({ artifacts: 1, artifactBytes: a.bytes });
    writeCommit(d.state, d.encoder, { write, sent }).then(committed, failed);
  };
  const committed = (c: WrittenCommit): void => {
    p.writing = false;
    p.greeted = true;
    holdTimer?.cancel();
    leave?.();
    p.inflight = c;
    ackTimer = d.clock.after(config.ackTimeoutMs, () =>
      end(
        new AppError({
          code: 'stream/timeout',
          message: 'the node did not answer a commit',
          retry: 'later',
          fields: { revision: c.revision },
        }),
      ),
    );
  };
  const failed = (cause: unknown): void => {
    p.writing = false;
    if (p.closed) return;
    d.log.error('commit cannot be sent', { node: d.node, error: cause });
    end(cause instanceof AppError ? cause : new AppError({ code: 'stream/internal', message: 'commit cannot be sent', cause }));
  };

  const answered = (revision: number): WrittenCommit | undefined => {
    const c = p.inflight;
    if (c === undefined || c.revision !== revision) {
      d.log.warn('answer to a commit that is not outstanding', { node: d.node, revision, outstanding: c?.revision });
      return undefined;
    }
    p.inflight = undefined;
    ackTimer?.cancel();
    return c;
  };
  const onAck = (ack: Ack): void => {
    const c = answered(ack.revision);
    if (c === undefined) return;
    nackBackoff.reset();
    partial = undefined;
    d.state.applied(c.changes);
    if (ack.heldDigest.length > 0 && !ack.heldDigest.equals(c.heldDigest)) {
      d.log.warn('node holds something else than expected', { node: d.node, revision: c.revision });
      askForHeld();
      return;
    }
    d.events.ack(ack);
    pump();
  };
  const onNack = (nack: Nack): void => {
    const refused = answered(nack.revision);
    if (refused === undefined) return;
    d.events.nack(nack);
    partial = nack.code === partialCode ? refused.revision : undefined;
    retryTimer = d.clock.after(nackBackoff.nextMs(), () => {
      retryTimer = undefined;
      pump();
    });
    // what came meanwhile need not wait
    if (partial !== undefined) pump();
    // What the node holds is not what we thought: only its own list helps.
    if (nack.code.includes('mismatch')) askForHeld();
  };
  const onHello = (hello: Hello): void => {
    if (hello.nodeName !== d.node) {
      end(new AppError({ code: 'stream/forbidden', message: `the certificate is for node ${d.node}, not for ${hello.nodeName}` }));
      return;
    }
    if (p.writing || p.inflight !== undefined) {
      end(new AppError({ code: 'stream/bad-request', message: 'Hello in the middle of a commit' }));
      return;
    }
    p.ready = false;
    p.pendingHello = hello;
    if (!p.asked) d.events.greeted(hello);
    pump();
  };
  const onLease = (askedMs: number): void => {
    const validMs = d.events.lease();
    if (validMs > 0) tell({ $case: 'lease', value: { askedMs, validMs } });
  };
  const onMessage = ({ message: m }: SyncRequest): void => {
    if (p.closed) return;
    p.quietBeats = 0;
    if (m === undefined) return;
    if (m.$case === 'hello') onHello(m.value);
    else if (m.$case === 'ack') onAck(m.value);
    else if (m.$case === 'nack') onNack(m.value);
    else if (m.$case === 'lease') onLease(m.value.askedMs);
    else d.events.heartbeat(m.value);
  };

  d.call.on('data', onMessage);
  d.call.on('drain', () => {
    p.blocked = false;
    wake();
  });
  d.call.on('end', () => close(undefined, 'the agent closed the stream'));
  d.call.on('cancelled', () => close(undefined, 'the connection was lost'));
  d.call.on('close', () => close(undefined, 'the connection was lost'));

  return {
    pump,
    beat(message, inTurn = true) {
      if (p.closed) return;
      if (inTurn && ++p.quietBeats > config.quietBeatsMax)
        return end(new AppError({ code: 'stream/timeout', message: 'no sign of life from the agent', retry: 'later' }));
      // A blocked stream has enough to read.
      if (!p.blocked) write(message)?.catch(() => undefined);
    },
    close: end,
    outstanding: () => p.inflight,
    // after a partial refusal it may hold what it said no to
    sends: (name) => !p.ready || p.writing || partial !== undefined || p.inflight?.changes.has(name) === true,
  };
}
