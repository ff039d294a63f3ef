// Kubernetes Events about objects, for `kubectl describe`. Equal events are counted on one object; floods are dropped and counted.
import { type Clock, createBackoff, hash32, type Log, systemClock } from '@axoneme/std';
import type { KubeClient } from './client.ts';
import { isKubeError } from './errors.ts';
import { type KubeObject, keyOf, resources } from './resource.ts';

export interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export interface EventNote {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase word. */
  readonly reason: string;
  readonly message: string;
}

export interface EventRecorder {
  /** Never throws, never waits. */
  record(about: EventSubject, note: EventNote): void;
  /** Resolves when nothing is queued. */
  flush(): Promise<void>;
  readonly dropped: () => number;
}

export interface EventRecorderOptions {
  readonly client: KubeClient;
  /** Shown in the FROM column. */
  readonly component: string;
  readonly log: Log;
  readonly clock?: Clock;
  /** Same event within this time: one write with a higher count. */
  readonly quietMs?: number;
  /** Sustained events per second over all objects. */
  readonly ratePerSecond?: number;
}

interface Entry {
  readonly about: EventSubject;
  readonly note: EventNote;
  readonly firstMs: number;
  pending: number;
  lastWriteMs: number;
}

interface StoredEvent extends KubeObject {
  readonly count?: number;
}

const queueMax = 1024;
const knownMax = 4096;
const messageMax = 1024;
const attemptsMax = 3;

const isoSeconds = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

interface Limiter {
  take(): boolean;
}

function createLimiter(clock: Clock, rate: number): Limiter {
  let tokens = rate * 2;
  let refilledMs = clock.monotonicMs();
  return {
    take() {
      const now = clock.monotonicMs();
      tokens = Math.min(rate * 2, tokens + ((now - refilledMs) / 1000) * rate);
      refilledMs = now;
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
  };
}

const newEvent = (o: EventRecorderOptions, e: Entry, name: string, namespace: string, count: number, last: string): KubeObject =>
  ({
    metadata: { name, namespace },
    involvedObject: e.about,
    type: e.note.type,
    reason: e.note.reason,
    message: e.note.message,
    source: { component: o.component },
    reportingComponent: o.component,
    reportingInstance: o.component,
    count,
    firstTimestamp: isoSeconds(e.firstMs),
    lastTimestamp: last,
  }) as KubeObject;

/** Writes what is pending of one entry: a new Event, or a higher count on the one that is there (also from before a restart). */
async function writeEntry(o: EventRecorderOptions, clock: Clock, id: string, e: Entry): Promise<void> {
  const namespace = e.about.namespace ?? 'default';
  const name = `${e.about.name.slice(0, 200)}.${id}`;
  const last = isoSeconds(clock.nowMs());
  const added = e.pending;
  e.pending = 0;
  e.lastWriteMs = clock.monotonicMs();
  const held = await o.client.find<StoredEvent>(resources.events, { name, namespace });
  if (held === undefined) {
    await o.client.create(resources.events, newEvent(o, e, name, namespace, added, last));
    return;
  }
  const body = { count: (held.count ?? 1) + added, lastTimestamp: last, message: e.note.message };
  await o.client.patch(resources.events, { name, namespace }, { type: 'merge', body });
}

async function writeWithRetries(o: EventRecorderOptions, clock: Clock, id: string, e: Entry): Promise<void> {
  const backoff = createBackoff({ baseMs: 200, maxMs: 5_000 });
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const pending = e.pending;
    try {
      return await writeEntry(o, clock, id, e);
    } catch (error) {
      e.pending += pending;
      // the namespace is going away, or we may not write here: trying again changes nothing
      if (isKubeError(error, 'kube/not-found') || isKubeError(error, 'kube/forbidden')) return;
      if (attempt === attemptsMax) o.log.warn('event not written', { reason: e.note.reason, object: keyOf(e.about), error });
      else await clock.sleep(backoff.nextMs());
    }
  }
}

export function createEventRecorder(o: EventRecorderOptions): EventRecorder {
  const clock = o.clock ?? systemClock;
  const quietMs = o.quietMs ?? 10_000;
  const limiter = createLimiter(clock, o.ratePerSecond ?? 20);
  const known = new Map<string, Entry>();
  const queue = new Set<string>();
  let dropped = 0;
  let running: Promise<void> | undefined;

  const drain = async (): Promise<void> => {
    for (const id of queue) {
      queue.delete(id);
      const e = known.get(id);
      if (e !== undefined) await writeWithRetries(o, clock, id, e);
    }
  };
  const kick = (): void => {
    running ??= drain().finally(() => {
      running = undefined;
      if (queue.size > 0) kick();
    });
  };
  return {
    record(about, note) {
      const short = { ...note, message: note.message.slice(0, messageMax) };
      const id = hash32(
        about.kind,
        '\0',
        keyOf(about),
        '\0',
        about.uid ?? '',
        '\0',
        short.type,
        short.reason,
        '\0',
        short.message,
      ).toString(16);
      const e = known.get(id) ?? { about, note: short, firstMs: clock.nowMs(), pending: 0, lastWriteMs: Number.NEGATIVE_INFINITY };
      e.pending += 1;
      known.delete(id);
      known.set(id, e);
      if (known.size > knownMax) known.delete(known.keys().next().value as string);
      if (clock.monotonicMs() - e.lastWriteMs < quietMs || queue.has(id)) return;
      if (queue.size >= queueMax || !limiter.take()) {
        dropped += 1;
        return;
      }
      queue.add(id);
      kick();
    },
    async flush() {
      while (running !== undefined) await running;
    },
    dropped: () => dropped,
  };
}
