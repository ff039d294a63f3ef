// Leader election on a Lease, with a fencing epoch that grows with every new holder. Called by the operator.
import { type Clock, createBackoff, type Epoch, type Health, invariant, type Living, type Log, systemClock } from '@axoneme/std';
import type { KubeClient } from './client.ts';
import { isKubeError } from './errors.ts';
import { type KubeObject, type ObjectRef, resources } from './resource.ts';

/** Annotation that carries the epoch; survives what `leaseTransitions` does not (a deleted Lease restarts that one at 0). */
export const epochAnnotation = 'axoneme.io/epoch';

interface LeaseSpec {
  readonly holderIdentity?: string | null;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

interface Lease extends KubeObject {
  readonly spec?: LeaseSpec;
}

export interface ElectionOptions {
  readonly client: KubeClient;
  readonly lease: Required<ObjectRef>;
  /** Unique per process, e.g. `<pod>_<random>`. */
  readonly identity: string;
  readonly log: Log;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** Others may take over when the lease has not changed for so long (as seen by their own clock). */
  readonly leaseDurationMs?: number;
  /** We step down when our last successful renewal is older than this. Must be shorter than the lease. */
  readonly renewDeadlineMs?: number;
  readonly retryMs?: number;
  /** False while our view of the inputs is stale: a leader steps down, a follower does not apply. */
  readonly isFresh?: () => boolean;
  /** Highest epoch known from elsewhere (agents, Redis); the next one will be above it. */
  readonly epochFloor?: () => number;
  /** True when that holder is known to be dead (an earlier process of this very pod): no need to wait for expiry. */
  readonly isDead?: (holder: string) => boolean;
  /** `signal` aborts when leadership ends. */
  readonly onStarted?: (epoch: Epoch, signal: AbortSignal) => void;
  readonly onStopped?: (reason: StopReason) => void;
}

export type StopReason = 'renewal failed' | 'taken over' | 'inputs stale' | 'stopped';

export interface Election extends Living {
  /** True only while the last renewal is young enough that nobody else can hold the lease. */
  isLeader(): boolean;
  /** Epoch of our current term; undefined when not leading. */
  epoch(): Epoch | undefined;
  /** Epoch in the lease as last seen, ours or another's; 0 before the first look. */
  epochSeen(): number;
  /** Identity in the lease as last seen. */
  holder(): string | undefined;
  /** Resolves once the loop has ended and the lease is given back; wait for it before the process exits. */
  readonly ended: Promise<void>;
}

interface Term {
  readonly epoch: Epoch;
  readonly abort: AbortController;
  lease: Lease;
  renewedMs: number;
}

const microTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z');

function epochOf(l: Lease | undefined): number {
  const n = Number(l?.metadata.annotations?.[epochAnnotation] ?? l?.spec?.leaseTransitions ?? 0);
  return Number.isSafeInteger(n) && n > 0 ? n : 0;
}

interface Times {
  readonly leaseMs: number;
  readonly deadlineMs: number;
}

function leaseBody(o: ElectionOptions, t: Times, nowMs: number, old: Lease | undefined, epoch: number, taking: boolean): Lease {
  const now = microTime(nowMs);
  const transitions = old?.spec?.leaseTransitions ?? 0;
  return {
    metadata: {
      ...(old?.metadata ?? o.lease),
      annotations: { ...old?.metadata.annotations, [epochAnnotation]: String(epoch) },
    },
    spec: {
      holderIdentity: o.identity,
      leaseDurationSeconds: Math.ceil(t.leaseMs / 1000),
      acquireTime: taking ? now : (old?.spec?.acquireTime ?? now),
      renewTime: now,
      leaseTransitions: old === undefined ? 0 : transitions + (taking ? 1 : 0),
    },
  };
}

/** The lease as last seen, and since when it has looked like that by our own clock; remote clocks are not trusted. */
interface Observer {
  see(l: Lease): void;
  readonly current: () => { readonly lease: Lease; readonly sinceMs: number } | undefined;
}

function createObserver(clock: Clock): Observer {
  let seen: { readonly version: string; readonly sinceMs: number; readonly lease: Lease } | undefined;
  return {
    see(lease) {
      const version = lease.metadata.resourceVersion ?? '';
      if (seen?.version !== version) seen = { version, sinceMs: clock.monotonicMs(), lease };
    },
    current: () => seen,
  };
}

/** Our terms of office: at most one at a time. */
interface Office {
  readonly term: () => Term | undefined;
  begin(lease: Lease, epoch: number, startedMs: number): void;
  stepDown(reason: StopReason): void;
  /** Steps down and lets the others in at once. */
  give(reason: StopReason): Promise<void>;
}

function createOffice(o: ElectionOptions, clock: Clock): Office {
  let term: Term | undefined;
  const stepDown = (reason: StopReason): void => {
    const ended = term;
    if (ended === undefined) return;
    term = undefined;
    o.log.warn('leadership ended', { reason, epoch: ended.epoch });
    ended.abort.abort();
    o.onStopped?.(reason);
  };
  return {
    term: () => term,
    stepDown,
    begin(lease, epoch, startedMs) {
      term = { epoch: epoch as Epoch, abort: new AbortController(), lease, renewedMs: startedMs };
      o.log.info('leadership started', { epoch, identity: o.identity });
      o.onStarted?.(term.epoch, term.abort.signal);
    },
    async give(reason) {
      const held = term?.lease;
      // only after everything of ours has been told to stop
      stepDown(reason);
      if (held === undefined) return;
      const { acquireTime: _, ...spec } = held.spec ?? {};
      const empty = { ...held, spec: { ...spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime(clock.nowMs()) } };
      await o.client
        .replace<Lease>(resources.leases, empty)
        .catch((error: unknown) => o.log.info('lease not released, it will expire', { error }));
    },
  };
}

async function renew(o: ElectionOptions, clock: Clock, times: Times, office: Office, observer: Observer, t: Term): Promise<void> {
  const startedMs = clock.monotonicMs();
  // a request that hangs must not carry us past the deadline
  const timer = clock.after(Math.max(0, t.renewedMs + times.deadlineMs - startedMs), () => {
    if (office.term() === t) office.stepDown('renewal failed');
  });
  try {
    const lease = await o.client.replace<Lease>(resources.leases, leaseBody(o, times, clock.nowMs(), t.lease, t.epoch, false));
    t.lease = lease;
    if (office.term() === t) t.renewedMs = startedMs;
    observer.see(lease);
  } catch (error) {
    if (!isKubeError(error, 'kube/conflict') && !isKubeError(error, 'kube/not-found')) throw error;
    const now = await o.client.find<Lease>(resources.leases, o.lease);
    if (now === undefined || now.spec?.holderIdentity !== o.identity || epochOf(now) !== t.epoch) return office.stepDown('taken over');
    t.lease = now;
  } finally {
    timer.cancel();
  }
}

async function compete(o: ElectionOptions, clock: Clock, times: Times, office: Office, observer: Observer): Promise<void> {
  const startedMs = clock.monotonicMs();
  const held = await o.client.find<Lease>(resources.leases, o.lease);
  if (held !== undefined) observer.see(held);
  if (o.isFresh?.() === false) return;
  const holder = held?.spec?.holderIdentity ?? '';
  const expiresMs = (observer.current()?.sinceMs ?? startedMs) + Math.max(times.leaseMs, (held?.spec?.leaseDurationSeconds ?? 0) * 1000);
  const free = holder === '' || holder === o.identity || o.isDead?.(holder) === true || clock.monotonicMs() >= expiresMs;
  if (!free) return;
  // wall-clock seconds as a floor keep the epoch growing even if the Lease itself was deleted
  const epoch = Math.max(epochOf(held) + 1, (o.epochFloor?.() ?? 0) + 1, Math.floor(clock.nowMs() / 1000));
  const wanted = leaseBody(o, times, clock.nowMs(), held, epoch, true);
  const write = held === undefined ? o.client.create<Lease> : o.client.replace<Lease>;
  try {
    const lease = await write(resources.leases, wanted);
    observer.see(lease);
    office.begin(lease, epoch, startedMs);
  } catch (error) {
    const lost = ['kube/conflict', 'kube/already-exists', 'kube/not-found'] as const;
    if (!lost.some((code) => isKubeError(error, code))) throw error;
  }
}

export function createElection(o: ElectionOptions): Election {
  const clock = o.clock ?? systemClock;
  const times: Times = { leaseMs: o.leaseDurationMs ?? 15_000, deadlineMs: o.renewDeadlineMs ?? 10_000 };
  invariant(times.deadlineMs < times.leaseMs, 'a leader must stop before its lease can be taken');
  const retryMs = o.retryMs ?? 2_000;
  const pause = createBackoff({ baseMs: retryMs, maxMs: retryMs, factor: 1 }, o.random);
  const office = createOffice(o, clock);
  const observer = createObserver(clock);
  let health: Health = { state: 'stopped', reason: 'not started' };
  let resolveEnded: () => void = () => undefined;
  const ended = new Promise<void>((r) => {
    resolveEnded = r;
  });

  const round = (): Promise<void> => {
    const term = office.term();
    if (term === undefined) return compete(o, clock, times, office, observer);
    return o.isFresh?.() === false ? office.give('inputs stale') : renew(o, clock, times, office, observer, term);
  };
  const run = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      try {
        await round();
        health = { state: 'ok' };
      } catch (error) {
        health = { state: 'degraded', reason: error instanceof Error ? error.message : String(error) };
        o.log.warn('lease not reached', { leading: office.term() !== undefined, error });
      }
      const term = office.term();
      if (term !== undefined && clock.monotonicMs() - term.renewedMs >= times.deadlineMs) office.stepDown('renewal failed');
      await clock.sleep(pause.nextMs(), signal);
    }
    await office.give('stopped');
    health = { state: 'stopped', reason: 'stopped' };
    resolveEnded();
  };

  return {
    name: 'election',
    ended,
    health: () => health,
    isLeader: () => clock.monotonicMs() - (office.term()?.renewedMs ?? Number.NEGATIVE_INFINITY) < times.deadlineMs,
    epoch: () => office.term()?.epoch,
    epochSeen: () => epochOf(observer.current()?.lease),
    holder: () => observer.current()?.lease.spec?.holderIdentity ?? undefined,
    async start(signal) {
      void run(signal);
    },
  };
}
