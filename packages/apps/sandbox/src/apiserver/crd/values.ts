// Structural validation of a custom resource against its schema, in the API server's wording. Pure. Called by ./runtime.ts.
import { equal, isObj, type Obj } from '../obj.ts';
import type { Schema } from '../schema/model.ts';
import { itemElement } from '../ssa/walk.ts';
import { type Cause, duplicateValue, requiredValue, unsupportedValue } from '../status-error.ts';
import { formatCause } from './formats.ts';
import { compilePattern } from './pattern.ts';

/** Appends every cause; `path` is '' at the root. */
export function validateValue(v: unknown, s: Schema, path: string, out: Cause[]): void {
  const raw = s.raw ?? {};
  if (v === null && s.nullable === true) return;
  if (!typeFits(v, s)) {
    out.push(typeCause(path, v, s));
    return;
  }
  if (Array.isArray(raw.enum) && !raw.enum.some((e) => equal(e, v))) out.push(unsupportedValue(path, v, raw.enum));
  if (typeof v === 'string') validateString(v, raw, path, out);
  else if (typeof v === 'number') validateNumber(v, raw, path, out);
  else if (Array.isArray(v)) validateList(v, s, path, out);
  else if (isObj(v)) validateMap(v, s, path, out);
  validateLogic(v, raw, path, out);
}

function typeFits(v: unknown, s: Schema): boolean {
  if (s.intOrString === true) return typeof v === 'string' || Number.isInteger(v);
  switch (s.type) {
    case undefined:
      return true;
    case 'object':
      return isObj(v);
    case 'array':
      return Array.isArray(v);
    case 'integer':
      return Number.isInteger(v);
    case 'number':
      return typeof v === 'number';
    default:
      return typeof v === s.type;
  }
}

const typeName = (v: unknown): string => (v === null ? 'null' : Array.isArray(v) ? 'array' : Number.isInteger(v) ? 'integer' : typeof v);

function typeCause(path: string, v: unknown, s: Schema): Cause {
  const want = s.intOrString === true ? 'integer,string' : String(s.type);
  return {
    reason: 'FieldValueTypeInvalid',
    field: path,
    message: `Invalid value: ${JSON.stringify(typeName(v))}: ${path} in body must be of type ${want}: ${JSON.stringify(typeName(v))}`,
  };
}

const bad = (path: string, v: unknown, why: string): Cause => ({
  reason: 'FieldValueInvalid',
  field: path,
  message: `Invalid value: ${JSON.stringify(v)}: ${why}`,
});

function validateString(v: string, raw: Obj, path: string, out: Cause[]): void {
  const length = [...v].length;
  if (typeof raw.maxLength === 'number' && length > raw.maxLength) {
    out.push({ reason: 'FieldValueTooLong', field: path, message: `Too long: may not be more than ${raw.maxLength} bytes` });
  }
  if (typeof raw.minLength === 'number' && length < raw.minLength) {
    out.push(bad(path, v, `${path} in body should be at least ${raw.minLength} chars long`));
  }
  if (typeof raw.pattern === 'string' && compilePattern(raw.pattern)?.test(v) === false) {
    out.push(bad(path, v, `${path} in body should match '${raw.pattern}'`));
  }
  if (typeof raw.format === 'string') {
    const c = formatCause(raw.format, v, path);
    if (c !== undefined) out.push(c);
  }
}

function validateNumber(v: number, raw: Obj, path: string, out: Cause[]): void {
  const { minimum, maximum, multipleOf } = raw;
  if (typeof minimum === 'number' && (raw.exclusiveMinimum === true ? v <= minimum : v < minimum)) {
    out.push(bad(path, v, `${path} in body should be greater than ${raw.exclusiveMinimum === true ? '' : 'or equal to '}${minimum}`));
  }
  if (typeof maximum === 'number' && (raw.exclusiveMaximum === true ? v >= maximum : v > maximum)) {
    out.push(bad(path, v, `${path} in body should be less than ${raw.exclusiveMaximum === true ? '' : 'or equal to '}${maximum}`));
  }
  if (typeof multipleOf === 'number' && !Number.isInteger(v / multipleOf))
    out.push(bad(path, v, `${path} in body should be a multiple of ${multipleOf}`));
  if (raw.format === 'int32' && (v > 2_147_483_647 || v < -2_147_483_648)) out.push(bad(path, v, `${path} in body must be of type int32`));
}

