// CIDR identities in address order. Private to selection.ts.
import {
  type Cidr,
  cidrBase,
  cidrBits,
  cidrFamily,
  createPrefixTable,
  familyBits,
  type IdentityId,
  ipToBigint,
  type PrefixTable,
} from '@axoneme/model';
import type { CidrIdentity } from './cidrs.ts';

export interface CidrIndex {
  readonly table: PrefixTable<IdentityId>;
  put(identity: CidrIdentity): void;
  drop(id: IdentityId): void;
  get(id: IdentityId): Cidr | undefined;
  /** Identities whose prefix lies inside `outer`. */
  inside(outer: Cidr): readonly CidrIdentity[];
}

interface Entry extends CidrIdentity {
  readonly first: bigint;
}

export function createCidrIndex(): CidrIndex {
  const table = createPrefixTable<IdentityId>();
  const byId = new Map<IdentityId, Entry>();
  let sorted: Record<4 | 6, Entry[]> | undefined;
  const sort = (): Record<4 | 6, Entry[]> => {
    const all = [...byId.values()].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
    return { 4: all.filter((e) => cidrFamily(e.cidr) === 4), 6: all.filter((e) => cidrFamily(e.cidr) === 6) };
  };
  return {
    table,
    put({ id, cidr }) {
      byId.set(id, { id, cidr, first: ipToBigint(cidrBase(cidr)) });
      table.set(cidr, id);
      sorted = undefined;
    },
    drop(id) {
      const old = byId.get(id);
      if (old === undefined) return;
      byId.delete(id);
      // Another number may have taken the prefix over already.
      if (table.get(old.cidr) === id) table.delete(old.cidr);
      sorted = undefined;
    },
    get: (id) => byId.get(id)?.cidr,
    inside(outer) {
      sorted ??= sort();
      const family = cidrFamily(outer);
      const list = sorted[family];
      const first = ipToBigint(cidrBase(outer));
      const end = first + (1n << BigInt(familyBits(family) - cidrBits(outer)));
      const out: Entry[] = [];
      // A shorter prefix with the same base also starts here, but is not inside.
      for (let i = firstAt(list, first); i < list.length && list[i]!.first < end; i++)
        if (cidrBits(list[i]!.cidr) >= cidrBits(outer)) out.push(list[i]!);
      return out;
    },
  };
}

function firstAt(list: readonly Entry[], first: bigint): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle]!.first < first) low = middle + 1;
    else high = middle;
  }
  return low;
}
