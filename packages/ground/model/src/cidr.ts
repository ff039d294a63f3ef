// CIDR prefixes in canonical text, containment, and the 16-byte form. Called by policy, ipam, span and the row mappers.
import { type Brand, fail, ok, type Result } from '@axoneme/std';
import { compareBytes, familyBits, type IpAddr, type IpFamily, ipBytes, ipFamily, ipFromBytes, parseIp } from './ip.ts';

/** Canonical `address/bits` with no host bits set, e.g. `10.0.0.0/8`, `fd00::/64`. */
export type Cidr = Brand<string, 'Cidr'>;

export interface CidrParts {
  readonly family: IpFamily;
  readonly bits: number;
  /** 16 bytes, IPv4 in the first four. */
  readonly bytes: Uint8Array;
}

/** Host bits are an error: the user meant something else than what would be enforced. */
export function parseCidr(text: string): Result<Cidr> {
  const slash = text.indexOf('/');
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (slash < 0 && ip.ok) return bad(text, 'it has no prefix length', `write ${text}/${familyBits(ipFamily(ip.value))} for one address`);
  if (!ip.ok) return bad(text, 'the address is not valid', 'write address/bits, for example 10.0.0.0/8');
  const length = text.slice(slash + 1);
  const max = familyBits(ipFamily(ip.value));
  if (!/^(0|[1-9][0-9]{0,2})$/.test(length) || Number(length) > max) {
    return bad(text, `the prefix length must be 0 to ${max}`, `use /${max} for one address`);
  }
  const masked = ipFromBytes(ipFamily(ip.value), maskBytes(ipBytes(ip.value), Number(length)));
  if (masked !== ip.value) return bad(text, 'it has host bits set', `write ${masked}/${length}`);
  return ok(`${masked}/${length}` as Cidr);
}

/** As `parseCidr`, but a bare address means one host. */
export function parseCidrOrIp(text: string): Result<Cidr> {
  if (text.includes('/')) return parseCidr(text);
  const ip = parseIp(text);
  return ip.ok ? ok(cidrOfIp(ip.value)) : ip;
}

export const cidrOfIp = (ip: IpAddr): Cidr => `${ip}/${familyBits(ipFamily(ip))}` as Cidr;
/** The prefix of `bits` bits that holds `ip`; host bits are cleared. */
export function cidrAround(ip: IpAddr, bits: number): Cidr {
  const family = ipFamily(ip);
  return `${ipFromBytes(family, maskBytes(ipBytes(ip), bits))}/${bits}` as Cidr;
}

export const cidrFamily = (c: Cidr): IpFamily => (c.includes(':') ? 6 : 4);
export const cidrBits = (c: Cidr): number => Number(c.slice(c.indexOf('/') + 1));
/** The network address. */
export const cidrBase = (c: Cidr): IpAddr => c.slice(0, c.indexOf('/')) as IpAddr;
export const cidrParts = (c: Cidr): CidrParts => ({ family: cidrFamily(c), bits: cidrBits(c), bytes: ipBytes(cidrBase(c)) });

/** True if every address of `inner` is in `outer` (equal prefixes included). */
export function cidrContains(outer: Cidr, inner: Cidr): boolean {
  if (outer === inner) return true;
  if (cidrFamily(outer) !== cidrFamily(inner)) return false;
  const bits = cidrBits(outer);
  return bits <= cidrBits(inner) && equalBits(ipBytes(cidrBase(outer)), ipBytes(cidrBase(inner)), bits);
}

export function cidrContainsIp(cidr: Cidr, ip: IpAddr): boolean {
  return cidrFamily(cidr) === ipFamily(ip) && equalBits(ipBytes(cidrBase(cidr)), ipBytes(ip), cidrBits(cidr));
}

export const cidrOverlaps = (a: Cidr, b: Cidr): boolean => cidrContains(a, b) || cidrContains(b, a);

/** Total order: family, then address, then shorter prefix first. */
export function compareCidr(a: Cidr, b: Cidr): number {
  if (a === b) return 0;
  const family = cidrFamily(a) - cidrFamily(b);
  if (family !== 0) return family;
  return compareBytes(ipBytes(cidrBase(a)), ipBytes(cidrBase(b))) || cidrBits(a) - cidrBits(b);
}

/** Last address of the prefix. */
export function cidrLast(c: Cidr): IpAddr {
  const { family, bits, bytes } = cidrParts(c);
  const out = Uint8Array.from(bytes);
  for (let bit = bits; bit < familyBits(family); bit++) out[bit >> 3]! |= 0x80 >> (bit & 7);
  return ipFromBytes(family, out);
}

/** A fresh copy with all bits after the first `bits` cleared. */
export function maskBytes(bytes: Uint8Array, bits: number): Uint8Array {
  const out = new Uint8Array(16);
  const whole = bits >> 3;
  out.set(bytes.subarray(0, whole));
  if ((bits & 7) !== 0) out[whole] = bytes[whole]! & (0xff << (8 - (bits & 7)));
  return out;
}

function equalBits(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  const rest = bits & 7;
  return rest === 0 || (a[whole]! ^ b[whole]!) >> (8 - rest) === 0;
}

function bad(text: string, why: string, hint: string): Result<never> {
  return fail({ code: 'model/invalid-cidr', message: `"${text.slice(0, 64)}" is not a valid CIDR: ${why}`, hint });
}
