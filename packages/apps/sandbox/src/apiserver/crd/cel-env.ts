// The CEL environment of CRD rules: self, oldSelf and the cheap part of Kubernetes' own functions. Used by ./cel.ts and webhook matchConditions.
import { isIP } from 'node:net';
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
  env.registerFunction('string.find(string): string', (s: string, re: string) => compilePattern(re)?.exec(s)?.[0] ?? '');
  env.registerFunction('string.findAll(string): list', (s: string, re: string) => {
    const one = compilePattern(re);
    return one === undefined ? [] : [...s.matchAll(new RegExp(one.source, `${one.flags}g`))].map((m) => m[0]);
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
  for (const add of [addStrings, addLists, addQuantities]) add(env);
  return env;
}
