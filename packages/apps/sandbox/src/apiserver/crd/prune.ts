// Dropping what a custom resource's schema does not know, and filling in its defaults. Pure. Called by ./runtime.ts.
import { clone, isObj, type Obj } from '../obj.ts';
import { builtinSchema } from '../schema/builtin.ts';
import type { Schema } from '../schema/model.ts';
import { normalize } from '../schema/normalize.ts';

export function prune(v: unknown, s: Schema): unknown {
  if (Array.isArray(v)) return s.items === undefined ? v : v.map((x) => prune(x, s.items as Schema));
  if (!isObj(v)) return v;
  if (s.type !== 'object' && s.properties === undefined && s.values === undefined) return v;
  const out: Obj = {};
  for (const key in v) {
    const value = v[key];
    const child = s.properties?.[key] ?? s.values;
    if (s.embedded === true && (key === 'apiVersion' || key === 'kind')) out[key] = value;
    else if (s.embedded === true && key === 'metadata') out[key] = normalize(value, builtinSchema('ObjectMeta'), []);
    else if (child !== undefined) out[key] = child.ref === undefined ? prune(value, child) : value;
    else if (s.preserveUnknown === true) out[key] = value;
  }
  return out;
}

/** Fills defaults and drops nulls where null is not allowed. Changes its argument, which the caller owns. */
export function applyDefaults(v: unknown, s: Schema): void {
  if (Array.isArray(v)) {
    if (s.items !== undefined) {
      for (let i = 0; i < v.length; i++) {
        if (v[i] === null && s.items.nullable !== true && s.items.default !== undefined) v[i] = clone(s.items.default);
        applyDefaults(v[i], s.items);
      }
    }
    return;
  }
  if (!isObj(v)) return;
  for (const [key, child] of Object.entries(s.properties ?? {})) {
    if (child.ref !== undefined) continue;
    if (v[key] === null && child.nullable !== true) delete v[key];
    if (v[key] === undefined && child.default !== undefined) v[key] = clone(child.default);
    if (v[key] !== undefined) applyDefaults(v[key], child);
  }
  if (s.values === undefined) return;
  for (const key in v) if (s.properties?.[key] === undefined) applyDefaults(v[key], s.values);
}
