// A local copy of one collection that stays true: paged list, watch with bookmarks, watchdog, mark and sweep.
// Called by the operator's sources and by kopf-ts' own handlers. It never writes to the API server.
import {
  AppError,
  type Backoff,
  type Clock,
  createBackoff,
  createYielder,
  type Health,
  type Living,
  type Log,
  systemClock,
} from '@axoneme/std';
import type { KubeClient, Selection } from './client.ts';
import { isKubeError } from './errors.ts';
import { type KubeObject, keyOf, type Resource } from './resource.ts';

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
  /** A collection the server does not serve (its CRD is not installed) is empty until it appears; it is asked for again after so long. */
  readonly absentMs?: number;
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
const pageSizeMax = 500;
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

interface Sync {
  /** Version to watch from; undefined: list first. */
  position: string | undefined;
  lastMs: number;
  listedMs: number;
  garbled: number;
  mark: number;
  pageSize: number;
  synced: boolean;
  health: Health;
  readonly counts: { lists: number; watches: number; failures: number; swept: number };
}

const selectionOf = (o: Selection): Selection => ({
  ...(o.namespace === undefined ? {} : { namespace: o.namespace }),
  ...(o.labelSelector === undefined ? {} : { labelSelector: o.labelSelector }),
  ...(o.fieldSelector === undefined ? {} : { fieldSelector: o.fieldSelector }),
});

/** All pages into the copy, then the sweep; returns the version of the list. */
async function listAll<T>(o: ReflectorOptions<T>, copy: Copy<T>, s: Sync, signal: AbortSignal): Promise<string> {
  const pause = createYielder(8);
  s.mark += 1;
  let token: string | undefined;
  let version = '';
  do {
    const at = token === undefined ? {} : { continueToken: token };
    const page = await o.client.list(o.resource, { ...selectionOf(o), signal, limit: s.pageSize, ...at });
    for (const item of page.items) {
      copy.upsert(item, s.mark);
      await pause();
    }
    // a page is parsed in one go: keep it small enough that the loop hardly notices
    const fits = Math.floor((pageBytesTarget * page.items.length) / Math.max(1, page.bytes));
    if (page.items.length > 0) s.pageSize = Math.max(pageSizeMin, Math.min(o.pageSize ?? pageSizeMax, fits));
    token = page.continueToken;
    version = page.resourceVersion;
  } while (token !== undefined && !signal.aborted);
  if (signal.aborted) return version;
  s.counts.swept += await copy.sweep(s.mark, pause);
  s.counts.lists += 1;
  return version;
}

/** Decides what a failure means for our position; returns whether to wait before the next try. */
function judge(error: unknown, s: Sync, nowMs: number): boolean {
  if (isKubeError(error, 'kube/gone')) {
    // once at once; if the fresh list is followed by another 410 we slow down
    const again = s.position === undefined;
    s.position = undefined;
    return again || nowMs - s.listedMs < 1_000;
  }
  if (isKubeError(error, 'kube/idle')) {
    s.position = undefined;
    return false;
  }
  if (isKubeError(error, 'kube/garbage')) {
    s.garbled += 1;
    if (s.garbled >= garbledMax) s.position = undefined;
  }
  return true;
}

/** The server knows no such collection: that is an answer too. What we held of it is gone. */
async function becomeAbsent<T>(o: ReflectorOptions<T>, copy: Copy<T>, s: Sync, onListed: () => void, signal: AbortSignal): Promise<void> {
  const clock = o.clock ?? systemClock;
  const random = o.random ?? Math.random;
  s.position = undefined;
  s.mark += 1;
  s.counts.swept += await copy.sweep(s.mark, createYielder(8));
  onListed();
  await clock.sleep((o.absentMs ?? 0) * (0.8 + 0.4 * random()), signal);
}

