// Turns a commit into rows to write and keys to delete, per table, with what is needed to take it all back. Pure: reads the held state and
// artifact contents, writes nothing. Called by apply.
import type { ArtifactContent } from '../store/artifact-file.ts';
import type { IndexEntry } from '../store/index-file.ts';
import type { HeldArtifact } from './held.ts';
import { type ArtifactId, eachKey, type KeyIndex, type KeyText, keyBytes } from './key-index.ts';

export interface Upsert {
  readonly entry: IndexEntry;
  readonly content: ArtifactContent;
}

export interface PlanInput {
  readonly keySize: number;
  readonly valueSize: number;
  readonly keys: KeyIndex;
  /** New versions of artifacts of this table. */
  readonly upserts: readonly Upsert[];
  /** Held artifacts of this table that are replaced or removed. */
  readonly gone: readonly HeldArtifact[];
  readonly byId: (id: ArtifactId) => HeldArtifact;
  /** Content of a held artifact, from disk. */
  readonly read: (held: HeldArtifact) => ArtifactContent;
}

export interface TablePlan {
  readonly table: string;
  /** Rows to write; `prior` holds the value each key had before, valid where `had` is 1. */
  readonly putKeys: Buffer;
  readonly putValues: Buffer;
  readonly prior: Buffer;
  readonly had: Uint8Array;
  /** Rows to delete, with their values. */
  readonly delKeys: Buffer;
  readonly delValues: Buffer;
  /** Rows in the table after all writes and before the deletes. */
  readonly peak: number;
}

interface Seen {
  readonly seq: number;
  readonly value: Buffer;
}

/** Rows of `contents` by key; of equal keys the highest sequence stays. */
function winners(rows: Map<KeyText, Seen>, keySize: number, valueSize: number, seq: number, c: ArtifactContent): void {
  eachKey(c.keys, keySize, (key, row) => {
    const seen = rows.get(key);
    if (seen && seen.seq > seq) return;
    rows.set(key, { seq, value: c.values.subarray(row * valueSize, (row + 1) * valueSize) });
  });
}

/** Value of a held artifact that stays, if it owns `key` with the highest sequence. */
function remaining(
  input: PlanInput,
  table: string,
  key: KeyText,
  leaving: ReadonlySet<ArtifactId>,
  wanted: Map<ArtifactId, Set<KeyText>>,
): number {
  let best: HeldArtifact | undefined;
  for (const id of input.keys.owners(table, key)) {
    if (leaving.has(id)) continue;
    const a = input.byId(id);
    if (!best || a.seq > best.seq) best = a;
  }
  if (!best) return -1;
  const set = wanted.get(best.id) ?? new Set();
  wanted.set(best.id, set.add(key));
  return best.seq;
}

/** Values of the keys in `wanted`, read from the artifacts that stay. Rare: only keys two artifacts share. */
function readShared(input: PlanInput, wanted: ReadonlyMap<ArtifactId, ReadonlySet<KeyText>>): Map<KeyText, Seen> {
  const found = new Map<KeyText, Seen>();
  for (const [id, keys] of wanted) {
    const artifact = input.byId(id);
    const c = input.read(artifact);
    eachKey(c.keys, input.keySize, (key, row) => {
      if (keys.has(key))
        found.set(key, { seq: artifact.seq, value: c.values.subarray(row * input.valueSize, (row + 1) * input.valueSize) });
    });
  }
  return found;
}

export function planTable(table: string, input: PlanInput): TablePlan {
  const { keySize, valueSize } = input;
  const before = new Map<KeyText, Seen>();
  const after = new Map<KeyText, Seen>();
  for (const a of input.gone) winners(before, keySize, valueSize, a.seq, input.read(a));
  for (const u of input.upserts) winners(after, keySize, valueSize, u.entry.seq, u.content);

  const leaving = new Set(input.gone.map((a) => a.id));
  const wanted = new Map<ArtifactId, Set<KeyText>>();
  const touched = new Set([...before.keys(), ...after.keys()]);
  for (const key of touched) remaining(input, table, key, leaving, wanted);
  const shared = readShared(input, wanted);

  const puts: [KeyText, Buffer, Buffer | undefined][] = [];
  const dels: [KeyText, Buffer][] = [];
  let fresh = 0;
  for (const key of touched) {
    const kept = shared.get(key);
    const old = newest(before.get(key), kept);
    const next = newest(after.get(key), kept);
    if (!next) {
      if (old) dels.push([key, old.value]);
    } else if (!old?.value.equals(next.value)) {
      puts.push([key, next.value, old?.value]);
      if (!old) fresh++;
    }
  }
  return pack(table, input, puts, dels, input.keys.count(table) + fresh);
}

const newest = (a: Seen | undefined, b: Seen | undefined): Seen | undefined => (!a ? b : !b ? a : a.seq >= b.seq ? a : b);

function pack(
  table: string,
  { valueSize }: PlanInput,
  puts: readonly [KeyText, Buffer, Buffer | undefined][],
  dels: readonly [KeyText, Buffer][],
  peak: number,
): TablePlan {
  const blank = Buffer.alloc(valueSize);
  return {
    table,
    putKeys: Buffer.concat(puts.map(([k]) => keyBytes(k))),
    putValues: Buffer.concat(puts.map(([, v]) => v)),
    prior: Buffer.concat(puts.map(([, , p]) => p ?? blank)),
    had: Uint8Array.from(puts, ([, , p]) => (p ? 1 : 0)),
    delKeys: Buffer.concat(dels.map(([k]) => keyBytes(k))),
    delValues: Buffer.concat(dels.map(([, v]) => v)),
    peak,
  };
}
