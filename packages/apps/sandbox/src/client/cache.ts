// A read copy of one collection, kept by a watch. Controllers and kubelets share one per kind through `createCaches`.
import type { Clock } from '@axoneme/std';
import type { Gvr, KubeObject } from '../apiserver/types.ts';
import type { KubeClient, WatchEventType } from './kube-client.ts';
import { keyOf } from './object.ts';

export type CacheListener = (type: WatchEventType, object: KubeObject, previous: KubeObject | undefined) => void;

export interface Cache {
  get(ns: string, name: string): KubeObject | undefined;
  all(): IterableIterator<KubeObject>;
  inNamespace(ns: string): KubeObject[];
  /** Called for every change from now on and once for each present object. */
  listen(listener: CacheListener): () => void;
  synced(): Promise<void>;
  /** Resolves when the cache has seen this version of the object or something newer, or after `limitMs`. */
  settle(object: KubeObject | undefined, limitMs?: number): Promise<void>;
  stop(): void;
}

interface Waiter {
  readonly key: string;
  readonly version: number;
  readonly done: () => void;
}

const versionOf = (o: KubeObject): number => Number(o.metadata.resourceVersion ?? 0);
const SETTLE_LIMIT_MS = 5000;

export function createCache(client: KubeClient, gvr: Gvr, clock: Clock): Cache {
  const objects = new Map<string, KubeObject>();
  const byNamespace = new Map<string, Map<string, KubeObject>>();
  const listeners = new Set<CacheListener>();
  const waiters = new Set<Waiter>();
  const sync = Promise.withResolvers<void>();
  let newest = 0;

  function store(type: WatchEventType, key: string, o: KubeObject): void {
    const ns = o.metadata.namespace ?? '';
    let group = byNamespace.get(ns);
    if (group === undefined) {
      group = new Map();
      byNamespace.set(ns, group);
    }
    if (type === 'DELETED') {
      objects.delete(key);
      group.delete(key);
      if (group.size === 0) byNamespace.delete(ns);
    } else {
      objects.set(key, o);
      group.set(key, o);
    }
  }

  function onEvent(type: WatchEventType, o: KubeObject): void {
    const key = keyOf(o);
    const previous = objects.get(key);
    if (type !== 'DELETED' && previous !== undefined && previous.metadata.resourceVersion === o.metadata.resourceVersion) return;
    store(type, key, o);
    newest = Math.max(newest, versionOf(o));
    const kind = type === 'DELETED' ? type : previous === undefined ? 'ADDED' : 'MODIFIED';
    for (const l of listeners) l(kind, o, previous);
    for (const w of waiters) if (w.key === key && (type === 'DELETED' || versionOf(o) >= w.version)) w.done();
  }

  const stop = client.watch(gvr, { onEvent, onSynced: () => sync.resolve() });
  return {
    get: (ns, name) => objects.get(ns === '' ? name : `${ns}/${name}`),
    all: () => objects.values(),
    inNamespace: (ns) => [...(byNamespace.get(ns)?.values() ?? [])],
    listen(listener) {
      listeners.add(listener);
      for (const o of objects.values()) listener('ADDED', o, undefined);
      return () => listeners.delete(listener);
    },
    synced: () => sync.promise,
    settle(object, limitMs = SETTLE_LIMIT_MS) {
      if (object === undefined) return Promise.resolve();
      const key = keyOf(object);
      const version = versionOf(object);
      const held = objects.get(key);
      if (newest >= version && (held === undefined || versionOf(held) >= version)) return Promise.resolve();
      return new Promise((resolve) => {
        const timer = clock.after(limitMs, () => waiter.done());
        const waiter: Waiter = {
          key,
          version,
          done: () => {
            timer.cancel();
            waiters.delete(waiter);
            resolve();
          },
        };
        waiters.add(waiter);
      });
    },
    stop,
  };
}

export interface Caches {
  of(gvr: Gvr): Cache;
  stop(): void;
}

export function createCaches(client: KubeClient, clock: Clock): Caches {
  const caches = new Map<string, Cache>();
  return {
    of(gvr) {
      const id = `${gvr.group}/${gvr.version}/${gvr.resource}`;
      let cache = caches.get(id);
      if (cache === undefined) {
        cache = createCache(client, gvr, clock);
        caches.set(id, cache);
      }
      return cache;
    },
    stop() {
      for (const c of caches.values()) c.stop();
      caches.clear();
    },
  };
}
