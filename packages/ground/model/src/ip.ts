// IP addresses: the only parsers that make `Ipv4`, `Ipv6`, `IpAddr`, and the 16-byte form the tables use. Called everywhere.
import { type Brand, fail, ok, type Result } from '@axoneme/std';

/** Canonical dotted decimal, e.g. `10.0.0.1`. */
export type Ipv4 = Brand<string, 'Ipv4'>;
/** Canonical lower-case RFC 5952 text, e.g. `fd00::1`. */
export type Ipv6 = Brand<string, 'Ipv6'>;
export type IpAddr = Ipv4 | Ipv6;
export type IpFamily = 4 | 6;

export function parseIpv4(text: string): Result<Ipv4> {
  return readIpv4(text) === undefined ? bad(text, 'an IPv4 address such as 10.0.0.1') : ok(text as Ipv4);
}

export function parseIpv6(text: string): Result<Ipv6> {
  const bytes = readIpv6(text);
  return bytes === undefined ? bad(text, 'an IPv6 address such as fd00::1') : ok(formatIpv6(bytes) as Ipv6);
}

/** Either family; IPv6 is brought into its canonical spelling. */
export function parseIp(text: string): Result<IpAddr> {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

export const isIpv4 = (ip: IpAddr): ip is Ipv4 => !ip.includes(':');
export const isIpv6 = (ip: IpAddr): ip is Ipv6 => ip.includes(':');
export const ipFamily = (ip: IpAddr): IpFamily => (ip.includes(':') ? 6 : 4);
/** 32 or 128. */
export const familyBits = (family: IpFamily): number => (family === 4 ? 32 : 128);

/** Table form: 16 bytes in network order, IPv4 in the first four, rest zero. */
export function ipBytes(ip: IpAddr): Uint8Array {
  const bytes = ip.includes(':') ? readIpv6(ip) : readIpv4(ip);
  return bytes ?? new Uint8Array(16);
}

/** Inverse of `ipBytes`; `bytes` holds at least 16 bytes from `offset`. */
export function ipFromBytes(family: IpFamily, bytes: Uint8Array, offset = 0): IpAddr {
  if (family === 4) return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}` as Ipv4;
  return formatIpv6(bytes.subarray(offset, offset + 16)) as Ipv6;
}

/** The address as an integer of `familyBits` bits. */
export function ipToBigint(ip: IpAddr): bigint {
  const bytes = ipBytes(ip);
  const count = ipFamily(ip) === 4 ? 4 : 16;
  let value = 0n;
  for (let i = 0; i < count; i++) value = (value << 8n) | BigInt(bytes[i]!);
  return value;
}

export function ipFromBigint(family: IpFamily, value: bigint): IpAddr {
  const count = family === 4 ? 4 : 16;
  const bytes = new Uint8Array(16);
  let rest = value;
  for (let i = count - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return ipFromBytes(family, bytes);
}

/** Total order: IPv4 before IPv6, then by value. */
export function compareIp(a: IpAddr, b: IpAddr): number {
  if (a === b) return 0;
  const family = ipFamily(a) - ipFamily(b);
  return family !== 0 ? family : compareBytes(ipBytes(a), ipBytes(b));
}

export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const count = Math.min(a.length, b.length);
  for (let i = 0; i < count; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

function bad(text: string, wanted: string): Result<never> {
  return fail({ code: 'model/invalid-ip', message: `"${text.slice(0, 64)}" is not a valid address`, hint: `write ${wanted}` });
}

function readIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(16);
  for (let i = 0; i < 4; i++) {
    const part = parts[i]!;
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

function readIpv6(text: string): Uint8Array | undefined {
  if (text.length > 45) return undefined;
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = readGroups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? readGroups(halves[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const known = head.length + tail.length;
  if (halves.length === 1 ? known !== 8 : known > 7) return undefined;
  const groups = [...head, ...Array.from({ length: 8 - known }, () => 0), ...tail];
  const bytes = new Uint8Array(16);
  groups.forEach((g, i) => {
    bytes[2 * i] = g >> 8;
    bytes[2 * i + 1] = g & 0xff;
  });
  return bytes;
}

function readGroups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (part.includes('.') && mayEndInIpv4 && i === parts.length - 1) {
      const v4 = readIpv4(part);
      if (v4 === undefined) return undefined;
      groups.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

function formatIpv6(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let i = 0; i < 8; i++) groups.push((bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  const { start, length } = longestZeroRun(groups);
  const hex = (list: readonly number[]): string => list.map((g) => g.toString(16)).join(':');
  if (length < 2) return hex(groups);
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let i = 0; i < 8; i++) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > best.length) best = { start: i, length: j - i };
    i = j;
  }
  return best;
}
