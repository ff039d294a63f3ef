// Small helpers over plain JSON objects. Used by every module of the server.
import type { KubeObject } from './types.ts';

export type Obj = Record<string, unknown>;

export function isObj(v: unknown): v is Obj {
  return v !== null && typeof v === 'object' && !Array.isArray(v);
}

export const asObj = (v: unknown): Obj => (isObj(v) ? v : {});
export const asList = (v: unknown): readonly unknown[] => (Array.isArray(v) ? v : []);
export const asStr = (v: unknown): string => (typeof v === 'string' ? v : '');

/** The value at a path of keys, or undefined. */
export function dig(v: unknown, ...path: readonly string[]): unknown {
  let cur = v;
  for (const key of path) {
    if (!isObj(cur)) return undefined;
    cur = cur[key];
  }
  return cur;
}

/** Deep copy of a JSON value; drops undefined members, as JSON would. */
export function clone<T>(v: T): T {
  if (Array.isArray(v)) return v.map((x) => (x === undefined ? null : clone(x))) as T;
  if (!isObj(v)) return v;
  const out: Obj = {};
  for (const key in v) if (v[key] !== undefined) out[key] = clone(v[key]);
  return out as T;
}

export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((x, i) => equal(x, b[i]));
  if (!isObj(a) || !isObj(b)) return false;
  let n = 0;
  for (const key in a) {
    if (a[key] === undefined) continue;
    n++;
    if (!(key in b) || !equal(a[key], b[key])) return false;
  }
  let m = 0;
  for (const key in b) if (b[key] !== undefined) m++;
  return n === m;
}

const bytesOf = new WeakMap<object, Buffer>();

/** JSON bytes of a stored object, kept with it: lists and watches share one buffer. Only for objects that never change again. */
export function jsonBytes(o: KubeObject): Buffer {
  let b = bytesOf.get(o);
  if (b === undefined) {
    b = Buffer.from(JSON.stringify(o));
    bytesOf.set(o, b);
  }
  return b;
}

export const nsOf = (o: KubeObject): string => o.metadata.namespace ?? '';
export const nameOf = (o: KubeObject): string => o.metadata.name ?? '';

/** RFC 3339 in whole seconds, as metav1.Time prints. */
export const timeText = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
