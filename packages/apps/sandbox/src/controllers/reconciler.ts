// The loop all controllers share: keys are marked dirty by events, worked off a few at a time, tried again with backoff.
import { type Backoff, type Clock, createBackoff, describeError, type Log } from '@axoneme/std';
import type { Caches } from '../client/cache.ts';
import { isConflict, isNotFound, type KubeClient } from '../client/kube-client.ts';

export interface ControllerDeps {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Controller {
  readonly name: string;
  start(): void;
  stop(): void;
}

export interface Reconciler {
  /** Marks a key dirty; it is reconciled soon, once, however often it is marked meanwhile. */
  mark(key: string): void;
  markAfter(key: string, delayMs: number): void;
  stop(): void;
}

const WORKERS = 4;
const RETRY = { baseMs: 50, maxMs: 5000 };

export function createReconciler(name: string, d: ControllerDeps, reconcile: (key: string) => Promise<void>): Reconciler {
  const dirty = new Set<string>();
  const busy = new Set<string>();
  const backoffs = new Map<string, Backoff>();
  let stopped = false;
  let scheduled = false;

  function retry(key: string, e: unknown): void {
    let b = backoffs.get(key);
    if (b === undefined) {
      b = createBackoff(RETRY);
      backoffs.set(key, b);
    }
    if (!isConflict(e) && !isNotFound(e)) d.log.warn('reconcile failed', { controller: name, key, error: describeError(e) });
    d.clock.after(b.nextMs(), () => mark(key));
  }

  async function work(key: string): Promise<void> {
    busy.add(key);
    try {
      await reconcile(key);
      backoffs.delete(key);
    } catch (e) {
      if (!stopped) retry(key, e);
    } finally {
      busy.delete(key);
      schedule();
    }
  }

  function schedule(): void {
    if (scheduled || stopped || dirty.size === 0) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      for (const key of dirty) {
        if (busy.size >= WORKERS || stopped) return;
        if (busy.has(key)) continue;
        dirty.delete(key);
        void work(key);
      }
    });
  }

  function mark(key: string): void {
    dirty.add(key);
    schedule();
  }

  return {
    mark,
    markAfter(key, delayMs) {
      d.clock.after(delayMs, () => mark(key));
    },
    stop() {
      stopped = true;
      dirty.clear();
    },
  };
}
