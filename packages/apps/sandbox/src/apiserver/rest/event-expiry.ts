// Events live for an hour, and only so many of them at once. Started by ../server.ts.
import type { Timer } from '@axoneme/std';
import type { RestEnv } from './env.ts';

const eventAgeMaxMs = 3_600_000;
const eventsMax = 20_000;
const sweepEveryMs = 60_000;

export function startEventExpiry(env: RestEnv, signal: AbortSignal): void {
  let timer: Timer | undefined;
  const sweep = (): void => {
    const oldest = env.clock.nowMs() - eventAgeMaxMs;
    const events = env.store.list('/events', '');
    const byAge = [...events].sort((a, b) => Number(a.metadata.resourceVersion) - Number(b.metadata.resourceVersion));
    const surplus = Math.max(0, events.length - eventsMax);
    for (const [i, e] of byAge.entries()) {
      const last = Date.parse(String(e.lastTimestamp ?? e.eventTime ?? e.metadata.creationTimestamp));
      if (i < surplus || last < oldest) env.store.remove('/events', e);
    }
    again();
  };
  const again = (): void => {
    if (!signal.aborted) timer = env.clock.after(sweepEveryMs, sweep);
  };
  again();
  signal.addEventListener('abort', () => timer?.cancel());
}
