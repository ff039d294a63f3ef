// Addresses, port prefixes and precedences as the tables want them. Called by the operator's row mappers, agent and displays.
import { type Cidr, cidrParts, familyBits, type IpAddr, type IpFamily, ipBytes, ipFamily, ipFromBytes, maskPort } from '@axoneme/model';
import { AppError, invariant } from '@axoneme/std';
import { Dir, type EndpointKey, type IpcacheKey, Verdict } from './gen/index.ts';

export type Direction = 'ingress' | 'egress';
export const directionIndex = (d: Direction): 0 | 1 => (d === 'ingress' ? Dir.ingress : Dir.egress);

/** `{addr, family}` for keys that hold one address. */
export const addressKey = (ip: IpAddr): EndpointKey => ({ addr: ipBytes(ip), family: ipFamily(ip) });

/** Text of a 16-byte address; `family` 0 means none. */
export function addressText(bytes: Uint8Array, family: number): string | undefined {
  return family === 4 || family === 6 ? ipFromBytes(family, bytes) : undefined;
}

const IPCACHE_FAMILY_BITS = 32; // family and its padding come before the address in the trie

export function ipcacheKeyOf(cidr: Cidr): IpcacheKey {
  const { family, bits, bytes } = cidrParts(cidr);
  return { prefixlen: IPCACHE_FAMILY_BITS + bits, family, addr: bytes };
}

export function cidrOfIpcacheKey(k: IpcacheKey): Cidr {
  const family = k.family as IpFamily;
  const bits = k.prefixlen - IPCACHE_FAMILY_BITS;
  invariant((family === 4 || family === 6) && bits >= 0 && bits <= familyBits(family), 'ipcache key');
  return `${ipFromBytes(family, k.addr)}/${bits}` as Cidr;
}

/** `policy_key.dir_plen`: direction and port prefix length in one byte. */
export function dirPlen(direction: Direction, plen: number): number {
  if (!Number.isInteger(plen) || plen < 0 || plen > 16) {
    throw new AppError({ code: 'datapath/out-of-range', message: `port prefix length ${plen} is not 0 to 16` });
  }
  return (direction === 'egress' ? Dir.plenEgress : 0) | plen;
}

export function parseDirPlen(byte: number): { readonly direction: Direction; readonly plen: number } {
  return { direction: (byte & Dir.plenEgress) === 0 ? 'ingress' : 'egress', plen: byte & 0x1f };
}

/** First and last port of a prefix. */
export const portRange = (port: number, plen: number): readonly [first: number, last: number] => [
  maskPort(port, plen),
  maskPort(port, plen) | (0xffff >>> plen),
];

const PRECEDENCE_LOW = { deny: 255, allow: 1 } as const;

/** `policy_value.precedence`: inverted tier in the upper 24 bits, deny before allow below. Tier 0 is the strongest. */
export function precedence(verdict: 'allow' | 'deny', tier = 0): number {
  invariant(Number.isInteger(tier) && tier >= 0 && tier <= 0xffffff, 'tier');
  return (((0xffffff - tier) << 8) | PRECEDENCE_LOW[verdict]) >>> 0;
}

export const verdictText = (v: number): string =>
  ({ [Verdict.allow]: 'allow', [Verdict.deny]: 'deny', [Verdict.redirect]: 'redirect', [Verdict.pass]: 'pass' })[v] ?? String(v);

/** `02:00:00:00:00:01` ↔ 6 bytes. */
export const macText = (b: Uint8Array): string => Array.from(b, (x) => x.toString(16).padStart(2, '0')).join(':');
export function macBytes(text: string): Uint8Array {
  if (!/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(text))
    throw new AppError({ code: 'datapath/invalid-mac', message: `"${text}" is not a MAC address` });
  return Uint8Array.from(text.split(':'), (x) => Number.parseInt(x, 16));
}
