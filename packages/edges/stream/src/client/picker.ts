// Order in which operator replicas are tried: the one known to lead first, those that disappointed last. Called by the sync client.
import type { Clock } from '@axoneme/std';

export interface Picker {
  next(): string | undefined;
  /** Nobody else knows better than this: tried first, once. */
  prefer(endpoint: string): void;
  /** Other replicas go first for a while. False when there is nobody else to go to. */
  avoid(endpoint: string, forMs: number): boolean;
  others(endpoint: string): readonly string[];
}

export function createPicker(endpoints: () => readonly string[], clock: Clock, random: () => number): Picker {
  const avoided = new Map<string, number>();
  let turn = Math.floor(random() * 1024);
  let preferred: string | undefined;
  const good = (): readonly string[] => {
    const now = clock.monotonicMs();
    for (const [e, until] of avoided) if (until <= now) avoided.delete(e);
    return endpoints().filter((e) => !avoided.has(e));
  };
  return {
    next() {
      const first = preferred;
      preferred = undefined;
      if (first !== undefined && endpoints().includes(first)) return first;
      const usable = good();
      // All bad is as good as all good: somebody must be asked.
      const list = usable.length > 0 ? usable : endpoints();
      return list[turn++ % Math.max(1, list.length)];
    },
    prefer(endpoint) {
      avoided.delete(endpoint);
      preferred = endpoint;
    },
    avoid(endpoint, forMs) {
      if (!good().some((e) => e !== endpoint)) return false;
      avoided.set(endpoint, clock.monotonicMs() + forMs);
      return true;
    },
    others: (endpoint) => endpoints().filter((e) => e !== endpoint),
  };
}
