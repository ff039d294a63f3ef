// All collections and the one resourceVersion counter. The only module that commits a change. Used by ../rest and ../store/client.ts.

import { nameOf, nsOf } from '../obj.ts';
import { StatusError } from '../status-error.ts';
import type { KubeObject } from '../types.ts';
import { type ChangeListener, type Collection, createCollection, keyOf } from './collection.ts';

export interface MemoryStore {
  rv(): number;
  collection(storage: string): Collection;
  get(storage: string, ns: string, name: string): KubeObject | undefined;
  /**
   * Commits `next` in place of `expected` (undefined = must not exist). Returns the stored object with its new resourceVersion, or
   * undefined when somebody else was faster.
   */
  swap(storage: string, expected: KubeObject | undefined, next: KubeObject): KubeObject | undefined;
  /** Removes `expected`; the last event carries a fresh resourceVersion and, when given, the final content. */
  remove(storage: string, expected: KubeObject, final?: KubeObject): KubeObject | undefined;
  /** Objects of a namespace (or all) in order of key. */
  list(storage: string, ns: string): KubeObject[];
  listen(storage: string, fn: ChangeListener): () => void;
  storages(): readonly string[];
}

export function createMemoryStore(historyMax: number): MemoryStore {
  let counter = 1;
  const collections = new Map<string, Collection>();
  const collection = (storage: string): Collection => {
    let c = collections.get(storage);
    if (c === undefined) {
      c = createCollection(historyMax);
      collections.set(storage, c);
    }
    return c;
  };
  const stamp = (o: KubeObject): KubeObject => {
    counter++;
    return { ...o, metadata: { ...o.metadata, resourceVersion: String(counter) } };
  };
  return {
    rv: () => counter,
    collection,
    get: (storage, ns, name) => collection(storage).get(keyOf(ns, name)),
    swap(storage, expected, next) {
      const c = collection(storage);
      if (c.get(keyOf(nsOf(next), nameOf(next))) !== expected) return undefined;
      const object = stamp(next);
      c.apply({ type: expected === undefined ? 'ADDED' : 'MODIFIED', rv: counter, object, previous: expected });
      return object;
    },
    remove(storage, expected, final = expected) {
      const c = collection(storage);
      if (c.get(keyOf(nsOf(expected), nameOf(expected))) !== expected) return undefined;
      const object = stamp(final);
      c.apply({ type: 'DELETED', rv: counter, object, previous: expected });
      return object;
    },
    list(storage, ns) {
      const c = collection(storage);
      const prefix = ns === '' ? '' : `${ns}/`;
      const out: KubeObject[] = [];
      for (const key of c.keys()) if (key.startsWith(prefix)) out.push(c.get(key) as KubeObject);
      return out;
    },
    listen: (storage, fn) => collection(storage).listen(fn),
    storages: () => [...collections.keys()],
  };
}

/** Raised when a writer keeps losing the race; clients retry. */
export const tooBusy = (): StatusError => new StatusError(503, 'ServiceUnavailable', 'the object kept changing, try again');
