// What one node should hold and what it does hold, as a difference. Pure bookkeeping, privately mutable; owned by the hub, read by sessions.
//
// `lag` is the mailbox of the node: the artifacts whose held version is not the desired one, newest wins, never more than both sets together.
import { createHeldDigest, type heldTerm } from '@axoneme/proto';
import type { Digest } from '@axoneme/std';

export type Artifacts = ReadonlyMap<string, Digest>;

export interface Position {
  readonly revision: number;
  readonly epoch: number;
}

export interface NodeState {
  /** Undefined until the operator said what this node needs. */
  position(): Position | undefined;
  /** Replaces what the node should hold. The map must not change afterwards. */
  setDesired(next: Artifacts, at: Position): void;
  /** Changes what the node should hold; null removes. */
  change(changes: ReadonlyMap<string, Digest | null>, at: Position): void;
  desired(name: string): Digest | undefined;
  desiredSize(): number;
  desiredDigest(): Buffer;
  held(name: string): Digest | undefined;
  /** False until a Hello told what the node holds. */
  heldKnown(): boolean;
  setHeld(held: Artifacts): void;
  /** Recognises the digest of a Hello without list: equal to what is known, or to what is desired. False: the list is needed. */
  recognise(heldDigest: Buffer): boolean;
  forgetHeld(): void;
  /** The node applied these versions (undefined = removed). */
  applied(changes: ReadonlyMap<string, Digest | undefined>): void;
  /** Names whose held version differs from the desired one. */
  lag(): ReadonlyMap<string, Digest | undefined>;
  /** Calls the listener with every name whose desired version changes, until the returned function is called. */
  watch(listener: (name: string) => void): () => void;
}

export function createNodeState(term: typeof heldTerm): NodeState {
  let desired: Artifacts = new Map();
  let owned: Map<string, Digest> | undefined;
  const desiredSum = createHeldDigest([], term);
  let heldSum = createHeldDigest([], term);
  let position: Position | undefined;
  let known = false;
  const listeners = new Set<(name: string) => void>();
  const lag = new Map<string, Digest | undefined>();

  const heldOf = (name: string): Digest | undefined => (lag.has(name) ? lag.get(name) : desired.get(name));
  const settle = (name: string, held: Digest | undefined, wanted: Digest | undefined): void => {
    if (held === wanted) lag.delete(name);
    else lag.set(name, held);
  };
  /** Must run while `desired` is still the old map. */
  const note = (name: string, before: Digest | undefined, after: Digest | undefined): void => {
    if (before === after) return;
    if (before !== undefined) desiredSum.remove(name, before);
    if (after !== undefined) desiredSum.add(name, after);
    if (known) settle(name, heldOf(name), after);
    for (const l of listeners) l(name);
  };
  const rebuildLag = (held: Artifacts): void => {
    lag.clear();
    for (const [name, digest] of desired) settle(name, held.get(name), digest);
    for (const [name, digest] of held) settle(name, digest, desired.get(name));
  };

  return {
    position: () => position,
    setDesired(next, at) {
      position = at;
      if (next === desired) return;
      for (const [name, digest] of next) note(name, desired.get(name), digest);
      for (const [name, digest] of desired) if (!next.has(name)) note(name, digest, undefined);
      desired = next;
      owned = undefined;
    },
    change(changes, at) {
      position = at;
      if (owned === undefined) {
        owned = new Map(desired);
        desired = owned;
      }
      for (const [name, digest] of changes) {
        note(name, desired.get(name), digest ?? undefined);
        if (digest === null) owned.delete(name);
        else owned.set(name, digest);
      }
    },
    desired: (name) => desired.get(name),
    desiredSize: () => desired.size,
    desiredDigest: () => desiredSum.bytes(),
    held: heldOf,
    heldKnown: () => known,
    setHeld(held) {
      known = true;
      heldSum = createHeldDigest(held, term);
      rebuildLag(held);
    },
    recognise(heldDigest) {
      if (known && heldSum.bytes().equals(heldDigest)) return true;
      if (position === undefined || !desiredSum.bytes().equals(heldDigest)) return false;
      known = true;
      lag.clear();
      heldSum = createHeldDigest(desired, term);
      return true;
    },
    forgetHeld() {
      known = false;
      lag.clear();
    },
    applied(changes) {
      for (const [name, digest] of changes) {
        const before = heldOf(name);
        if (before !== undefined) heldSum.remove(name, before);
        if (digest !== undefined) heldSum.add(name, digest);
        settle(name, digest, desired.get(name));
      }
    },
    lag: () => lag,
    watch(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
