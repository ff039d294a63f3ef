// Timers and daemons: work beside the cycle, one set per object, ended before the object's finalizer goes.
import type { Clock, Log } from '@axoneme/std';
import type { KubeClient } from './client.ts';
import { createDraft, flush } from './cycle.ts';
import type { Daemon, Handler, TimerOptions } from './handlers.ts';
import type { KubeObject, Resource } from './resource.ts';

export interface BackgroundDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly resource: Resource;
  readonly signal: AbortSignal;
  readonly isActive: () => boolean;
}

export interface BackgroundWork {
  readonly timers: readonly { readonly id: string; readonly options: TimerOptions; readonly run: Handler }[];
  readonly daemons: readonly { readonly id: string; readonly run: Daemon }[];
}

export interface Background {
  /** Starts what is not running yet for this object. */
  ensure(key: string, o: KubeObject): void;
  /** Ends it; waits a bounded time. */
  release(key: string): Promise<void>;
}

const daemonEndMs = 10_000;

export function createBackground(d: BackgroundDeps, work: BackgroundWork, current: (key: string) => KubeObject | undefined): Background {
  const live = new Map<string, { readonly abort: AbortController; readonly ended: Promise<unknown> }>();

  const tick = async (key: string, t: BackgroundWork['timers'][number], signal: AbortSignal): Promise<void> => {
    const object = current(key);
    if (object === undefined || object.metadata.deletionTimestamp !== undefined || !d.isActive()) return;
    const draft = createDraft();
    await t.run({ object, key, cause: 'resume', attempt: 0, patch: draft, log: d.log.child({ timer: t.id, key }), signal });
    await flush(d, object, draft);
  };

  const runTimer = async (key: string, t: BackgroundWork['timers'][number], signal: AbortSignal): Promise<void> => {
    await d.clock.sleep(t.options.initialDelayMs ?? t.options.intervalMs, signal);
    while (!signal.aborted) {
      await tick(key, t, signal).catch((error: unknown) => d.log.warn('timer failed', { timer: t.id, key, error }));
      await d.clock.sleep(t.options.intervalMs, signal);
    }
  };

  return {
    ensure(key, object) {
      if (live.has(key) || work.timers.length + work.daemons.length === 0) return;
      const abort = new AbortController();
      const onStop = (): void => abort.abort();
      d.signal.addEventListener('abort', onStop, { once: true });
      const jobs = [
        ...work.timers.map((t) => runTimer(key, t, abort.signal)),
        ...work.daemons.map((x) =>
          x
            .run({ object, key, log: d.log.child({ daemon: x.id, key }), signal: abort.signal })
            .catch((error: unknown) => d.log.warn('daemon failed', { daemon: x.id, key, error })),
        ),
      ];
      const ended = Promise.all(jobs).finally(() => d.signal.removeEventListener('abort', onStop));
      live.set(key, { abort, ended });
    },
    async release(key) {
      const l = live.get(key);
      if (l === undefined) return;
      live.delete(key);
      l.abort.abort();
      const patience = new AbortController();
      await Promise.race([l.ended, d.clock.sleep(daemonEndMs, patience.signal)]);
      patience.abort();
    },
  };
}
