// Sets of field paths and their FieldsV1 form. Path elements are `f:name`, `k:{...}`, `v:...`. Pure; used by the ownership code.
import { canonicalJson } from '@axoneme/std';
import { isObj, type Obj } from '../obj.ts';

/** A node is a member when `self`; a leaf `{}` in FieldsV1 and a "." beside children mean the same. */
export interface FieldSet {
  readonly self: boolean;
  readonly children: ReadonlyMap<string, FieldSet>;
}

const none: ReadonlyMap<string, FieldSet> = new Map();
export const emptySet: FieldSet = { self: false, children: none };
export const leafSet: FieldSet = { self: true, children: none };

export const isEmptySet = (s: FieldSet): boolean => !s.self && s.children.size === 0;

export function makeSet(self: boolean, children: Map<string, FieldSet>): FieldSet {
  for (const [k, v] of children) if (isEmptySet(v)) children.delete(k);
  return children.size === 0 ? (self ? leafSet : emptySet) : { self, children };
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a)) return b;
  if (isEmptySet(b)) return a;
  const children = new Map(a.children);
  for (const [k, v] of b.children) {
    const mine = children.get(k);
    children.set(k, mine === undefined ? v : union(mine, v));
  }
  return { self: a.self || b.self, children };
}

export function difference(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a) || isEmptySet(b)) return a;
  const children = new Map<string, FieldSet>();
  for (const [k, v] of a.children) {
    const other = b.children.get(k);
    children.set(k, other === undefined ? v : difference(v, other));
  }
  return makeSet(a.self && !b.self, children);
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  const children = new Map<string, FieldSet>();
  for (const [k, v] of a.children) {
    const other = b.children.get(k);
    if (other !== undefined) children.set(k, intersection(v, other));
  }
  return makeSet(a.self && b.self, children);
}

export function sameSet(a: FieldSet, b: FieldSet): boolean {
  if (a.self !== b.self || a.children.size !== b.children.size) return false;
  for (const [k, v] of a.children) {
    const other = b.children.get(k);
    if (other === undefined || !sameSet(v, other)) return false;
  }
  return true;
}

/** The set below a path element; empty when absent. */
export const below = (s: FieldSet, key: string): FieldSet => s.children.get(key) ?? emptySet;

export function fromFieldsV1(v: unknown): FieldSet {
  if (!isObj(v)) return emptySet;
  return readNode(v, false);
}

function readNode(v: Obj, leafMeansSelf: boolean): FieldSet {
  const children = new Map<string, FieldSet>();
  let self = false;
  for (const key in v) {
    if (key === '.') self = true;
    else children.set(normalKey(key), readNode(isObj(v[key]) ? v[key] : {}, true));
  }
  return { self: self || (leafMeansSelf && children.size === 0), children };
}

export function toFieldsV1(s: FieldSet): Obj {
  const out: Obj = {};
  if (s.self && s.children.size > 0) out['.'] = {};
  for (const k of [...s.children.keys()].sort()) out[k] = toFieldsV1(s.children.get(k) as FieldSet);
  return out;
}

/** Keys with sorted members, so that two spellings of one key meet. */
function normalKey(key: string): string {
  if (!key.startsWith('k:')) return key;
  try {
    return `k:${canonicalJson(JSON.parse(key.slice(2)))}`;
  } catch {
    return key;
  }
}

export const fieldElement = (name: string): string => `f:${name}`;
export const valueElement = (v: unknown): string => `v:${JSON.stringify(v)}`;
export const keyElement = (keys: Obj): string => `k:${canonicalJson(keys)}`;

/** Paths as conflict messages print them: `.spec.template.spec.containers[name="web"].image`. */
export function pathsOf(s: FieldSet, prefix = ''): string[] {
  const out = s.self ? [prefix] : [];
  for (const [k, v] of s.children) out.push(...pathsOf(v, prefix + elementText(k)));
  return out;
}

function elementText(k: string): string {
  if (k.startsWith('f:')) return `.${k.slice(2)}`;
  if (k.startsWith('v:')) return `[=${k.slice(2)}]`;
  const keys = JSON.parse(k.slice(2)) as Obj;
  return `[${Object.entries(keys)
    .map(([n, v]) => `${n}=${JSON.stringify(v)}`)
    .join(',')}]`;
}
