// Finds the selectors an identity may match, and the identities a selector may match, without trying all. Private to selection.ts.
import { type IdentityId, type Labels, labelKeys, type Requirement, type Selector } from '@axoneme/model';

/** Sets by key; an empty set is not kept. */
export interface MultiMap<K, V> {
  add(key: K, value: V): void;
  delete(key: K, value: V): void;
  get(key: K): ReadonlySet<V>;
  has(key: K): boolean;
}

export function createMultiMap<K, V>(): MultiMap<K, V> {
  const sets = new Map<K, Set<V>>();
  const none: ReadonlySet<V> = new Set();
  return {
    add(key, value) {
      const set = sets.get(key);
      if (set === undefined) sets.set(key, new Set([value]));
      else set.add(value);
    },
    delete(key, value) {
      const set = sets.get(key);
      if (set?.delete(value) === true && set.size === 0) sets.delete(key);
    },
    get: (key) => sets.get(key) ?? none,
    has: (key) => sets.has(key),
  };
}

/** A place every identity is in: for selectors that no label can narrow. */
const everywhere = '*';

/** Places of an identity: each label with and without value, under its source and under `any`. */
export function placesOf(labels: Labels): string[] {
  const out = [everywhere];
  for (const [key, values] of labels.index) {
    out.push(key);
    for (const v of values) out.push(`${key}=${v}`);
  }
  return out;
}

/** Places that together hold every identity the selector can match; the most telling requirement is used. */
export function placesFor(selector: Selector): string[] {
  let best: Requirement | undefined;
  for (const r of selector.requirements) if (best === undefined || rank(r) < rank(best)) best = r;
  if (best === undefined || rank(best) === 9) return [everywhere];
  const { at } = best;
  return best.operator === 'In' ? best.values.map((v) => `${at}=${v}`) : [at];
}

/** Lower tells more: own labels before the namespace before the cluster. */
function rank(r: Requirement): number {
  if (r.operator !== 'In' && r.operator !== 'Exists') return 9;
  const wide = r.key === labelKeys.cluster ? 3 : r.key === labelKeys.namespace ? 1 : 0;
  return r.operator === 'In' ? wide : wide + 2;
}

export type IdentityPlaces = MultiMap<string, IdentityId>;
