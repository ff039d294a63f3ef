// Longest-prefix lookup over a set of CIDRs. Called by the policy and span engines and by tests as a model of the LPM map.
import { type Cidr, cidrAround, cidrBase, cidrBits, cidrFamily } from './cidr.ts';
import { familyBits, type IpAddr, type IpFamily, ipFamily } from './ip.ts';

/** Private mutable index; `set`/`delete` in any order give the same answers. */
export interface PrefixTable<T> {
  readonly size: number;
  set(cidr: Cidr, value: T): void;
  delete(cidr: Cidr): boolean;
  get(cidr: Cidr): T | undefined;
  /** Value of the longest prefix that holds `ip`. */
  lookup(ip: IpAddr): { readonly cidr: Cidr; readonly value: T } | undefined;
  /** All stored prefixes that hold `cidr`, itself included, longest first. */
  covering(cidr: Cidr): readonly { readonly cidr: Cidr; readonly value: T }[];
}

export function createPrefixTable<T>(): PrefixTable<T> {
  const rows = new Map<Cidr, T>();
  // How many prefixes of each length exist, so that lookups try only lengths in use.
  const lengths: Record<IpFamily, Map<number, number>> = { 4: new Map(), 6: new Map() };
  const sorted: Record<IpFamily, number[]> = { 4: [], 6: [] };
  const count = (cidr: Cidr, delta: number): void => {
    const family = cidrFamily(cidr);
    const bits = cidrBits(cidr);
    const n = (lengths[family].get(bits) ?? 0) + delta;
    if (n === 0) lengths[family].delete(bits);
    else lengths[family].set(bits, n);
    sorted[family] = [...lengths[family].keys()].sort((a, b) => b - a);
  };
  const walk = (ip: IpAddr, maxBits: number, first: boolean): { cidr: Cidr; value: T }[] => {
    const found: { cidr: Cidr; value: T }[] = [];
    for (const bits of sorted[ipFamily(ip)]) {
      if (bits > maxBits) continue;
      const cidr = cidrAround(ip, bits);
      const value = rows.get(cidr);
      if (value === undefined && !rows.has(cidr)) continue;
      found.push({ cidr, value: value as T });
      if (first) break;
    }
    return found;
  };
  return {
    get size() {
      return rows.size;
    },
    set(cidr, value) {
      if (!rows.has(cidr)) count(cidr, 1);
      rows.set(cidr, value);
    },
    delete(cidr) {
      const had = rows.delete(cidr);
      if (had) count(cidr, -1);
      return had;
    },
    get: (cidr) => rows.get(cidr),
    lookup: (ip) => walk(ip, familyBits(ipFamily(ip)), true)[0],
    covering: (cidr) => walk(cidrBase(cidr), cidrBits(cidr), false),
  };
}
