// An in-memory index over a reflector: key → values, kept current by changes.
import type { Change } from './reflector.ts';

export interface Index<V> {
  get(key: string): readonly V[];
  keys(): IterableIterator<string>;
  has(key: string): boolean;
}

export interface MutableIndex<T, V> extends Index<V> {
  apply(c: Change<T>): void;
}

/** `entries` names the index keys of an object and the value stored under each. */
export function createIndex<T, V>(entries: (o: T) => Iterable<readonly [string, V]>): MutableIndex<T, V> {
  const table = new Map<string, Map<string, V>>();
  const byObject = new Map<string, readonly string[]>();
  const drop = (object: string): void => {
    for (const k of byObject.get(object) ?? []) {
      const m = table.get(k);
      m?.delete(object);
      if (m?.size === 0) table.delete(k);
    }
    byObject.delete(object);
  };
  return {
    apply(c) {
      drop(c.key);
      if (c.kind === 'delete') return;
      const keys: string[] = [];
      for (const [k, v] of entries(c.value)) {
        const m = table.get(k) ?? new Map<string, V>();
        table.set(k, m);
        m.set(c.key, v);
        keys.push(k);
      }
      if (keys.length > 0) byObject.set(c.key, keys);
    },
    get: (key) => [...(table.get(key)?.values() ?? [])],
    keys: () => table.keys(),
    has: (key) => table.has(key),
  };
}