/** One life of a watch, from our position to its end. */
async function watchOnce<T>(o: ReflectorOptions<T>, copy: Copy<T>, s: Sync, backoff: Backoff, signal: AbortSignal): Promise<void> {
  const clock = o.clock ?? systemClock;
  const random = o.random ?? Math.random;
  const before = s.lastMs;
  s.counts.watches += 1;
  const limits = {
    timeoutSeconds: Math.round((o.watchSeconds ?? 15) * (1 + random())),
    idleMs: Math.round((o.idleMs ?? 36_000) * (0.8 + 0.4 * random())),
  };
  await o.client.watch(o.resource, { ...selectionOf(o), signal, resourceVersion: s.position ?? '', ...limits }, (e) => {
    s.lastMs = clock.monotonicMs();
    s.health = { state: 'ok' };
    backoff.reset();
    s.garbled = 0;
    s.position = e.object.metadata.resourceVersion;
    if (e.type === 'DELETED') copy.remove(keyOf(e.object));
    else if (e.type !== 'BOOKMARK') copy.upsert(e.object, s.mark);
  });
  // a watch that said nothing in its whole life, not even a bookmark at its end, proves nothing
  if (s.lastMs === before) s.position = undefined;
}

async function follow<T>(o: ReflectorOptions<T>, copy: Copy<T>, s: Sync, onListed: () => void, signal: AbortSignal): Promise<void> {
  const clock = o.clock ?? systemClock;
  const backoff = createBackoff(o.backoff ?? { baseMs: 250, maxMs: 30_000 }, o.random);
  const failed = async (error: unknown): Promise<void> => {
    if (o.absentMs !== undefined && isKubeError(error, 'kube/not-found')) return becomeAbsent(o, copy, s, onListed, signal);
    s.counts.failures += 1;
    const wait = judge(error, s, clock.monotonicMs());
    const reason = error instanceof Error ? error.message : String(error);
    s.health = { state: 'degraded', reason };
    const code = error instanceof AppError ? error.code : 'unexpected';
    o.log.warn('watch interrupted', { resource: o.resource.plural, code, reason, relist: s.position === undefined });
    const asked = error instanceof AppError ? error.fields.retryAfterMs : undefined;
    if (wait) await clock.sleep(Math.max(backoff.nextMs(), typeof asked === 'number' ? asked : 0), signal);
  };
  while (!signal.aborted) {
    const startedMs = clock.monotonicMs();
    try {
      if (s.position === undefined) {
        s.position = await listAll(o, copy, s, signal);
        if (signal.aborted) break;
        onListed();
      }
      await watchOnce(o, copy, s, backoff, signal);
      // a server that accepts and closes at once must not turn us into a busy loop
      if (clock.monotonicMs() - startedMs < 1_000) await clock.sleep(backoff.nextMs(), signal);
    } catch (error) {
      if (!signal.aborted) await failed(error);
    }
  }
  s.health = { state: 'stopped', reason: 'stopped' };
}

export function createReflector<T = KubeObject>(o: ReflectorOptions<T>): Reflector<T> {
  const clock = o.clock ?? systemClock;
  const copy = createCopy(o);
  const never = Number.NEGATIVE_INFINITY;
  const s: Sync = {
    position: undefined,
    lastMs: never,
    listedMs: never,
    garbled: 0,
    mark: 0,
    pageSize: o.pageSize ?? pageSizeMax,
    synced: false,
    health: { state: 'stopped', reason: 'not started' },
    counts: { lists: 0, watches: 0, failures: 0, swept: 0 },
  };
  let resolveSynced: () => void = () => undefined;
  const synced = new Promise<void>((r) => {
    resolveSynced = r;
  });
  const onListed = (): void => {
    s.lastMs = clock.monotonicMs();
    s.listedMs = s.lastMs;
    s.health = { state: 'ok' };
    s.garbled = 0;
    if (!s.synced) o.log.info('collection synced', { resource: o.resource.plural, objects: copy.values.size });
    s.synced = true;
    resolveSynced();
    o.onListed?.();
  };
  return {
    name: `reflector/${o.resource.plural}`,
    resource: o.resource,
    store: copy.values,
    synced,
    isSynced: () => s.synced,
    ageMs: () => clock.monotonicMs() - s.lastMs,
    stats: () => ({ ...s.counts }),
    health: () => s.health,
    async start(signal) {
      s.health = { state: 'degraded', reason: 'not synced yet' };
      void follow(o, copy, s, onListed, signal);
      await Promise.race([synced, new Promise<void>((r) => signal.addEventListener('abort', () => r(), { once: true }))]);
    },
  };
}
