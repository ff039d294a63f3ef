// Leader election on a Lease, with a fencing epoch that grows with every new holder. Called by the operator.
import { type Clock, createBackoff, type Epoch, type Health, type Living, type Log, systemClock } from '@axoneme/std';
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

export function createElection(o: ElectionOptions): Election {
  const clock = o.clock ?? systemClock;
  const leaseMs = o.leaseDurationMs ?? 15_000;
  const deadlineMs = o.renewDeadlineMs ?? 10_000;
  const retryMs = o.retryMs ?? 2_000;
  const fresh = o.isFresh ?? (() => true);
  const backoff = createBackoff({ baseMs: retryMs, maxMs: retryMs, factor: 1 }, o.random);
  let term: Term | undefined;
  let seen: { readonly version: string; readonly atMs: number; readonly lease: Lease } | undefined;
  let health: Health = { state: 'stopped', reason: 'not started' };
  let resolveEnded: () => void = () => undefined;
  const ended = new Promise<void>((r) => {
    resolveEnded = r;
  });

  const observe = (lease: Lease): void => {
    const version = lease.metadata.resourceVersion ?? '';
    if (seen?.version !== version) seen = { version, atMs: clock.monotonicMs(), lease };
  };

  const body = (old: Lease | undefined, epoch: number, taking: boolean): Lease => {
    const now = microTime(clock.nowMs());
    const transitions = old?.spec?.leaseTransitions ?? 0;
    return {
      metadata: {
        ...(old?.metadata ?? o.lease),
        annotations: { ...old?.metadata.annotations, [epochAnnotation]: String(epoch) },
      },
      spec: {
        holderIdentity: o.identity,
        leaseDurationSeconds: Math.ceil(leaseMs / 1000),
        acquireTime: taking ? now : (old?.spec?.acquireTime ?? now),
        renewTime: now,
        leaseTransitions: old === undefined ? 0 : transitions + (taking ? 1 : 0),
      },
    };
  };

  const stepDown = (reason: StopReason): void => {
    const ended = term;
    if (ended === undefined) return;
    term = undefined;
    o.log.warn('leadership ended', { reason, epoch: ended.epoch });
    ended.abort.abort();
    o.onStopped?.(reason);
  };

  // The others need not wait for expiry. Only after everything of ours has been told to stop.
  const release = async (held: Lease): Promise<void> => {
    const { acquireTime: _, ...spec } = held.spec ?? {};
    await o.client
      .replace<Lease>(resources.leases, {
        ...held,
        spec: { ...spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime(clock.nowMs()) },
      })
      .catch((error: unknown) => o.log.info('lease not released, it will expire', { error }));
  };

  const give = async (reason: StopReason): Promise<void> => {
    const held = term?.lease;
    stepDown(reason);
    if (held !== undefined) await release(held);
  };

  const begin = (lease: Lease, epoch: number, startedMs: number): void => {
    term = { epoch: epoch as Epoch, abort: new AbortController(), lease, renewedMs: startedMs };
    observe(lease);
    o.log.info('leadership started', { epoch, identity: o.identity });
    o.onStarted?.(term.epoch, term.abort.signal);
  };

  const renew = async (t: Term): Promise<void> => {
    const startedMs = clock.monotonicMs();
    // a request that hangs must not carry us past the deadline
    const timer = clock.after(Math.max(0, t.renewedMs + deadlineMs - startedMs), () => {
      if (term === t) stepDown('renewal failed');
    });
    try {
      const lease = await o.client.replace<Lease>(resources.leases, body(t.lease, t.epoch, false));
      t.lease = lease;
      if (term === t) t.renewedMs = startedMs;
      observe(lease);
    } catch (error) {
      if (!isKubeError(error, 'kube/conflict') && !isKubeError(error, 'kube/not-found')) throw error;
      const now = await o.client.find<Lease>(resources.leases, o.lease);
      if (now === undefined || now.spec?.holderIdentity !== o.identity || epochOf(now) !== t.epoch) return stepDown('taken over');
      t.lease = now;
    } finally {
      timer.cancel();
    }
  };

  const compete = async (): Promise<void> => {
    const startedMs = clock.monotonicMs();
    const held = await o.client.find<Lease>(resources.leases, o.lease);
    if (held !== undefined) observe(held);
    if (!fresh()) return;
    const holder = held?.spec?.holderIdentity ?? '';
    const expiresMs = (seen?.atMs ?? startedMs) + Math.max(leaseMs, (held?.spec?.leaseDurationSeconds ?? 0) * 1000);
    if (holder !== '' && holder !== o.identity && o.isDead?.(holder) !== true && clock.monotonicMs() < expiresMs) return;
    // wall-clock seconds as a floor keep the epoch growing even if the Lease itself was deleted
    const epoch = Math.max(epochOf(held) + 1, (o.epochFloor?.() ?? 0) + 1, Math.floor(clock.nowMs() / 1000));
    const wanted = body(held, epoch, true);
    try {
      const lease =
        held === undefined
          ? await o.client.create<Lease>(resources.leases, wanted)
          : await o.client.replace<Lease>(resources.leases, wanted);
      begin(lease, epoch, startedMs);
    } catch (error) {
      if (!isKubeError(error, 'kube/conflict') && !isKubeError(error, 'kube/already-exists') && !isKubeError(error, 'kube/not-found'))
        throw error;
    }
  };

  const round = async (): Promise<void> => {
    if (term === undefined) return compete();
    if (!fresh()) return give('inputs stale');
    await renew(term);
  };

  const run = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      try {
        await round();
        health = { state: 'ok' };
      } catch (error) {
        health = { state: 'degraded', reason: error instanceof Error ? error.message : String(error) };
        o.log.warn('lease not reached', { leading: term !== undefined, error });
      }
      if (term !== undefined && clock.monotonicMs() - term.renewedMs >= deadlineMs) stepDown('renewal failed');
      await clock.sleep(backoff.nextMs(), signal);
    }
    await give('stopped');
    health = { state: 'stopped', reason: 'stopped' };
    resolveEnded();
  };

  return {
    name: 'election',
    ended,
    health: () => health,
    isLeader: () => term !== undefined && clock.monotonicMs() - term.renewedMs < deadlineMs,
    epoch: () => term?.epoch,
    holder: () => term?.lease.spec?.holderIdentity ?? seen?.lease.spec?.holderIdentity ?? undefined,
    async start(signal) {
      void run(signal);
    },
  };
}
