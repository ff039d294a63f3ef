// What a round trip through the typed form does to a built-in object: empty optional values vanish, plain structs appear,
// quantities and times take their usual spelling. Unknown fields are dropped. Also reports type errors. Called on every write of a built-in kind.
import { isObj, type Obj } from '../obj.ts';
import type { Schema } from './model.ts';
import { canonicalQuantity } from './quantity.ts';

export interface TypeProblem {
  readonly path: string;
  readonly got: string;
  readonly want: string;
}

/** Returns the normal form; problems are appended. Never changes its input. */
export function normalize(v: unknown, s: Schema, problems: TypeProblem[], path = ''): unknown {
  if (s.type === undefined || s.preserveUnknown === true) return v;
  if (s.intOrString === true) return scalarOr(typeof v === 'string' || typeof v === 'number', v, 'intstr.IntOrString', problems, path);
  switch (s.type) {
    case 'object':
      return normalizeObject(v, s, problems, path);
    case 'array':
      if (!Array.isArray(v)) return problem(v, 'slice', problems, path);
      return v.map((x) => normalize(x, s.items ?? {}, problems, path));
    case 'string':
      return normalizeString(v, s, problems, path);
    case 'integer':
      return scalarOr(typeof v === 'number' && Number.isInteger(v), v, s.format ?? 'int64', problems, path);
    case 'number':
      return scalarOr(typeof v === 'number', v, 'float64', problems, path);
    case 'boolean':
      return scalarOr(typeof v === 'boolean', v, 'bool', problems, path);
  }
}

function normalizeString(v: unknown, s: Schema, problems: TypeProblem[], path: string): unknown {
  if (s.format === 'quantity') {
    if (typeof v === 'string' || typeof v === 'number') {
      const q = canonicalQuantity(String(v));
      if (q !== undefined) return q;
    }
    return problem(v, 'resource.Quantity', problems, path);
  }
  if (s.format === 'date-time' && typeof v === 'string') {
    const ms = Date.parse(v);
    return Number.isNaN(ms) ? problem(v, 'time.Time', problems, path) : `${new Date(ms).toISOString().slice(0, 19)}Z`;
  }
  return scalarOr(typeof v === 'string', v, 'string', problems, path);
}

function normalizeObject(v: unknown, s: Schema, problems: TypeProblem[], path: string): unknown {
  if (!isObj(v)) return problem(v, s.ref?.split('.').at(-1) ?? 'map', problems, path);
  const out: Obj = {};
  if (s.properties === undefined) {
    for (const key in v)
      if (v[key] !== undefined)
        out[key] = v[key] === null ? zeroOf(s.values) : normalize(v[key], s.values ?? {}, problems, join(path, key));
    return out;
  }
  for (const key in v) {
    const child = s.properties[key];
    const value = v[key];
    if (child === undefined || value === undefined || value === null) continue;
    const n = normalize(value, child, problems, join(path, key));
    if (n === undefined || isOmitted(n, child, s.required?.includes(key) === true)) continue;
    out[key] = n;
  }
  return addPlain(out, s);
}

/** What a schema always writes: plain structs, and zero for required numbers. */
interface Plain {
  readonly key: string;
  readonly struct: Schema | undefined;
  readonly zero: number | boolean | undefined;
}

const plainOf = new WeakMap<Schema, readonly Plain[]>();

function plainFields(s: Schema): readonly Plain[] {
  let found = plainOf.get(s);
  if (found === undefined) {
    found = Object.entries(s.properties ?? {}).flatMap(([key, child]): Plain[] => {
      if (child.plain !== true) return [];
      if (child.type === 'object' && child.properties !== undefined) return [{ key, struct: child, zero: undefined }];
      if (s.required?.includes(key) !== true || child.intOrString === true) return [];
      const zero = child.type === 'integer' ? 0 : child.type === 'boolean' ? false : undefined;
      return zero === undefined ? [] : [{ key, struct: undefined, zero }];
    });
    plainOf.set(s, found);
  }
  return found;
}

/** Structs without a pointer, and required numbers, are always written. */
function addPlain(out: Obj, s: Schema): Obj {
  for (const { key, struct, zero } of plainFields(s)) {
    if (out[key] === undefined) out[key] = struct === undefined ? zero : addPlain({}, struct);
  }
  return out;
}

function isOmitted(v: unknown, s: Schema, required: boolean): boolean {
  if (Array.isArray(v)) return v.length === 0 && !required;
  if (isObj(v)) return s.properties === undefined && s.type === 'object' && Object.keys(v).length === 0;
  return s.plain === true && !required && s.intOrString !== true && s.format !== 'quantity' && (v === '' || v === 0 || v === false);
}

const zeroOf = (s: Schema | undefined): unknown => (s?.type === 'string' && s.format === undefined ? '' : null);

function scalarOr(good: boolean, v: unknown, want: string, problems: TypeProblem[], path: string): unknown {
  return good ? v : problem(v, want, problems, path);
}

function problem(v: unknown, want: string, problems: TypeProblem[], path: string): undefined {
  const got = Array.isArray(v) ? 'array' : v === null ? 'null' : isObj(v) ? 'object' : typeof v === 'boolean' ? 'bool' : typeof v;
  problems.push({ path, got: got === 'number' && want.startsWith('int') ? `number ${v}` : got, want });
  return undefined;
}

const join = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);
