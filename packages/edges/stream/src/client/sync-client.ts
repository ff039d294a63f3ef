// The agent's link to the operators: picks a replica, keeps one channel with its streams, leaves stale replicas, moves to the leader, comes
// back with backoff.
// Called by the agent's wiring.
import type { OperatorHeartbeat, Welcome } from '@axoneme/proto';
import { AppError, type Backoff, type Clock, createBackoff, describeError, type Health, type Living, type Log } from '@axoneme/std';
import type { Client } from '@grpc/grpc-js';
import { fromStatus } from '../errors.ts';
import { type ClientTls, openChannel, operatorServerName } from './channel.ts';
import { createLeaderWatch, type SeekDeps } from './leader-seeker.ts';
import { createPicker } from './picker.ts';
import { type AnswerHandler, runRelayStream } from './relay-stream.ts';
import { createReportStream, type ReportHandlers, type ReportLink } from './report-stream.ts';
import { runSyncStream, type SyncHandlers, type SyncStreamConfig } from './sync-stream.ts';

export interface LinkState {
  readonly connected: boolean;
  readonly endpoint: string | undefined;
  readonly operatorId: string | undefined;
  readonly epoch: number;
  /** Whether that operator leads, as of its last heartbeat. */
  readonly leader: boolean;
  /** Oldest input of the operator, milliseconds; undefined before the first heartbeat. */
  readonly inputAgeMs: number | undefined;
  /** Why there is no link. */
  readonly reason: string;
}

export interface SyncClientDeps extends SyncHandlers {
  readonly nodeName: string;
  /** `host:port` of the operator replicas; read again for each attempt. */
  readonly endpoints: () => readonly string[];
  /** Read again for each attempt, so that a new certificate is used. */
  readonly tls: () => ClientTls | Promise<ClientTls>;
  readonly reports: ReportHandlers;
  readonly answer: AnswerHandler;
  readonly linkChanged?: (state: LinkState) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: () => number;
}

export interface SyncClientConfig extends SyncStreamConfig {
  readonly serverName: string;
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
  /** An operator whose inputs are older is left, if there is another one. */
  readonly staleInputMs: number;
  /** How long a replica that was left as stale is avoided. */
  readonly avoidMs: number;
  /** How long a replica that could not be reached is tried last. */
  readonly unreachableMs: number;
  /** Pauses of an agent that is served by a replica that does not lead, before it asks the others who does. */
  readonly seek: { readonly baseMs: number; readonly maxMs: number; readonly timeoutMs: number };
}

export const syncClientDefaults: SyncClientConfig = {
  serverName: operatorServerName,
  heartbeatMs: 5_000,
  quietBeatsMax: 3,
  commitBytesMax: 256 * 1024 * 1024,
  backoff: { baseMs: 200, maxMs: 10_000 },
  staleInputMs: 120_000,
  avoidMs: 30_000,
  unreachableMs: 5_000,
  seek: { baseMs: 1_000, maxMs: 60_000, timeoutMs: 5_000 },
};

export interface SyncClient extends Living, ReportLink {
  link(): LinkState;
  /** Drops the connection and dials again, e.g. with a renewed certificate. */
  reconnect(): void;
}

const oldestInput = (b: OperatorHeartbeat): number => Math.max(0, ...Object.values(b.inputAgeMs));

const disconnected: LinkState = {
  connected: false,
  endpoint: undefined,
  operatorId: undefined,
  epoch: 0,
  leader: false,
  inputAgeMs: undefined,
  reason: 'not started',
};

