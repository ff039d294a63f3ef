// What the node holds: artifact names with digest and sequence, and the key index over them. The rows themselves stay on disk.
// Privately mutable; one instance per agent, changed by apply only.
import { createHeldDigest } from '@axoneme/proto';
import { invariant } from '@axoneme/std';
import type { IndexEntry, StoreIndex } from '../store/index-file.ts';
import { type ArtifactId, createKeyIndex, eachKey, type KeyIndex } from './key-index.ts';

/** Artifacts of the agent's own making: on disk and in the tables like others, unknown to the operator. */
export const localPrefix = 'local/';
export const isLocal = (name: string): boolean => name.startsWith(localPrefix);
/** Sequences from here on are of local artifacts whose rows no commit overrides. */
export const overridingSeq = 2 ** 50;

export interface HeldArtifact extends IndexEntry {
  readonly id: ArtifactId;
}

export interface Held {
  readonly keys: KeyIndex;
  get(name: string): HeldArtifact | undefined;
  byId(id: ArtifactId): HeldArtifact;
  all(): Iterable<HeldArtifact>;
  readonly size: number;
  /** Digest of everything held, 16 bytes; local artifacts do not count. */
  digest(): Buffer;
  /** What `digest` would be after these changes. */
  digestAfter(upserts: readonly IndexEntry[], removes: readonly string[]): Buffer;
  nextSeq(): number;
  /** Replaces or adds; `keys` is empty for blobs. */
  set(entry: IndexEntry, keys: Buffer, keySize: number, oldKeys: Buffer): void;
  remove(name: string, oldKeys: Buffer, keySize: number): void;
}

export function createHeld(): Held {
  const byName = new Map<string, HeldArtifact>();
  const byId = new Map<ArtifactId, HeldArtifact>();
  const keys = createKeyIndex();
  const digest = createHeldDigest();
  let lastId = 0;
  let lastSeq = 0;
  const remove = (name: string, oldKeys: Buffer, keySize: number): void => {
    const old = byName.get(name);
    if (!old) return;
    if (keySize > 0) eachKey(oldKeys, keySize, (key) => keys.remove(old.table, key, old.id));
    byName.delete(name);
    byId.delete(old.id);
    if (!isLocal(name)) digest.remove(name, old.digest);
  };
  return {
    keys,
    get: (name) => byName.get(name),
    byId(id) {
      const a = byId.get(id);
      invariant(a !== undefined, 'key owned by an artifact that is not held');
      return a;
    },
    all: () => byName.values(),
    get size() {
      return byName.size;
    },
    digest: () => digest.bytes(),
    digestAfter(upserts, removes) {
      const gone = [...removes, ...upserts.map((u) => u.name)].map((n) => byName.get(n)).filter((a) => a !== undefined);
      for (const a of gone) digest.remove(a.name, a.digest);
      for (const u of upserts) digest.add(u.name, u.digest);
      const after = digest.bytes();
      for (const u of upserts) digest.remove(u.name, u.digest);
      for (const a of gone) digest.add(a.name, a.digest);
      return after;
    },
    nextSeq: () => lastSeq + 1,
    set(entry, newKeys, keySize, oldKeys) {
      remove(entry.name, oldKeys, keySize);
      const id = ++lastId;
      if (entry.seq < overridingSeq) lastSeq = Math.max(lastSeq, entry.seq);
      const artifact = { ...entry, id };
      byName.set(entry.name, artifact);
      byId.set(id, artifact);
      if (!isLocal(entry.name)) digest.add(entry.name, entry.digest);
      if (keySize > 0) eachKey(newKeys, keySize, (key) => keys.add(entry.table, key, id));
    },
    remove,
  };
}

/** The index after `changes`, for the store. */
export function indexAfter(
  held: Held,
  revision: number,
  epoch: number,
  upserts: readonly IndexEntry[],
  removes: readonly string[],
): StoreIndex {
  const gone = new Set([...removes, ...upserts.map((u) => u.name)]);
  const kept = [...held.all()].filter((a) => !gone.has(a.name)).map(({ name, table, digest: d, seq }) => ({ name, table, digest: d, seq }));
  return { revision, epoch, artifacts: [...kept, ...upserts] };
}
