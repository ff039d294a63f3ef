// Free blocks of a pool as a sweep over occupied ranges. Called by plan.ts.
import { type Cidr, cidrBase, cidrBits, cidrFamily, familyBits, ipFromBigint, ipToBigint } from '@axoneme/model';

interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

export function cidrRange(cidr: Cidr): Range {
  const first = ipToBigint(cidrBase(cidr));
  return { first, last: first + (1n << BigInt(familyBits(cidrFamily(cidr)) - cidrBits(cidr))) - 1n };
}

/** The `count` lowest free blocks of `bits` bits in the pool's prefixes, in their order; fewer if the pool has no more. */
export function freeBlocks(pool: readonly Cidr[], bits: number, occupied: readonly Cidr[], count: number): Cidr[] {
  const out: Cidr[] = [];
  for (const cidr of pool) {
    if (out.length >= count) break;
    const family = cidrFamily(cidr);
    const size = 1n << BigInt(familyBits(family) - bits);
    const { first, last } = cidrRange(cidr);
    const taken = occupied
      .filter((o) => cidrFamily(o) === family)
      .map(cidrRange)
      .filter((r) => r.last >= first && r.first <= last)
      .sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
    let at = first;
    let i = 0;
    while (at + size - 1n <= last && out.length < count) {
      while (i < taken.length && taken[i]!.last < at) i++;
      const next = taken[i];
      if (next !== undefined && next.first <= at + size - 1n) {
        at = ((next.last - first) / size + 1n) * size + first;
        continue;
      }
      out.push(`${ipFromBigint(family, at)}/${bits}` as Cidr);
      at += size;
    }
  }
  return out;
}

/** Pairs of blocks that share addresses, each as the two indexes in the given list, lower first. */
export function overlappingPairs(blocks: readonly Cidr[]): readonly (readonly [number, number])[] {
  const sorted = blocks
    .map((cidr, index) => ({ index, family: cidrFamily(cidr), ...cidrRange(cidr) }))
    .sort((a, b) => a.family - b.family || (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const pairs: [number, number][] = [];
  let open: typeof sorted = [];
  for (const r of sorted) {
    open = open.filter((o) => o.family === r.family && o.last >= r.first);
    for (const o of open) pairs.push(o.index < r.index ? [o.index, r.index] : [r.index, o.index]);
    open.push(r);
  }
  return pairs.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
}