export function createSyncClient(d: SyncClientDeps, config: SyncClientConfig = syncClientDefaults): SyncClient {
  const picker = createPicker(d.endpoints, d.clock, d.random ?? Math.random);
  const backoff: Backoff = createBackoff(config.backoff, d.random);
  const reports = createReportStream(d.reports);
  let state = disconnected;
  let stopped: Health | undefined = { state: 'stopped', reason: 'not started' };
  let epochMax = 0;
  let current = new AbortController();
  const change = (next: Partial<LinkState>): void => {
    const before = state;
    state = { ...state, ...next };
    if (before.connected !== state.connected || before.endpoint !== state.endpoint) d.linkChanged?.(state);
  };

  const welcomed = (endpoint: string, w: Welcome): void => {
    if (w.epoch < epochMax && picker.avoid(endpoint, config.avoidMs)) {
      throw new AppError({
        code: 'stream/stale',
        message: 'the operator is behind another one',
        retry: 'later',
        fields: { epoch: w.epoch, epochMax },
      });
    }
    // Nobody knows a higher epoch any more (the lease was made anew): go on from here.
    epochMax = w.epoch;
    change({ operatorId: w.operatorId, epoch: w.epoch });
  };
  const beat = (endpoint: string, b: OperatorHeartbeat): void => {
    const inputAgeMs = oldestInput(b);
    change({ connected: true, reason: '', inputAgeMs, epoch: b.epoch, leader: b.leader });
    if (inputAgeMs > config.staleInputMs && picker.avoid(endpoint, config.avoidMs)) {
      throw new AppError({ code: 'stream/stale', message: 'the operator cannot see the cluster', retry: 'later', fields: { inputAgeMs } });
    }
    backoff.reset();
  };
  /** Streams beside Sync come back on their own while the channel lives. */
  const keep = async (run: () => Promise<AppError>, name: string, signal: AbortSignal): Promise<void> => {
    const pause = createBackoff({ baseMs: 500, maxMs: 10_000 }, d.random);
    while (!signal.aborted) {
      const reason = await run();
      if (signal.aborted) return;
      d.log.warn('stream beside sync ended', { stream: name, error: reason });
      await d.clock.sleep(pause.nextMs(), signal);
    }
  };
  const seek: SeekDeps = {
    open: async (endpoint) => openChannel(endpoint, await d.tls(), config.serverName),
    wanted: (b) => b.leader && b.epoch >= state.epoch && oldestInput(b) <= config.staleInputMs,
    pause: createBackoff(config.seek, d.random),
    timeoutMs: config.seek.timeoutMs,
    clock: d.clock,
    log: d.log,
  };
  const connect = async (endpoint: string, signal: AbortSignal): Promise<AppError> => {
    let client: Client | undefined;
    const over = new AbortController();
    const all = AbortSignal.any([signal, over.signal]);
    try {
      client = openChannel(endpoint, await d.tls(), config.serverName);
      const c = client;
      change({ endpoint, operatorId: undefined, inputAgeMs: undefined });
      // Streams beside Sync open when this operator has proved to be one we stay with.
      let beside: Promise<void>[] = [];
      // The operator that serves us is healthy: it is left only when the leader has answered.
      const moveTo = (leader: string): void => {
        picker.prefer(leader);
        over.abort(new AppError({ code: 'stream/stale', message: 'another operator leads', retry: 'later', fields: { leader } }));
      };
      const watchLeader = createLeaderWatch(seek, () => picker.others(endpoint), moveTo, all);
      const deps = {
        handlers: d,
        clock: d.clock,
        log: d.log,
        welcomed: (w: Welcome) => welcomed(endpoint, w),
        beat: (b: OperatorHeartbeat) => {
          beat(endpoint, b);
          watchLeader(b);
          if (beside.length > 0 || all.aborted) return;
          beside = [keep(() => reports.run(c, all), 'report', all), keep(() => runRelayStream(c, d.nodeName, d.answer, all), 'relay', all)];
        },
      };
      const reason = await runSyncStream(c, deps, config, all);
      over.abort();
      await Promise.all(beside);
      return reason;
    } catch (e) {
      return fromStatus(e);
    } finally {
      over.abort();
      client?.close();
    }
  };
  const run = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      const endpoint = picker.next();
      current = new AbortController();
      const reason =
        endpoint === undefined
          ? new AppError({ code: 'stream/no-endpoint', message: 'no operator address is known', retry: 'later' })
          : await connect(endpoint, AbortSignal.any([signal, current.signal]));
      const wasConnected = state.connected;
      change({ connected: false, endpoint: undefined, reason: describeError(reason) });
      if (signal.aborted) break;
      if (wasConnected || reason.code !== 'stream/no-endpoint') d.log.warn('operator link ended', { endpoint, error: reason });
      if (reason.code === 'stream/stale' || current.signal.aborted) continue;
      if (endpoint !== undefined) picker.avoid(endpoint, config.unreachableMs);
      await d.clock.sleep(backoff.nextMs(), signal);
    }
    stopped = { state: 'stopped', reason: 'shut down' };
  };
  return {
    name: 'operator-link',
    link: () => state,
    send: reports.send,
    reconnect: () => current.abort(),
    health: () => stopped ?? (state.connected ? { state: 'ok' } : { state: 'degraded', reason: state.reason }),
    async start(signal) {
      stopped = undefined;
      change({ reason: 'connecting' });
      void run(signal);
    },
  };
}
