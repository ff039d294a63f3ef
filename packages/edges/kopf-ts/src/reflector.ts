// A local copy of one collection that stays true: paged list, watch with bookmarks, watchdog, mark and sweep.
// Called by the operator's sources and by kopf-ts' own handlers. It never writes to the API server.
import { type AppError, type Clock, createBackoff, createYielder, type Health, type Living, type Log, systemClock } from '@axoneme/std';
import type { KubeClient, Selection } from './client.ts';
import { isKubeError } from './errors.ts';
import { type KubeObject, keyOf, type Resource } from './resource.ts';
import type { WatchEvent } from './watch.ts';

/** What changed in the copy. `old` is the value before. A re-created object (new uid) arrives as delete, then upsert. */
export type Change<T> =
  | { readonly kind: 'upsert'; readonly key: string; readonly value: T; readonly old?: T }
  | { readonly kind: 'delete'; readonly key: string; readonly old: T };

export interface ReflectorStats {
  readonly lists: number;
  readonly watches: number;
  readonly failures: number;
  /** Deletions that no watch had told and the sweep found. */
  readonly swept: number;
}

export interface Reflector<T> extends Living {
  readonly resource: Resource;
  /** By `namespace/name` (or `name`). The same map for the whole life; do not keep it across awaits as if it were a snapshot. */
  readonly store: ReadonlyMap<string, T>;
  /** Resolves after the first complete list. */
  readonly synced: Promise<void>;
  isSynced(): boolean;
  /** Milliseconds since the API server last told us anything (event, bookmark or complete list). Infinity before the first list. */
  ageMs(): number;
  stats(): ReflectorStats;
}

export interface ReflectorOptions<T> extends Selection {
  readonly client: KubeClient;
  readonly resource: Resource;
  /** Keeps what is needed before anything is stored; undefined leaves the object out. Absent: the object itself. */
  readonly project?: (o: KubeObject) => T | undefined;
  /** Called synchronously; note it and return. An exception here is logged and the change counts as delivered. */
  readonly onChange?: (c: Change<T>) => void;
  /** After each complete list, once its changes and deletions are delivered. */
  readonly onListed?: () => void;
  readonly log: Log;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly pageSize?: number;
  /** Longest silence of a watch (± 20 %). */
  readonly idleMs?: number;
  /** Server-side life of a watch (between 1× and 2×). Short, because servers send a bookmark before the end: it bounds `ageMs`. */
  readonly watchSeconds?: number;
  readonly backoff?: { readonly baseMs: number; readonly maxMs: number };
}

interface Entry<T> {
  readonly value: T;
  readonly uid: string;
  readonly version: string;
  /** Number of the list that last saw it. */
  mark: number;
}

const pageBytesTarget = 1024 * 1024;
const pageSizeMin = 50;
/** So many garbled watches in a row and we list again instead of trusting the position. */
const garbledMax = 2;

interface Copy<T> {
  readonly values: ReadonlyMap<string, T>;
  upsert(o: KubeObject, mark: number): void;
  remove(key: string): void;
  sweep(mark: number, pause: () => Promise<void>): Promise<number>;
}

function createCopy<T>(o: ReflectorOptions<T>): Copy<T> {
  const entries = new Map<string, Entry<T>>();
  const values = new Map<string, T>();
  const tell = (c: Change<T>): void => {
    try {
      o.onChange?.(c);
    } catch (error) {
      o.log.error('change handler failed', { resource: o.resource.plural, key: c.key, error });
    }
  };
  const remove = (key: string): void => {
    const e = entries.get(key);
    if (e === undefined) return;
    entries.delete(key);
    values.delete(key);
    tell({ kind: 'delete', key, old: e.value });
  };
  return {
    values,
    remove,
    upsert(object, mark) {
      const key = keyOf(object);
      const { uid = '', resourceVersion: version = '' } = object.metadata;
      const held = entries.get(key);
      if (held !== undefined && held.uid === uid && held.version === version) {
        held.mark = mark;
        return;
      }
      const value = o.project === undefined ? (object as T) : o.project(object);
      if (held !== undefined && (held.uid !== uid || value === undefined)) remove(key);
      if (value === undefined) return;
      const old = entries.get(key)?.value;
      entries.set(key, { value, uid, version, mark });
      values.set(key, value);
      tell({ kind: 'upsert', key, value, ...(old === undefined ? {} : { old }) });
    },
    async sweep(mark, pause) {
      let swept = 0;
      for (const [key, e] of entries) {
        if (e.mark !== mark) {
          remove(key);
          swept += 1;
        }
        await pause();
      }
      return swept;
    },
  };
}

