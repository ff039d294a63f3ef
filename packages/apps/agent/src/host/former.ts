// How addresses were seen before a commit, where that matters to the policy before: putting a policy back is worth nothing when the addresses it
// names have become somebody else meanwhile. Pure. Called by the trial's planning.
import type { Digest } from '@axoneme/std';
import type { Held, HeldArtifact } from '../apply/held.ts';
import { eachKey, type KeyText, keyBytes } from '../apply/key-index.ts';
import type { TablePlan } from '../apply/plan.ts';
import type { ArtifactContent } from '../store/artifact-file.ts';

export interface Rows {
  readonly keys: Buffer;
  readonly values: Buffer;
}

export interface FormerView {
  readonly held: Held;
  readonly read: (a: { readonly digest: Digest }) => ArtifactContent;
}

/** `ipcache_key`: prefix length over the whole, family, three bytes of padding, address. */
const keySize = 24;
const addressAt = 8;
const familyAt = 4;
const fixedBits = 32;
const worldOf = (family: number): number => (family === 6 ? 10 : 9);
const firstClusterIdentity = 256;
const firstCidrIdentity = 0x01000000;

/** Identities of pods move with pods: an address put back to one could be another pod by now. */
const ofPod = (peer: number): boolean => peer >= firstClusterIdentity && peer < firstCidrIdentity;

/** Shorter prefixes that cover `key`, longest first. */
function* covering(key: KeyText): Generator<KeyText> {
  const b = keyBytes(key);
  for (let bits = b.readUInt32LE(0) - fixedBits - 1; bits >= 0; bits--) {
    b.writeUInt32LE(fixedBits + bits, 0);
    const at = addressAt + (bits >> 3);
    b[at] = (b[at] ?? 0) & (0xff00 >> (bits & 7));
    yield b.toString('latin1');
  }
}

type Lookup = (key: KeyText) => Buffer | undefined;

/** Values that held artifacts give keys of a table; each artifact is read once. */
function heldRows(table: string, valueSize: number, v: FormerView): Lookup {
  const contents = new Map<number, ReadonlyMap<KeyText, Buffer>>();
  const rowsOf = (a: HeldArtifact): ReadonlyMap<KeyText, Buffer> => {
    const known = contents.get(a.id);
    if (known !== undefined) return known;
    const rows = new Map<KeyText, Buffer>();
    const c = v.read(a);
    eachKey(c.keys, keySize, (key, row) => rows.set(key, c.values.subarray(row * valueSize, (row + 1) * valueSize)));
    contents.set(a.id, rows);
    return rows;
  };
  return (key) => {
    const owners = v.held.keys.owners(table, key).map((id) => v.held.byId(id));
    const newest = owners.sort((a, b) => b.seq - a.seq)[0];
    return newest && rowsOf(newest).get(key);
  };
}

/** What an address under `key` resolves to where `rows` are all there is. */
function resolve(table: string, key: KeyText, valueSize: number, rows: Lookup): Buffer {
  const exact = rows(key);
  if (exact !== undefined) return exact;
  for (const shorter of covering(key)) {
    const row = rows(shorter);
    if (row !== undefined) return row;
  }
  const nobody = Buffer.alloc(valueSize);
  if (table === 'ipcache') nobody.writeUInt32LE(worldOf(keyBytes(key)[familyAt] ?? 4));
  return nobody;
}

function* slices(b: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < b.length; at += size) yield b.subarray(at, at + size);
}

const lengthOf = (key: KeyText): number => keyBytes(key).readUInt32LE(0);

/**
 * Rows that make the changed prefixes resolve as before, where that makes a difference to a policy that names `peers`. They lie over what there is
 * after the change, together with `known`; a shorter one that comes back may hide what a longer one was, so the short ones go first.
 */
export function formerRows(table: string, plan: TablePlan, peers: ReadonlySet<number>, known: Rows, v: FormerView): Rows {
  const changed = plan.had.length + plan.delKeys.length / keySize;
  const valueSize = changed === 0 ? 0 : (plan.putValues.length + plan.delValues.length) / changed;
  const puts = new Map<KeyText, Buffer>();
  const values = slices(plan.putValues, valueSize);
  for (const key of slices(plan.putKeys, keySize)) puts.set(key.toString('latin1'), values.next().value as Buffer);
  const gone = new Set([...slices(plan.delKeys, keySize)].map((k) => k.toString('latin1')));
  const over = rowMap(known);
  const before = heldRows(table, valueSize, v);
  const after: Lookup = (key) => over.get(key) ?? (gone.has(key) ? undefined : (puts.get(key) ?? before(key)));

  const fresh = new Map<KeyText, Buffer>();
  for (const key of [...puts.keys(), ...gone].sort((a, b) => lengthOf(a) - lengthOf(b))) {
    const [was, is] = [resolve(table, key, valueSize, before), resolve(table, key, valueSize, after)];
    const [old, now] = [was.readUInt32LE(0), is.readUInt32LE(0)];
    if (over.has(key) || old === now || ofPod(old) || ofPod(now) || !(peers.has(old) || peers.has(now))) continue;
    over.set(key, was);
    fresh.set(key, was);
  }
  return { keys: Buffer.concat([...fresh.keys()].map(keyBytes)), values: Buffer.concat([...fresh.values()]) };
}

function rowMap({ keys, values }: Rows): Map<KeyText, Buffer> {
  const rows = new Map<KeyText, Buffer>();
  const size = keys.length === 0 ? 0 : values.length / (keys.length / keySize);
  eachKey(keys, keySize, (key, row) => rows.set(key, values.subarray(row * size, (row + 1) * size)));
  return rows;
}

/** All rows of `parts`; of equal keys the first stays. */
export function mergeRows(parts: readonly Rows[]): Rows {
  const rows = new Map([...parts].reverse().flatMap((p) => [...rowMap(p)]));
  return { keys: Buffer.concat([...rows.keys()].map(keyBytes)), values: Buffer.concat([...rows.values()]) };
}
