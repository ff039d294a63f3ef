// Serial work per key, bounded over all keys. A key marked while it runs runs once more; the newest state wins.
import type { Clock, Timer } from '@axoneme/std';

export interface KeyedQueue {
  mark(key: string): void;
  /** Marks later; an earlier wish for the same key stands. */
  markAfter(key: string, delayMs: number): void;
  forget(key: string): void;
  /** No new work is started; resolves when the running work has ended. */
  stop(): Promise<void>;
  size(): number;
}

export function createKeyedQueue(clock: Clock, workersMax: number, work: (key: string) => Promise<void>): KeyedQueue {
  const waiting = new Set<string>();
  const running = new Map<string, Promise<void>>();
  const timers = new Map<string, { readonly timer: Timer; readonly atMs: number }>();
  let stopped = false;

  const pump = (): void => {
    for (const key of waiting) {
      if (stopped || running.size >= workersMax) return;
      if (running.has(key)) continue;
      waiting.delete(key);
      running.set(
        key,
        work(key).finally(() => {
          running.delete(key);
          pump();
        }),
      );
    }
  };
  const mark = (key: string): void => {
    if (stopped) return;
    waiting.add(key);
    pump();
  };
  const forget = (key: string): void => {
    timers.get(key)?.timer.cancel();
    timers.delete(key);
    waiting.delete(key);
  };
  return {
    mark,
    forget,
    markAfter(key, delayMs) {
      const atMs = clock.monotonicMs() + delayMs;
      const held = timers.get(key);
      if (stopped || (held !== undefined && held.atMs <= atMs)) return;
      held?.timer.cancel();
      const timer = clock.after(delayMs, () => {
        timers.delete(key);
        mark(key);
      });
      timers.set(key, { timer, atMs });
    },
    async stop() {
      stopped = true;
      for (const t of timers.values()) t.timer.cancel();
      timers.clear();
      waiting.clear();
      await Promise.allSettled(running.values());
    },
    size: () => waiting.size + running.size,
  };
}
