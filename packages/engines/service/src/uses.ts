// How many users sets have: a set exists as long as one points at it. Private to the incremental compiler.
import type { BackendSet } from './backends.ts';

export interface Uses {
  change(old: readonly BackendSet[], next: readonly BackendSet[]): void;
  /** What came and went since the last call, by ascending id. */
  take(): { readonly added: readonly BackendSet[]; readonly removed: readonly bigint[] };
  all(): ReadonlyMap<bigint, BackendSet>;
}

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

export function createUses(): Uses {
  const held = new Map<bigint, { readonly set: BackendSet; users: number }>();
  /** Whether a touched set existed at the last call. */
  let touched = new Map<bigint, boolean>();
  const count = (set: BackendSet, delta: 1 | -1): void => {
    const use = held.get(set.id) ?? { set, users: 0 };
    if (!touched.has(set.id)) touched.set(set.id, use.users > 0);
    use.users += delta;
    if (use.users > 0) held.set(set.id, use);
    else held.delete(set.id);
  };
  return {
    all: () => new Map([...held].map(([id, u]) => [id, u.set])),
    change(old, next) {
      for (const set of next) count(set, 1);
      for (const set of old) count(set, -1);
    },
    take() {
      const ids = [...touched].sort(([a], [b]) => ascending(a, b));
      touched = new Map();
      return {
        added: ids.flatMap(([id, before]) => (before ? [] : (held.get(id)?.set ?? []))),
        removed: ids.flatMap(([id, before]) => (before && !held.has(id) ? [id] : [])),
      };
    },
  };
}
