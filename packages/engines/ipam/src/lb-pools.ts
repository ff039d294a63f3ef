// Pools of load balancer addresses: ranges, conflicts between pools, the next free address. Used by lb-ipam.ts.

import {
  type IpAddr,
  type IpFamily,
  ipFamily,
  ipFromBigint,
  ipToBigint,
  type Labels,
  matchesSelector,
  type Selector,
} from '@axoneme/model';

/** Both ends belong to it. */
export interface LbRange {
  readonly family: IpFamily;
  readonly first: bigint;
  readonly last: bigint;
}

export interface LbPool {
  readonly name: string;
  readonly createdMs: number;
  readonly ranges: readonly LbRange[];
  /** Which Services may have its addresses; undefined: none, for it cannot be read. */
  readonly selector: Selector | undefined;
  /** Gives no new addresses; what it gave stays. */
  readonly disabled: boolean;
  /** What is wrong with the object; the wrong part has no effect. */
  readonly problems: readonly string[];
}

/** A pool with the conflict that keeps it from giving addresses. */
export interface JudgedPool extends LbPool {
  readonly conflict: string | undefined;
}

const byAge = (a: LbPool, b: LbPool): number => a.createdMs - b.createdMs || (a.name < b.name ? -1 : 1);
const overlap = (a: LbRange, b: LbRange): boolean => a.family === b.family && a.first <= b.last && b.first <= a.last;
const shown = (r: LbRange): string => `${ipFromBigint(r.family, r.first)}-${ipFromBigint(r.family, r.last)}`;

/** Oldest first. Of two that share addresses the later one is in conflict; one in conflict is no hindrance to others. */
export function judgePools(pools: Iterable<LbPool>): readonly JudgedPool[] {
  const out: JudgedPool[] = [];
  for (const pool of [...pools].sort(byAge)) out.push({ ...pool, conflict: conflictOf(pool, out) });
  return out;
}

function conflictOf(pool: LbPool, older: readonly JudgedPool[]): string | undefined {
  for (const [i, r] of pool.ranges.entries()) {
    const twin = pool.ranges.slice(i + 1).find((o) => overlap(r, o));
    if (twin !== undefined) return `its own ranges ${shown(r)} and ${shown(twin)} overlap`;
    for (const o of older) {
      const rival = o.conflict === undefined ? o.ranges.find((x) => overlap(r, x)) : undefined;
      if (rival !== undefined) return `range ${shown(r)} overlaps ${shown(rival)} of the older pool ${o.name}`;
    }
  }
  return undefined;
}

export function poolHas(pool: LbPool, ip: IpAddr): boolean {
  const family = ipFamily(ip);
  const n = ipToBigint(ip);
  return pool.ranges.some((r) => r.family === family && r.first <= n && n <= r.last);
}

export const poolServes = (pool: LbPool, labels: Labels): boolean => pool.selector !== undefined && matchesSelector(pool.selector, labels);
export const poolGives = (pool: JudgedPool): boolean => !pool.disabled && pool.conflict === undefined;

/** Addresses of a pool, each counted once. */
export function poolSize(pool: LbPool): bigint {
  let size = 0n;
  for (const family of [4, 6] as const) {
    let end = -1n;
    const ranges = pool.ranges.filter((r) => r.family === family).sort((a, b) => (a.first < b.first ? -1 : 1));
    for (const r of ranges) {
      const from = r.first > end ? r.first : end + 1n;
      if (r.last >= from) size += r.last - from + 1n;
      if (r.last > end) end = r.last;
    }
  }
  return size;
}

/** Asks for the lowest address of a pool that nobody has. What was passed over is not looked at again: during one plan nothing gets free. */
export function createFinder(taken: (ip: IpAddr) => boolean): (pool: LbPool, family: IpFamily) => IpAddr | undefined {
  const next = new Map<LbRange, bigint>();
  return (pool, family) => {
    for (const r of pool.ranges) {
      if (r.family !== family) continue;
      let at = next.get(r) ?? r.first;
      while (at <= r.last && taken(ipFromBigint(family, at))) at++;
      next.set(r, at);
      if (at <= r.last) return ipFromBigint(family, at);
    }
    return undefined;
  };
}
