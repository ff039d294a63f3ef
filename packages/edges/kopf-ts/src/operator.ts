// Kopf's vocabulary: register handlers, then start. One reflector per resource; serial work per object.
import { AppError, type Clock, createBackoff, type Health, type Living, type Log, systemClock } from '@axoneme/std';
import { type Background, createBackground } from './background.ts';
import type { KubeClient } from './client.ts';
import { type CycleDeps, runCycle } from './cycle.ts';
import type { CauseKind, Daemon, Handler, HandlerOptions, OnRegistry, Registered, TimerOptions } from './handlers.ts';
import { createIndex, type Index } from './index-table.ts';
import { createKeyedQueue, type KeyedQueue } from './keyed-queue.ts';
import { type Change, createReflector, type Reflector, type ReflectorOptions } from './reflector.ts';
import { apiVersionOf, type KubeObject, type Resource } from './resource.ts';

export interface OperatorOptions {
  readonly client: KubeClient;
  readonly log: Log;
  readonly clock?: Clock;
  /** Domain of our annotation and finalizer. */
  readonly prefix?: string;
  /** API groups whose objects we may write to; stateful handlers for others are refused. */
  readonly ownGroups: readonly string[];
  /** False on replicas that are not the leader: stateful handlers wait. Call `wake` when it turns true. */
  readonly isActive?: () => boolean;
  readonly workersMax?: number;
  readonly reflector?: Partial<Pick<ReflectorOptions<KubeObject>, 'idleMs' | 'pageSize' | 'backoff' | 'watchSeconds'>>;
}

export interface KopfOperator extends Living {
  readonly on: OnRegistry;
  /** Keeps `entries(object)` by key for any resource. */
  index<T extends KubeObject, V>(r: Resource, entries: (o: T) => Iterable<readonly [string, V]>): Index<V>;
  timer<T extends KubeObject>(r: Resource, id: string, o: TimerOptions, run: Handler<T>): void;
  daemon<T extends KubeObject>(r: Resource, id: string, run: Daemon<T>): void;
  /** Trims objects before they are stored; only for resources without stateful handlers. */
  project(r: Resource, trim: (o: KubeObject) => KubeObject | undefined): void;
  reflectors(): readonly Reflector<KubeObject>[];
  /** Looks at every object again, e.g. after becoming the leader. */
  wake(): void;
  /** Age of the most outdated input; Infinity before the first lists. */
  ageMs(): number;
}

interface Source {
  readonly resource: Resource;
  readonly handlers: Registered[];
  readonly listeners: ((c: Change<KubeObject>) => void)[];
  readonly timers: { readonly id: string; readonly options: TimerOptions; readonly run: Handler }[];
  readonly daemons: { readonly id: string; readonly run: Daemon }[];
  trim?: (o: KubeObject) => KubeObject | undefined;
}

interface Running {
  readonly reflector: Reflector<KubeObject>;
  readonly queue: KeyedQueue | undefined;
}

const echoWaitMs = 3_000;
const sourceName = (r: Resource): string => `${apiVersionOf(r)}/${r.plural}`;

function createSources(ownGroups: readonly string[]): { all: Map<string, Source>; of(r: Resource): Source; own(r: Resource): Source } {
  const all = new Map<string, Source>();
  const of = (r: Resource): Source => {
    const s = all.get(sourceName(r)) ?? { resource: r, handlers: [], listeners: [], timers: [], daemons: [] };
    all.set(sourceName(r), s);
    return s;
  };
  return {
    all,
    of,
    own(r) {
      if (r.group === '' || !ownGroups.includes(r.group)) {
        throw new AppError({
          code: 'kopf/foreign-resource',
          message: `stateful handlers write notes onto objects; ${sourceName(r)} is not ours`,
          hint: 'use on.event or index, or name the group in ownGroups',
        });
      }
      return of(r);
    },
  };
}

function createRegistry(own: (r: Resource) => Source, of: (r: Resource) => Source): OnRegistry {
  const add = (r: Resource, kind: CauseKind | 'field', id: string, run: Handler, options: HandlerOptions = {}, path?: string): void => {
    const s = own(r);
    if (s.handlers.some((h) => h.id === id))
      throw new AppError({ code: 'kopf/duplicate-handler', message: `handler ${id} is registered twice` });
    s.handlers.push({ id, kind, run, options, ...(path === undefined ? {} : { path: path.split('.') }) });
  };
  return {
    create: (r, id, run, o) => add(r, 'create', id, run as Handler, o),
    update: (r, id, run, o) => add(r, 'update', id, run as Handler, o),
    delete: (r, id, run, o) => add(r, 'delete', id, run as Handler, o),
    resume: (r, id, run, o) => add(r, 'resume', id, run as Handler, o),
    field: (r, path, id, run, o) => add(r, 'field', id, run as Handler, o, path),
    event: (r, run) => void of(r).listeners.push(run as (c: Change<KubeObject>) => void),
  };
}

