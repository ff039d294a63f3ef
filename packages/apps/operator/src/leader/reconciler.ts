// Runs one writer at a time, coalescing wishes; a failure is retried with backoff. Called by everything that writes to the API server.
import { type Clock, createBackoff, describeError, type Health, type Log } from '@axoneme/std';

export interface Reconciler {
  /** Wish for a run; cheap, any number of times. */
  mark(): void;
  /** Resolves when no run is due or under way. */
  idle(): Promise<void>;
  health(): Health;
}

export interface ReconcilerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

export function createReconciler(name: string, deps: ReconcilerDeps, run: () => Promise<void>): Reconciler {
  const backoff = createBackoff({ baseMs: 100, maxMs: 10_000 });
  let wanted = false;
  let current: Promise<void> | undefined;
  let failure: string | undefined;

  const loop = async (): Promise<void> => {
    while (wanted && !deps.signal.aborted) {
      wanted = false;
      try {
        await run();
        backoff.reset();
        failure = undefined;
      } catch (error) {
        failure = describeError(error);
        deps.log.warn('write to the API server failed, will retry', { writer: name, error: failure });
        wanted = true;
        await deps.clock.sleep(backoff.nextMs(), deps.signal);
      }
    }
    current = undefined;
  };

  return {
    mark() {
      wanted = true;
      if (current === undefined && !deps.signal.aborted) {
        // leave the event that marked us first
        current = Promise.resolve().then(loop);
      }
    },
    async idle() {
      while (current !== undefined) await current;
    },
    health: () => (failure === undefined ? { state: 'ok' } : { state: 'degraded', reason: `${name}: ${failure}` }),
  };
}
