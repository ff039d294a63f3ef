// Maglev tables: which slot of a set a flow goes to. Filled in turns, so that every backend gets its share and few flows move when one leaves.
// Called by the operator once per distinct list of addresses and weights, whatever the ports.
import type { IpAddr } from '@axoneme/model';
import { type FlowTuple, hashText, lookupHash, MAGLEV_SEED } from './hashes.ts';

export const maglevSizes = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071] as const;
export type MaglevSize = (typeof maglevSizes)[number];

export const MAGLEV_CHUNK = 512;

export interface MaglevMember {
  readonly ip: IpAddr;
  readonly port: number;
  readonly weight: number;
}

/** What the hashes know a backend as: its address; only the second and further ports of one address are told apart. */
export function maglevTexts(members: readonly MaglevMember[]): string[] {
  const seen = new Set<string>();
  return members.map((m) => {
    const text = seen.has(m.ip) ? `${m.ip} ${m.port}` : m.ip;
    seen.add(m.ip);
    return text;
  });
}

/** Equal for members that have equal tables. */
export function maglevKey(members: readonly MaglevMember[], size: MaglevSize): string {
  return `${size} ${maglevTexts(members)
    .map((t, i) => `${t}*${members[i]!.weight}`)
    .join('|')}`;
}

/** Entry = index in `members`. Empty without members of weight. */
export function maglevTable(members: readonly MaglevMember[], size: MaglevSize, seed: number = MAGLEV_SEED): Uint16Array {
  const texts = maglevTexts(members);
  const order = texts
    .map((_, i) => i)
    .filter((i) => members[i]!.weight > 0)
    .sort((a, b) => (texts[a]! < texts[b]! ? -1 : 1));
  if (order.length === 0) return new Uint16Array(0);
  const at = Uint32Array.from(order, (i) => hashText(texts[i]!, seed) % size);
  const skip = Uint32Array.from(order, (i) => (hashText(texts[i]!, ~seed) % (size - 1)) + 1);
  return fill(Uint16Array.from(order), at, skip, shares(order.map((i) => members[i]!.weight)), size);
}

const WHOLE = 1 << 16;

/** Parts of a turn, the heaviest has a whole one in every turn. */
function shares(weights: readonly number[]): Uint32Array {
  const most = Math.max(...weights);
  return Uint32Array.from(weights, (w) => Math.max(1, Math.round((w / most) * WHOLE)));
}

function fill(members: Uint16Array, at: Uint32Array, skip: Uint32Array, share: Uint32Array, size: number): Uint16Array {
  const table = new Uint16Array(size);
  const taken = new Uint8Array(size);
  const credit = new Uint32Array(members.length);
  for (let filled = 0; ; ) {
    for (let i = 0; i < members.length; i++) {
      credit[i]! += share[i]!;
      if (credit[i]! < WHOLE) continue;
      credit[i]! -= WHOLE;
      let slot = at[i]!;
      const step = skip[i]!;
      // the size is prime: the walk comes by every slot
      while (taken[slot] === 1) {
        slot += step;
        if (slot >= size) slot -= size;
      }
      taken[slot] = 1;
      table[slot] = members[i]!;
      at[i] = slot;
      filled += 1;
      if (filled === size) return table;
    }
  }
}

/** Slot of the set that a flow is sent to. */
export const maglevPick = (table: Uint16Array, flow: FlowTuple, seed: number = MAGLEV_SEED): number =>
  table[lookupHash(flow, seed) % table.length]!;

export interface MaglevTables {
  /** The same array for equal lists. */
  get(members: readonly MaglevMember[], size: MaglevSize): Uint16Array;
  /** Tables computed since the start. */
  computed(): number;
}

/** Remembers the tables it gave out last; a Service of 400 ports over the same pods needs one. */
export function createMaglevTables(remembered = 256): MaglevTables {
  const held = new Map<string, Uint16Array>();
  let computed = 0;
  return {
    computed: () => computed,
    get(members, size) {
      const key = maglevKey(members, size);
      const table = held.get(key) ?? maglevTable(members, size);
      if (!held.delete(key)) computed += 1;
      held.set(key, table);
      for (const old of held.keys()) {
        if (held.size <= remembered) break;
        held.delete(old);
      }
      return table;
    },
  };
}