function validateList(v: readonly unknown[], s: Schema, path: string, out: Cause[]): void {
  const raw = s.raw ?? {};
  if (typeof raw.maxItems === 'number' && v.length > raw.maxItems) {
    out.push({ reason: 'FieldValueTooMany', field: path, message: `Too many: ${v.length}: must have at most ${raw.maxItems} items` });
  }
  if (typeof raw.minItems === 'number' && v.length < raw.minItems)
    out.push(bad(path, v.length, `${path} in body should have at least ${raw.minItems} items`));
  if (raw.uniqueItems === true && v.some((x, i) => v.slice(0, i).some((y) => equal(x, y))))
    out.push(bad(path, v, `${path} in body shouldn't contain duplicates`));
  if (s.items === undefined) return;
  const seen = new Set<string>();
  v.forEach((x, i) => {
    validateValue(x, s.items as Schema, `${path}[${i}]`, out);
    if (s.listType !== 'map' && s.listType !== 'set') return;
    const key = itemElement(x, s);
    if (seen.has(key)) out.push(duplicateValue(`${path}[${i}]`, s.listType === 'set' ? x : JSON.parse(key.slice(2))));
    seen.add(key);
  });
}

const join = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

function validateMap(v: Obj, s: Schema, path: string, out: Cause[]): void {
  const raw = s.raw ?? {};
  const n = Object.keys(v).length;
  if (typeof raw.maxProperties === 'number' && n > raw.maxProperties) {
    out.push({ reason: 'FieldValueTooMany', field: path, message: `Too many: ${n}: must have at most ${raw.maxProperties} items` });
  }
  if (typeof raw.minProperties === 'number' && n < raw.minProperties)
    out.push(bad(path, n, `${path} in body should have at least ${raw.minProperties} properties`));
  for (const key of s.required ?? []) if (v[key] === undefined) out.push(requiredValue(join(path, key)));
  for (const key in v) {
    const named = s.properties?.[key];
    if (named !== undefined) {
      if (named.ref === undefined && v[key] !== undefined) validateValue(v[key], named, join(path, key), out);
    } else if (s.values !== undefined && v[key] !== undefined) validateValue(v[key], s.values, `${path}.${key}`, out);
  }
  if (s.embedded === true) {
    for (const key of ['apiVersion', 'kind'])
      if (typeof v[key] !== 'string' || v[key] === '') out.push(requiredValue(join(path, key), 'must not be empty'));
  }
}

/** Kubernetes names no field when a combination of schemas fails; the path is in the message. */
const NO_FIELD = '<nil>';

/** allOf, anyOf, oneOf, not: their schemas hold value rules only. */
function validateLogic(v: unknown, raw: Obj, path: string, out: Cause[]): void {
  const causesOf = (part: unknown): Cause[] => {
    const found: Cause[] = [];
    validateValue(v, logicSchema(part), path, found);
    return found;
  };
  if (Array.isArray(raw.allOf)) for (const part of raw.allOf) out.push(...causesOf(part));
  if (Array.isArray(raw.anyOf)) {
    const all = raw.anyOf.map(causesOf);
    if (!all.some((c) => c.length === 0))
      out.push(bad(NO_FIELD, '', `"${path}" must validate at least one schema (anyOf)`), ...(all[0] ?? []));
  }
  if (Array.isArray(raw.oneOf)) {
    const all = raw.oneOf.map(causesOf);
    const good = all.filter((c) => c.length === 0).length;
    const wrong = (found: string): Cause => bad(NO_FIELD, '', `"${path}" must validate one and only one schema (oneOf). ${found}`);
    if (good === 0) out.push(wrong('Found none valid'), ...(all[0] ?? []));
    else if (good > 1) out.push(wrong(`Found ${good} valid alternatives`));
  }
  if (isObj(raw.not) && causesOf(raw.not).length === 0) out.push(bad(NO_FIELD, '', `"${path}" must not validate the schema (not)`));
}

const logicCache = new WeakMap<object, Schema>();

function logicSchema(part: unknown): Schema {
  if (!isObj(part)) return {};
  let s = logicCache.get(part);
  if (s === undefined) {
    const properties = isObj(part.properties)
      ? Object.fromEntries(Object.entries(part.properties).map(([k, p]) => [k, logicSchema(p)]))
      : undefined;
    const t = part.type;
    s = {
      ...(typeof t === 'string' ? { type: t as NonNullable<Schema['type']> } : {}),
      ...(properties === undefined ? {} : { properties }),
      ...(isObj(part.items) ? { items: logicSchema(part.items) } : {}),
      ...(isObj(part.additionalProperties) ? { values: logicSchema(part.additionalProperties) } : {}),
      ...(Array.isArray(part.required) ? { required: part.required as string[] } : {}),
      raw: part,
    };
    logicCache.set(part, s);
  }
  return s;
}