export function createReflector<T = KubeObject>(o: ReflectorOptions<T>): Reflector<T> {
  const clock = o.clock ?? systemClock;
  const random = o.random ?? Math.random;
  const idleMs = o.idleMs ?? 36_000;
  const copy = createCopy(o);
  const backoff = createBackoff(o.backoff ?? { baseMs: 250, maxMs: 30_000 }, random);
  const counts = { lists: 0, watches: 0, failures: 0, swept: 0 };
  const selection: Selection = {
    ...(o.namespace === undefined ? {} : { namespace: o.namespace }),
    ...(o.labelSelector === undefined ? {} : { labelSelector: o.labelSelector }),
    ...(o.fieldSelector === undefined ? {} : { fieldSelector: o.fieldSelector }),
  };
  let lastMs = Number.NEGATIVE_INFINITY;
  let listedMs = Number.NEGATIVE_INFINITY;
  let pageSize = o.pageSize ?? 500;
  let mark = 0;
  let position: string | undefined;
  let garbled = 0;
  let synced = false;
  let health: Health = { state: 'stopped', reason: 'not started' };
  let resolveSynced: () => void = () => undefined;
  const syncedPromise = new Promise<void>((r) => {
    resolveSynced = r;
  });

  const alive = (): void => {
    lastMs = clock.monotonicMs();
    health = { state: 'ok' };
  };

  const listAll = async (signal: AbortSignal): Promise<string> => {
    const pause = createYielder(8);
    mark += 1;
    let token: string | undefined;
    let version = '';
    do {
      const page = await o.client.list(o.resource, {
        ...selection,
        signal,
        limit: pageSize,
        ...(token === undefined ? {} : { continueToken: token }),
      });
      for (const item of page.items) {
        copy.upsert(item, mark);
        await pause();
      }
      // a page is parsed in one go: keep it small enough that the loop hardly notices
      const perItem = page.bytes / Math.max(1, page.items.length);
      if (page.items.length > 0) pageSize = Math.max(pageSizeMin, Math.min(o.pageSize ?? 500, Math.floor(pageBytesTarget / perItem)));
      token = page.continueToken;
      version = page.resourceVersion;
    } while (token !== undefined && !signal.aborted);
    counts.swept += await copy.sweep(mark, pause);
    counts.lists += 1;
    return version;
  };

  const onEvent = (e: WatchEvent): void => {
    alive();
    backoff.reset();
    garbled = 0;
    position = e.object.metadata.resourceVersion;
    if (e.type === 'DELETED') copy.remove(keyOf(e.object));
    else if (e.type !== 'BOOKMARK') copy.upsert(e.object, mark);
  };

  const cycle = async (signal: AbortSignal): Promise<void> => {
    if (position === undefined) {
      position = await listAll(signal);
      if (signal.aborted) return;
      alive();
      listedMs = lastMs;
      garbled = 0;
      if (!synced) o.log.info('collection synced', { resource: o.resource.plural, objects: copy.values.size });
      synced = true;
      resolveSynced();
      o.onListed?.();
    }
    counts.watches += 1;
    const before = lastMs;
    await o.client.watch(
      o.resource,
      {
        ...selection,
        signal,
        resourceVersion: position,
        timeoutSeconds: Math.round((o.watchSeconds ?? 15) * (1 + random())),
        idleMs: Math.round(idleMs * (0.8 + 0.4 * random())),
      },
      onEvent,
    );
    // a watch that said nothing in its whole life, not even a bookmark at its end, proves nothing
    if (lastMs === before) position = undefined;
  };

  /** Decides what a failure means for our position; returns whether to wait before the next try. */
  const judge = (error: unknown): boolean => {
    if (isKubeError(error, 'kube/gone')) {
      // once at once; if the fresh list is followed by another 410 we slow down
      const again = position === undefined;
      position = undefined;
      return again || clock.monotonicMs() - listedMs < 1_000;
    }
    if (isKubeError(error, 'kube/idle')) {
      position = undefined;
      return false;
    }
    if (isKubeError(error, 'kube/garbage')) {
      garbled += 1;
      if (garbled >= garbledMax) position = undefined;
    }
    return true;
  };

  const run = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      const startedMs = clock.monotonicMs();
      try {
        await cycle(signal);
        // a server that accepts and closes at once must not turn us into a busy loop
        if (clock.monotonicMs() - startedMs < 1_000) await clock.sleep(backoff.nextMs(), signal);
      } catch (error) {
        if (signal.aborted) break;
        counts.failures += 1;
        const wait = judge(error);
        const reason = error instanceof Error ? error.message : String(error);
        health = { state: 'degraded', reason };
        o.log.warn('watch interrupted', {
          resource: o.resource.plural,
          code: (error as AppError).code,
          reason,
          relist: position === undefined,
        });
        const asked = (error as AppError).fields?.retryAfterMs;
        if (wait) await clock.sleep(Math.max(backoff.nextMs(), typeof asked === 'number' ? asked : 0), signal);
      }
    }
    health = { state: 'stopped', reason: 'stopped' };
  };

  return {
    name: `reflector/${o.resource.plural}`,
    resource: o.resource,
    store: copy.values,
    synced: syncedPromise,
    isSynced: () => synced,
    ageMs: () => clock.monotonicMs() - lastMs,
    stats: () => ({ ...counts }),
    health: () => health,
    async start(signal) {
      health = { state: 'degraded', reason: 'not synced yet' };
      void run(signal);
      await Promise.race([syncedPromise, new Promise<void>((r) => signal.addEventListener('abort', () => r(), { once: true }))]);
    },
  };
}
