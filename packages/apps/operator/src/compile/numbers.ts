// Numbers by key for prefixes, address classes and nodes: derived from the key, so every operator gives the same ones. What a table does not name
// any more keeps its number, and with it its rows in the policies, until every node has the table without it. Called by the policy part.
import { type NumberRange, pickNumbers } from '@axoneme/identity';

/** Which revision is being made, and the newest one that every node has. */
export interface Moment {
  readonly revision: number;
  readonly settled: number;
}

export interface NumberChanges {
  readonly added: readonly string[];
  readonly removed: readonly { readonly key: string; readonly id: number }[];
}

export interface Numbers {
  update(wanted: ReadonlySet<string>, at: Moment): NumberChanges;
  id(key: string): number | undefined;
  /** What is wanted now is in a table that nodes are given. */
  publish(): void;
  /** A number waits for the nodes before it can go. */
  waits(): boolean;
}

export function createNumbers(range: NumberRange): Numbers {
  const held = new Map<string, number>();
  const taken = new Set<number>();
  /** Keys that left their table, with the first revision without them. */
  const left = new Map<string, number>();
  let wantedNow: ReadonlySet<string> = new Set();
  let published: ReadonlySet<string> = new Set();

  /** A number that was only tried and never given to a node goes at once. */
  const mayGo = (key: string, at: Moment): boolean => {
    if (published.has(key) && !left.has(key)) left.set(key, at.revision);
    const since = left.get(key);
    return since === undefined || (since <= at.settled && since < at.revision);
  };

  return {
    update(wanted, at) {
      const removed: { key: string; id: number }[] = [];
      for (const [key, id] of held) {
        if (wanted.has(key) || !mayGo(key, at)) continue;
        removed.push({ key, id });
        held.delete(key);
        taken.delete(id);
        left.delete(key);
      }
      const { picked } = pickNumbers(
        [...wanted].filter((k) => !held.has(k)),
        range,
        (n) => taken.has(n),
      );
      for (const [key, id] of picked) {
        held.set(key, id);
        taken.add(id);
      }
      wantedNow = new Set(wanted);
      return { added: [...picked.keys()], removed };
    },
    id: (key) => held.get(key),
    publish() {
      published = wantedNow;
      for (const key of left.keys()) if (wantedNow.has(key)) left.delete(key);
    },
    waits: () => left.size > 0,
  };
}
