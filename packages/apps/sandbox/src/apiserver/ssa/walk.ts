// Field sets of values: everything in a value, and what changed between two. Follows the schema's list and map types. Pure.
import { equal, isObj, type Obj } from '../obj.ts';
import { childOf, type Schema } from '../schema/model.ts';
import { emptySet, type FieldSet, fieldElement, keyElement, leafSet, makeSet, union, valueElement } from './field-set.ts';

export type Shape = 'leaf' | 'map' | 'set' | 'keyed';

/** How ownership sees a value of this schema. */
export function shapeOf(v: unknown, s: Schema | undefined): Shape {
  if (isObj(v)) return s?.atomic === true ? 'leaf' : 'map';
  if (Array.isArray(v)) return s?.listType === 'set' ? 'set' : s?.listType === 'map' ? 'keyed' : 'leaf';
  return 'leaf';
}

/** Path element of a list item; missing keys take their default. */
export function itemElement(item: unknown, s: Schema | undefined): string {
  if (s?.listType !== 'map') return valueElement(item);
  const keys: Obj = {};
  for (const k of s.listKeys ?? []) {
    const v = isObj(item) ? item[k] : undefined;
    const value = v ?? s.items?.properties?.[k]?.default;
    if (value !== undefined) keys[k] = value;
  }
  return keyElement(keys);
}

export const propertyOf = (s: Schema | undefined, key: string): Schema | undefined => childOf(s, key);

/** Every field a value sets, as an applied configuration owns them. */
export function setOf(v: unknown, s: Schema | undefined): FieldSet {
  const shape = shapeOf(v, s);
  if (shape === 'leaf') return leafSet;
  const children = new Map<string, FieldSet>();
  if (shape === 'map') {
    for (const [key, x] of Object.entries(v as Obj)) {
      const child = propertyOf(s, key);
      const inner = setOf(x, child);
      const isKey = s?.properties === undefined || !Object.hasOwn(s.properties, key);
      const empty = isObj(x) && Object.keys(x).length === 0;
      children.set(fieldElement(key), isKey || empty || x === null ? { ...inner, self: true } : inner);
    }
    return makeSet(false, children);
  }
  for (const item of v as unknown[]) {
    const inner = setOf(item, s?.items);
    children.set(itemElement(item, s), { ...inner, self: true });
  }
  return makeSet(false, children);
}

export interface Comparison {
  readonly added: FieldSet;
  readonly modified: FieldSet;
  readonly removed: FieldSet;
}

const same: Comparison = { added: emptySet, modified: emptySet, removed: emptySet };

/** What changed from `a` to `b`. `undefined` = absent; a present null still counts as present. */
export function compare(a: unknown, b: unknown, s: Schema | undefined): Comparison {
  if (a === b) return same;
  const shapeA = shapeOf(a, s);
  const shapeB = shapeOf(b, s);
  const known = a === undefined || a === null || shapeA === shapeB;
  const shape = b === undefined || b === null ? shapeA : shapeB;
  if (shape === 'leaf' || !known) return compareLeaf(a, b, s);
  const itemsA = itemsOf(a, s, shape);
  const itemsB = itemsOf(b, s, shape);
  const added = new Map<string, FieldSet>();
  const modified = new Map<string, FieldSet>();
  const removed = new Map<string, FieldSet>();
  for (const key of new Set([...itemsA.keys(), ...itemsB.keys()])) {
    const child = shape === 'map' ? propertyOf(s, key.slice(2)) : s?.items;
    const x = itemsA.get(key);
    const y = itemsB.get(key);
    const c = compare(x, y, child);
    added.set(key, x === undefined && y !== undefined ? { ...c.added, self: true } : c.added);
    modified.set(key, c.modified);
    removed.set(key, y === undefined && x !== undefined ? { ...c.removed, self: true } : c.removed);
  }
  return { added: makeSet(false, added), modified: makeSet(false, modified), removed: makeSet(false, removed) };
}

function compareLeaf(a: unknown, b: unknown, s: Schema | undefined): Comparison {
  if (a === undefined) return { ...same, added: leafSet };
  if (b === undefined) return { ...same, removed: leafSet };
  if (equal(a, b)) return same;
  // the shape changed: everything below the old value went, everything in the new one came
  const gone = isObj(a) || Array.isArray(a) ? setOf(a, s) : emptySet;
  return { added: emptySet, modified: leafSet, removed: gone.children.size > 0 ? gone : emptySet };
}

/** Members of a map, set or keyed list by path element. */
export function itemsOf(v: unknown, s: Schema | undefined, shape: Shape): Map<string, unknown> {
  const out = new Map<string, unknown>();
  if (v === undefined || v === null) return out;
  if (shape === 'map') {
    for (const [k, x] of Object.entries(v as Obj)) if (x !== undefined) out.set(fieldElement(k), x);
  } else for (const item of v as unknown[]) out.set(itemElement(item, s), item);
  return out;
}

export const changedSet = (c: Comparison): FieldSet => union(c.added, c.modified);

const zeroes = new WeakMap<Schema, Obj>();

/** The value a freshly made Go struct would have: what a create is compared with. */
export function zeroValue(s: Schema): unknown {
  let out = zeroes.get(s);
  if (out === undefined) {
    out = {};
    for (const [key, child] of Object.entries(s.properties ?? {})) {
      if (child.plain === true && child.type === 'object' && child.properties !== undefined) out[key] = zeroValue(child);
      else if (s.required?.includes(key) === true && child.type === 'array') out[key] = null;
    }
    zeroes.set(s, out);
  }
  return out;
}
