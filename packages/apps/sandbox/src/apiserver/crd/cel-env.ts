// The CEL environment of CRD rules: self, oldSelf and the cheap part of Kubernetes' own functions. Used by ./cel.ts and webhook matchConditions.
import { BlockList, isIP } from 'node:net';
import { Environment } from '@marcbachmann/cel-js';
import { parseQuantity } from '../schema/quantity.ts';
import { isCidr, isUri } from './formats.ts';
import { compilePattern } from './pattern.ts';

class CelQuantity {
  readonly nanos: bigint;
  constructor(nanos: bigint) {
    this.nanos = nanos;
  }
}

const quantityOf = (text: string): CelQuantity => {
  const q = parseQuantity(text);
  // CEL reports a thrown error as a failed rule
  if (q === undefined) throw new RangeError(`quantities must match the regular expression: ${text}`);
  return new CelQuantity(q.nanos);
};

const compareValues = (a: unknown, b: unknown): number => {
  const x = a as string;
  const y = b as string;
  return x < y ? -1 : x > y ? 1 : 0;
};

const elements = (list: unknown): unknown[] => (Array.isArray(list) ? list : [...(list as Iterable<unknown>)]);

const same = (a: unknown, b: unknown): boolean => a === b || JSON.stringify(a, bigText) === JSON.stringify(b, bigText);
const bigText = (_k: string, v: unknown): unknown => (typeof v === 'bigint' ? `${v}n` : v);

function addStrings(env: Environment): void {
  env.registerFunction('isURL(string): bool', (s: string) => isUri(s));
  env.registerFunction('isIP(string): bool', (s: string) => isIP(s) !== 0);
  env.registerFunction('isCIDR(string): bool', (s: string) => isCidr(s));
  env.registerFunction('string.replace(string, string): string', (s: string, a: string, b: string) => s.replaceAll(a, () => b));
  env.registerFunction('string.format(list): string', format);
  env.registerFunction('string.find(string): string', (s: string, re: string) => compilePattern(re)?.exec(s)?.[0] ?? '');
  env.registerFunction('string.findAll(string): list', (s: string, re: string) => {
    const one = compilePattern(re);
    return one === undefined ? [] : [...s.matchAll(new RegExp(one.source, `${one.flags}g`))].map((m) => m[0]);
  });
}

const percent = /%(%|[sdfeboxX]|\.\d+f)/g;

function format(pattern: string, args: unknown): string {
  const values = elements(args);
  let i = 0;
  return pattern.replace(percent, (whole, verb: string) => {
    if (verb === '%') return '%';
    const v = values[i++];
    if (verb === 'x' && typeof v === 'bigint') return v.toString(16);
    if (verb === 'b' && typeof v === 'bigint') return v.toString(2);
    if (verb.endsWith('f')) return Number(v).toFixed(whole.length > 2 ? Number(verb.slice(1, -1)) : 6);
    return String(v);
  });
}

class CelIp {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

class CelCidr {
  readonly text: string;
  readonly list = new BlockList();
  constructor(text: string) {
    this.text = text;
    const [ip = '', bits = ''] = text.split('/');
    this.list.addSubnet(ip, Number(bits), isIP(ip) === 6 ? 'ipv6' : 'ipv4');
  }
}

const familyOf = (ip: string): 4 | 6 => (isIP(ip) === 6 ? 6 : 4);

function parseIp(text: string): CelIp {
  if (isIP(text) === 0) throw new RangeError(`IP Address ${JSON.stringify(text)} parse error`);
  return new CelIp(text);
}

function parseCidr(text: string): CelCidr {
  if (!isCidr(text)) throw new RangeError(`network address parse error: ${JSON.stringify(text)}`);
  return new CelCidr(text);
}

const contains = (c: CelCidr, ip: string): boolean => isIP(ip) !== 0 && c.list.check(ip, familyOf(ip) === 6 ? 'ipv6' : 'ipv4');

function addAddresses(env: Environment): void {
  env.registerType('IP', CelIp);
  env.registerType('CIDR', CelCidr);
  env.registerFunction('ip(string): IP', parseIp);
  env.registerFunction('cidr(string): CIDR', parseCidr);
  env.registerFunction('IP.family(): int', (i: CelIp) => BigInt(familyOf(i.text)));
  env.registerFunction('IP.isLoopback(): bool', (i: CelIp) => i.text === '::1' || i.text.startsWith('127.'));
  env.registerFunction('CIDR.ip(): IP', (c: CelCidr) => new CelIp(c.text.split('/')[0] ?? ''));
  env.registerFunction('CIDR.prefixLength(): int', (c: CelCidr) => BigInt(c.text.split('/')[1] ?? '0'));
  env.registerFunction('CIDR.containsIP(string): bool', contains);
  env.registerFunction('CIDR.containsIP(IP): bool', (c: CelCidr, i: CelIp) => contains(c, i.text));
  env.registerFunction('CIDR.containsCIDR(string): bool', (c: CelCidr, other: string) => {
    const [ip = '', bits = '0'] = other.split('/');
    return contains(c, ip) && Number(bits) >= Number(c.text.split('/')[1]);
  });
}

function addLists(env: Environment): void {
  env.registerFunction('list.isSorted(): bool', (l: unknown) =>
    elements(l).every((x, i, all) => i === 0 || compareValues(all[i - 1], x) <= 0),
  );
  env.registerFunction('list.sum(): dyn', (l: unknown) => {
    const all = elements(l);
    return all.every((x) => typeof x === 'bigint')
      ? (all as bigint[]).reduce((a, b) => a + b, 0n)
      : all.reduce<number>((a, b) => a + Number(b), 0);
  });
  env.registerFunction('list.min(): dyn', (l: unknown) => [...elements(l)].sort(compareValues)[0]);
  env.registerFunction('list.max(): dyn', (l: unknown) => [...elements(l)].sort(compareValues).at(-1));
  env.registerFunction('list.indexOf(dyn): int', (l: unknown, v: unknown) => BigInt(elements(l).findIndex((x) => same(x, v))));
  env.registerFunction('list.lastIndexOf(dyn): int', (l: unknown, v: unknown) => BigInt(elements(l).findLastIndex((x) => same(x, v))));
}

function addQuantities(env: Environment): void {
  env.registerType('Quantity', CelQuantity);
  env.registerFunction('quantity(string): Quantity', quantityOf);
  env.registerFunction('isQuantity(string): bool', (s: string) => parseQuantity(s) !== undefined);
  env.registerFunction('Quantity.isGreaterThan(Quantity): bool', (a: CelQuantity, b: CelQuantity) => a.nanos > b.nanos);
  env.registerFunction('Quantity.isLessThan(Quantity): bool', (a: CelQuantity, b: CelQuantity) => a.nanos < b.nanos);
  env.registerFunction('Quantity.compareTo(Quantity): int', (a: CelQuantity, b: CelQuantity) =>
    BigInt(a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0),
  );
  env.registerFunction('Quantity.sign(): int', (a: CelQuantity) => BigInt(a.nanos < 0n ? -1 : a.nanos > 0n ? 1 : 0));
}

export function createCelEnvironment(variables: readonly string[]): Environment {
  const env = new Environment({ enableOptionalTypes: true, homogeneousAggregateLiterals: false });
  for (const name of variables) env.registerVariable(name, 'dyn');
  for (const add of [addStrings, addAddresses, addLists, addQuantities]) add(env);
  return env;
}
