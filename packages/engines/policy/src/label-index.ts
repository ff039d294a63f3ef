// Finds the selectors an identity may match, and the identities a selector may match, without trying all. Private to selection.ts.
import { type Labels, labelKeys, type Requirement, type Selector } from '@axoneme/model';

/** Sets by key; an empty set is not kept. */
export interface MultiMap<K, V> {
  add(key: K, value: V): void;
  delete(key: K, value: V): void;
  get(key: K): ReadonlySet<V>;
  has(key: K): boolean;
  count(key: K): number;
}

/** Most keys have one value, so that one is kept without a set around it. Values are never sets themselves. */
export function createMultiMap<K, V>(): MultiMap<K, V> {
  const entries = new Map<K, V | Set<V>>();
  const none: ReadonlySet<V> = new Set();
  return {
    add(key, value) {
      const held = entries.get(key);
      if (held instanceof Set) held.add(value);
      else if (held === undefined) entries.set(key, value);
      else if (held !== value) entries.set(key, new Set([held, value]));
    },
    delete(key, value) {
      const held = entries.get(key);
      if (held instanceof Set) {
        held.delete(value);
        if (held.size === 1) for (const last of held) entries.set(key, last);
      } else if (held === value) entries.delete(key);
    },
    get(key) {
      const held = entries.get(key);
      return held === undefined ? none : held instanceof Set ? held : new Set([held]);
    },
    has: (key) => entries.has(key),
    count(key) {
      const held = entries.get(key);
      return held === undefined ? 0 : held instanceof Set ? held.size : 1;
    },
  };
}

/** A place every identity is in: for selectors that no label can narrow. */
const everywhere = '*';

/** Places of an identity: each label with and without value. Sources are left out: almost all labels have the same one. */
export function placesOf(labels: Labels): string[] {
  const out = [everywhere];
  for (const { key, value } of labels.list) out.push(key, `${key}=${value}`);
  return out;
}

/**
 * Ways to find the selector: each is a list of places that together hold every identity the selector can match. The caller takes the
 * least crowded one; any is right. Where it is a tie, the first: the namespace, then other labels, then the cluster.
 */
export function waysTo(selector: Selector): readonly (readonly string[])[] {
  const usable = selector.requirements.filter((r) => r.operator === 'In' || r.operator === 'Exists').sort((a, b) => rank(a) - rank(b));
  if (usable.length === 0) return [[everywhere]];
  return usable.map(({ key, operator, values }) => (operator === 'In' ? values.map((v) => `${key}=${v}`) : [key]));
}

/** The way whose places hold the fewest. */
export function leastCrowded<V>(ways: readonly (readonly string[])[], index: MultiMap<string, V>): readonly string[] {
  let best = ways[0]!;
  let fewest = Number.POSITIVE_INFINITY;
  for (const way of ways) {
    const count = way.reduce((sum, place) => sum + index.count(place), 0);
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
