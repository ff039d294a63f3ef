// Prefixes as users write them. Called by every parser; the one place that knows how strict each API is.
import { type Cidr, cidrAround, cidrParts, parseCidr, parseCidrOrIp, parseIp } from '@axoneme/model';
import type { IssueList } from './issues.ts';
import { readString } from './read.ts';

/** Cilium's: a prefix with host bits is an error. */
export const readCidr = (issues: IssueList, path: string, value: unknown): Cidr | undefined => read(issues, path, value, 'prefix');

/** As `readCidr`; a bare address means itself. */
export const readCidrOrIp = (issues: IssueList, path: string, value: unknown): Cidr | undefined => read(issues, path, value, 'address');

/** Those of Kubernetes admit host bits and read a prefix without them. */
export const readBlock = (issues: IssueList, path: string, value: unknown): Cidr | undefined => read(issues, path, value, 'block');

/** IPv4 addresses in the notation of IPv6. */
const mapped = /^::ffff:[0-9a-f]{1,4}:[0-9a-f]{1,4}\/|^::ffff:0:0\//;

function read(issues: IssueList, path: string, value: unknown, as: 'prefix' | 'address' | 'block'): Cidr | undefined {
  const text = readString(issues, path, value);
  if (text === undefined) return undefined;
  const parsed = as === 'address' ? parseCidrOrIp(text) : parseCidr(text);
  const cidr = parsed.ok ? parsed.value : as === 'block' ? withoutHostBits(text) : undefined;
  if (cidr === undefined) {
    if (!parsed.ok) issues.error(path, parsed.error.message, parsed.error.hint);
    return undefined;
  }
  if (!parsed.ok) issues.lint(path, `"${text}" has host bits set: it is read as ${cidr}`, `write ${cidr}`);
  if (mapped.test(cidr)) issues.lint(path, `no packet has an address of ${cidr}`, 'write the IPv4 prefix');
  return cidr;
}

function withoutHostBits(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const ip = parseIp(text.slice(0, Math.max(slash, 0)));
  const bits = text.slice(slash + 1);
  if (!ip.ok || !/^(0|[1-9][0-9]{0,2})$/.test(bits) || Number(bits) > (ip.value.includes(':') ? 128 : 32)) return undefined;
  return cidrAround(ip.value, Number(bits));
}

/** Without duplicates, ascending: family, address, shorter prefix first. */
export function sortCidrs(list: readonly Cidr[]): Cidr[] {
  const keyed = [...new Set(list)].map((cidr) => [keyOf(cidr), cidr] as const);
  return keyed.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, cidr]) => cidr);
}

function keyOf(cidr: Cidr): string {
  const { family, bytes, bits } = cidrParts(cidr);
  return `${family}${Buffer.from(bytes).toString('hex')}${String(bits).padStart(3, '0')}`;
}
