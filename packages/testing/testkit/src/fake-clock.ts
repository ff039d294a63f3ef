// A clock that stands still until told. Implements the Clock port; used by tests of everything that waits.
import type { Clock, Timer } from '@axoneme/std';

export interface FakeClock extends Clock {
  /** Moves time on and runs what falls due, in order of time, then of registration. */
  advance(ms: number): void;
  /** As `advance`, but lets promise chains settle after each timer. */
  advanceAsync(ms: number): Promise<void>;
  /** Timers that have not fired. */
  pending(): number;
}

interface Entry {
  readonly dueMs: number;
  readonly sequence: number;
  readonly run: () => void;
}

export function createFakeClock(startMs = 1_700_000_000_000): FakeClock {
  let elapsedMs = 0;
  let sequence = 0;
  const timers = new Set<Entry>();
  const add = (delayMs: number, run: () => void): Entry => {
    const entry = { dueMs: elapsedMs + Math.max(0, delayMs), sequence: sequence++, run };
    timers.add(entry);
    return entry;
  };
  const nextDue = (untilMs: number): Entry | undefined =>
    [...timers].filter((t) => t.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs || a.sequence - b.sequence)[0];
  const fire = (entry: Entry): void => {
    elapsedMs = Math.max(elapsedMs, entry.dueMs);
    timers.delete(entry);
    entry.run();
  };
  return {
    nowMs: () => startMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    pending: () => timers.size,
    after(delayMs, fn): Timer {
      const entry = add(delayMs, fn);
      return { cancel: () => void timers.delete(entry) };
    },
    sleep(delayMs, signal) {
      return new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const done = (): void => {
          timers.delete(entry);
          signal?.removeEventListener('abort', done);
          resolve();
        };
        const entry = add(delayMs, done);
        signal?.addEventListener('abort', done, { once: true });
      });
    },
    advance(ms) {
      const untilMs = elapsedMs + ms;
      for (let t = nextDue(untilMs); t !== undefined; t = nextDue(untilMs)) fire(t);
      elapsedMs = untilMs;
    },
    async advanceAsync(ms) {
      const untilMs = elapsedMs + ms;
      await settle();
      for (let t = nextDue(untilMs); t !== undefined; t = nextDue(untilMs)) {
        fire(t);
        await settle();
      }
      elapsedMs = untilMs;
    },
  };
}

/** One turn of the event loop: everything already resolved runs to its end. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
