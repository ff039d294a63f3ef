// Building blocks for schemas: one definition gives the TypeScript type, the validator and the OpenAPI text. Called by every schema here.
import { isIP } from 'node:net';
import { z } from 'zod';

/** Keys of a schema that only the API server understands; they travel in zod's metadata. */
export interface KubeMeta {
  readonly description?: string;
  readonly format?: string;
  /** RE2 text for the API server when it differs from what our own check does. */
  readonly pattern?: string;
  readonly default?: unknown;
  readonly oneOf?: readonly object[];
  readonly anyOf?: readonly object[];
  readonly 'x-kubernetes-int-or-string'?: true;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-map-type'?: 'atomic';
  readonly 'x-kubernetes-preserve-unknown-fields'?: true;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly [key: string]: unknown;
}

/** Attaches a description and API-server keys. */
export const doc = <S extends z.ZodType>(schema: S, description: string, more: KubeMeta = {}): S =>
  schema.meta({ ...more, description }) as S;

/** Optional field: absent stays absent, empty stays empty, `undefined` and null are not values. */
export const maybe = <S extends z.ZodType>(schema: S): z.ZodExactOptional<S> => schema.exactOptional();

/** A field that may be left out, with its description. */
export const field = <S extends z.ZodType>(schema: S, description: string, more: KubeMeta = {}): z.ZodExactOptional<S> =>
  maybe(doc(schema, description, more));

export const text = (description: string, more: KubeMeta = {}): z.ZodExactOptional<z.ZodString> => field(z.string(), description, more);
export const flag = (description: string): z.ZodExactOptional<z.ZodBoolean> => field(z.boolean(), description);
export const whole = (description: string, min?: number, max?: number): z.ZodExactOptional<z.ZodInt> => {
  let s = z.int();
  if (min !== undefined) s = s.min(min);
  if (max !== undefined) s = s.max(max);
  return field(s, description);
};
export const list = <S extends z.ZodType>(item: S, description: string, more: KubeMeta = {}): z.ZodExactOptional<z.ZodArray<S>> =>
  field(z.array(item), description, more);
export const texts = (description: string): z.ZodExactOptional<z.ZodArray<z.ZodString>> => list(z.string(), description);
export const textMap = (description: string): z.ZodExactOptional<z.ZodRecord<z.ZodString, z.ZodString>> =>
  field(z.record(z.string(), z.string()), description);

const present = (o: object, keys: readonly string[]): string[] => keys.filter((k) => (o as Record<string, unknown>)[k] !== undefined);
const requireEach = (keys: readonly string[]): object[] => keys.map((k) => ({ properties: { [k]: {} }, required: [k] }));

/** Exactly one of the keys is set. */
export function exactlyOne<S extends z.ZodObject>(schema: S, keys: readonly string[]): S {
  return schema
    .refine((o) => present(o, keys).length === 1, { error: `exactly one of ${keys.join(', ')} is required` })
    .meta({ oneOf: requireEach(keys) }) as unknown as S;
}

/** One of the keys is set, or more. */
export function atLeastOne<S extends z.ZodObject>(schema: S, keys: readonly string[]): S {
  return schema
    .refine((o) => present(o, keys).length > 0, { error: `at least one of ${keys.join(', ')} is required` })
    .meta({ anyOf: requireEach(keys) }) as unknown as S;
}

export function isCidr(s: string): boolean {
  const slash = s.indexOf('/');
  const family = slash < 0 ? 0 : isIP(s.slice(0, slash));
  const bits = s.slice(slash + 1);
  return family !== 0 && !s.includes('%') && /^(0|[1-9][0-9]{0,2})$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}

export const cidrText = z
  .string()
  .refine(isCidr, { error: 'is not address/bits (IPv4 bits 0 to 32, IPv6 bits 0 to 128), for example 10.0.0.0/8' });
export const cidr = doc(cidrText, 'Prefix, address/bits.', { format: 'cidr' });

/** A number 0 to 65535 without leading zeros, or a port name as pods declare them; digits run together with letters are neither. */
export const portPattern =
  '^(0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]|[a-zA-Z](-?[a-zA-Z0-9])*|[0-9]+-([a-zA-Z0-9]-?)*[a-zA-Z](-?[a-zA-Z0-9])*)$';
export const portNameLengthMax = 15;

/**
 * The published forms of the next three nest repetitions, which takes exponential time in a backtracking engine. These accept the same texts
 * in linear time, so one pattern serves us, every API server and every client.
 */
const labels = (alphabet: string): string => `[${alphabet}]+([.][${alphabet}]+)*[.]?`;
export const fqdnPattern = `^${labels('-a-zA-Z0-9_')}$`;
export const fqdnGlobPattern = `^${labels('-a-zA-Z0-9_*')}$`;
export const serverNamePattern = `^([*]?[*][.])?${labels('-a-zA-Z0-9_')}$`;

/** A string with a pattern (RE2 and JavaScript alike) and a greatest length; the pattern is not tried on longer texts. */
export const patterned = (pattern: string, lengthMax: number, what: string): z.ZodString => {
  const check = new RegExp(pattern);
  return z
    .string({ error: 'must be text: put the value in quotes' })
    .max(lengthMax, { error: `is longer than ${lengthMax} characters` })
    .refine((s) => s.length > lengthMax || check.test(s), { error: what })
    .meta({ pattern }) as z.ZodString;
};
