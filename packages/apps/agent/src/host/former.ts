// How addresses were seen before a commit, where that matters to the policy before: putting a policy back is worth nothing when the addresses it
// names have become somebody else meanwhile. Pure. Called by the trial's planning.
import type { Digest } from '@axoneme/std';
import type { Held } from '../apply/held.ts';
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

/** The value the operator's artifacts give `key` now. */
function heldValue(table: string, key: KeyText, valueSize: number, v: FormerView): Buffer | undefined {
  const owners = v.held.keys.owners(table, key).map((id) => v.held.byId(id));
  const best = owners.reduce<(typeof owners)[number] | undefined>((a, b) => (a === undefined || b.seq > a.seq ? b : a), undefined);
  if (best === undefined) return undefined;
  const c = v.read(best);
  let found: Buffer | undefined;
  eachKey(c.keys, keySize, (k, row) => {
    if (k === key) found = c.values.subarray(row * valueSize, (row + 1) * valueSize);
  });
  return found;
}

/** What an address under `key` resolved to when the row itself was not there. */
function resolved(table: string, key: KeyText, valueSize: number, v: FormerView): Buffer {
  for (const shorter of covering(key)) {
    if (v.held.keys.has(table, shorter)) return heldValue(table, shorter, valueSize, v) ?? Buffer.alloc(valueSize);
  }
  const nobody = Buffer.alloc(valueSize);
  if (table === 'ipcache') nobody.writeUInt32LE(worldOf(keyBytes(key)[familyAt] ?? 4));
  return nobody;
}

/** Rows that make the changed prefixes resolve as before, where `peers` of the policy before are concerned. */
export function formerRows(table: string, plan: TablePlan, peers: ReadonlySet<number>, v: FormerView): Rows {
  const keys: Buffer[] = [];
  const values: Buffer[] = [];
  const take = (key: Buffer, value: Buffer): void => {
    const peer = value.readUInt32LE(0);
    if (!peers.has(peer) || ofPod(peer)) return;
    keys.push(key);
    values.push(value);
  };
  const valueSize = plan.had.length > 0 ? plan.putValues.length / plan.had.length : 0;
  plan.had.forEach((had, row) => {
    const key = plan.putKeys.subarray(row * keySize, (row + 1) * keySize);
    const prior = plan.prior.subarray(row * valueSize, (row + 1) * valueSize);
    take(key, had === 1 ? prior : resolved(table, key.toString('latin1'), valueSize, v));
  });
  const gone = plan.delKeys.length / keySize;
  const goneSize = gone === 0 ? 0 : plan.delValues.length / gone;
  for (let row = 0; row < gone; row++) {
    take(plan.delKeys.subarray(row * keySize, (row + 1) * keySize), plan.delValues.subarray(row * goneSize, (row + 1) * goneSize));
  }
  return { keys: Buffer.concat(keys), values: Buffer.concat(values) };
}

/** All rows of `parts`; of equal keys the first stays. Undefined when there are none. */
export function mergeRows(parts: readonly Rows[]): Rows | undefined {
  const rows = new Map<KeyText, Buffer>();
  for (const { keys, values } of parts) {
    const size = keys.length === 0 ? 0 : values.length / (keys.length / keySize);
    eachKey(keys, keySize, (key, row) => {
      if (!rows.has(key)) rows.set(key, values.subarray(row * size, (row + 1) * size));
    });
  }
  if (rows.size === 0) return undefined;
  return { keys: Buffer.concat([...rows.keys()].map(keyBytes)), values: Buffer.concat([...rows.values()]) };
}