/** The serial loop over one resource with stateful handlers. */
function createWorker(
  o: OperatorOptions,
  s: Source,
  background: Background,
  signal: AbortSignal,
  current: (key: string) => KubeObject | undefined,
): KeyedQueue {
  const clock = o.clock ?? systemClock;
  const prefix = o.prefix ?? 'axoneme.io';
  const log = o.log.child({ resource: s.resource.plural });
  const awaited = new Map<string, { readonly version: string; readonly sinceMs: number }>();
  const backoff = createBackoff({ baseMs: 500, maxMs: 30_000 });
  const deps: CycleDeps = {
    client: o.client,
    clock,
    log,
    prefix,
    resource: s.resource,
    handlers: s.handlers,
    signal,
    finalize: s.daemons.length > 0 || s.handlers.some((h) => h.kind === 'delete'),
    release: (key) => background.release(key),
    resumed: new Set(),
    resuming: new Map(),
  };
  const queue: KeyedQueue = createKeyedQueue(clock, o.workersMax ?? 8, async (key) => {
    const object = current(key);
    if (object === undefined) {
      awaited.delete(key);
      deps.resumed.delete(key);
      deps.resuming.delete(key);
      return;
    }
    if (signal.aborted || o.isActive?.() === false) return;
    const echo = awaited.get(key);
    // our own write has not come back yet: acting on the older state would repeat work
    if (echo !== undefined && object.metadata.resourceVersion !== echo.version && clock.monotonicMs() - echo.sinceMs < echoWaitMs) {
      return queue.markAfter(key, echoWaitMs);
    }
    awaited.delete(key);
    try {
      if (object.metadata.deletionTimestamp === undefined) background.ensure(key, object);
      const end = await runCycle(deps, object);
      if (end.written !== undefined) awaited.set(key, { version: end.written, sinceMs: clock.monotonicMs() });
      if (end.againMs !== undefined) queue.markAfter(key, Math.max(end.againMs, 10));
      backoff.reset();
    } catch (error) {
      log.warn('cycle failed, will be tried again', { key, error });
      queue.markAfter(key, backoff.nextMs());
    }
  });
  return queue;
}

function startSource(o: OperatorOptions, s: Source, signal: AbortSignal): Running {
  const stateful = s.handlers.length + s.timers.length + s.daemons.length > 0;
  const deps = {
    client: o.client,
    clock: o.clock ?? systemClock,
    log: o.log,
    resource: s.resource,
    signal,
    isActive: o.isActive ?? (() => true),
  };
  const background = createBackground(deps, s, (key) => reflector.store.get(key));
  const queue: KeyedQueue | undefined = stateful ? createWorker(o, s, background, signal, (key) => reflector.store.get(key)) : undefined;
  const reflector: Reflector<KubeObject> = createReflector<KubeObject>({
    ...o.reflector,
    client: o.client,
    clock: o.clock ?? systemClock,
    log: o.log,
    resource: s.resource,
    ...(s.trim === undefined ? {} : { project: s.trim }),
    onChange: (c) => {
      for (const l of s.listeners) l(c);
      if (c.kind === 'delete') void background.release(c.key);
      queue?.mark(c.key);
    },
  });
  if (queue !== undefined) signal.addEventListener('abort', () => void queue.stop(), { once: true });
  return { reflector, queue };
}

export function createOperator(o: OperatorOptions): KopfOperator {
  const sources = createSources(o.ownGroups);
  let running: readonly Running[] = [];
  let health: Health = { state: 'stopped', reason: 'not started' };
  return {
    name: 'kopf',
    on: createRegistry(sources.own, sources.of),
    index(r, entries) {
      const ix = createIndex(entries as (x: KubeObject) => ReturnType<typeof entries>);
      sources.of(r).listeners.push((c) => ix.apply(c));
      return ix;
    },
    timer: (r, id, options, run) => void sources.own(r).timers.push({ id, options, run: run as Handler }),
    daemon: (r, id, run) => void sources.own(r).daemons.push({ id, run: run as Daemon }),
    project(r, trim) {
      sources.of(r).trim = trim;
    },
    reflectors: () => running.map((x) => x.reflector),
    wake() {
      for (const x of running) for (const key of x.reflector.store.keys()) x.queue?.mark(key);
    },
    ageMs: () => (running.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...running.map((x) => x.reflector.ageMs()))),
    health: () => running.map((x) => x.reflector.health()).find((h) => h.state !== 'ok') ?? health,
    async start(signal) {
      for (const s of sources.all.values()) {
        if (s.trim !== undefined && s.handlers.length > 0) {
          throw new AppError({ code: 'kopf/trimmed', message: `${sourceName(s.resource)} has stateful handlers and cannot be trimmed` });
        }
      }
      running = [...sources.all.values()].map((s) => startSource(o, s, signal));
      await Promise.all(running.map((x) => x.reflector.start(signal)));
      health = { state: 'ok' };
      signal.addEventListener('abort', () => {
        health = { state: 'stopped', reason: 'stopped' };
      });
    },
  };
}
