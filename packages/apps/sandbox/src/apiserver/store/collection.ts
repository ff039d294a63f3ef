// One collection of objects with its history: get, sorted list, commit, watch. Knows nothing of HTTP or kinds. Used by ../store/memory.ts.

import { nameOf, nsOf } from '../obj.ts';
import type { KubeObject } from '../types.ts';

export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly rv: number;
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
}

export type ChangeListener = (c: Change) => void;

export const keyOf = (ns: string, name: string): string => `${ns}/${name}`;

export interface Collection {
  get(key: string): KubeObject | undefined;
  size(): number;
  /** Keys in order; shared, do not change. */
  keys(): readonly string[];
  apply(c: Change): void;
  /** Changes after `rv`, or undefined when history no longer reaches back that far. */
  since(rv: number): readonly Change[] | undefined;
  listen(fn: ChangeListener): () => void;
}

export function createCollection(historyMax: number): Collection {
  const objects = new Map<string, KubeObject>();
  const listeners = new Set<ChangeListener>();
  let sorted: string[] | undefined;
  let history: Change[] = [];
  // nothing happened before the collection was made
  let oldest = 0;
  return {
    get: (key) => objects.get(key),
    size: () => objects.size,
    keys() {
      sorted ??= [...objects.keys()].sort(compareKeys);
      return sorted;
    },
    apply(c) {
      const key = keyOf(nsOf(c.object), nameOf(c.object));
      if (c.type === 'DELETED') objects.delete(key);
      else objects.set(key, c.object);
      if (c.type !== 'MODIFIED') sorted = undefined;
      history.push(c);
      if (history.length > historyMax * 2) {
        oldest = history[history.length - historyMax - 1]?.rv ?? oldest;
        history = history.slice(-historyMax);
      }
      for (const fn of [...listeners]) fn(c);
    },
    since(rv) {
      if (rv < oldest) return undefined;
      let lo = 0;
      let hi = history.length;
      while (lo < hi) {
        const mid = (lo + hi) >> 1;
        if ((history[mid] as Change).rv <= rv) lo = mid + 1;
        else hi = mid;
      }
      return history.slice(lo);
    },
    listen(fn) {
      listeners.add(fn);
      return () => listeners.delete(fn);
    },
  };
}

function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
