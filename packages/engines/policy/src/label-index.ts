// Finds the selectors an identity may match, and the identities a selector may match, without trying all. Private to selection.ts.
import { type Labels, labelKeys, type Requirement, type Selector } from '@axoneme/model';

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

/**
 * Ways to find the selector: each is a list of places that together hold every identity the selector can match. The caller takes the
 * least crowded one; any is right. Where it is a tie, the first: the namespace, then other labels, then the cluster.
 */
export function waysTo(selector: Selector): readonly (readonly string[])[] {
  const usable = selector.requirements.filter((r) => r.operator === 'In' || r.operator === 'Exists').sort((a, b) => rank(a) - rank(b));
  if (usable.length === 0) return [[everywhere]];
  return usable.map(({ at, operator, values }) => (operator === 'In' ? values.map((v) => `${at}=${v}`) : [at]));
}

/** The way whose places hold the fewest. */
export function leastCrowded<V>(ways: readonly (readonly string[])[], index: MultiMap<string, V>): readonly string[] {
  let best = ways[0]!;
  let fewest = Number.POSITIVE_INFINITY;
  for (const way of ways) {
    const count = way.reduce((sum, place) => sum + index.get(place).size, 0);
    if (count < fewest) {
      best = way;
      fewest = count;
    }
  }
  return best;
}

function rank(r: Requirement): number {
  const wide = r.key === labelKeys.cluster ? 2 : r.key === labelKeys.namespace ? 0 : 1;
  return r.operator === 'In' ? wide : wide + 3;
}
