// Merging an applied configuration into a live value, and dropping what an applier no longer sets. Pure.
import { isObj, type Obj } from '../obj.ts';
import type { Schema } from '../schema/model.ts';
import { below, type FieldSet, fieldElement, isEmptySet } from './field-set.ts';
import { itemElement, itemsOf, propertyOf, shapeOf } from './walk.ts';

/** `config` laid over `live`. */
export function mergeApplied(live: unknown, config: unknown, s: Schema | undefined): unknown {
  const shape = shapeOf(config, s);
  if (shape === 'leaf' || live === undefined || live === null || shapeOf(live, s) !== shape) return config;
  if (shape === 'map') {
    const out: Obj = { ...(live as Obj) };
    for (const [k, v] of Object.entries(config as Obj)) out[k] = mergeApplied(out[k], v, propertyOf(s, k));
    return out;
  }
  return mergeList(live as unknown[], config as unknown[], s);
}

/** Items of the configuration come in its order; live items not in it keep their place relative to their neighbours. */
function mergeList(live: readonly unknown[], config: readonly unknown[], s: Schema | undefined): unknown[] {
  const byKey = itemsOf(live, s, s?.listType === 'set' ? 'set' : 'keyed');
  const wanted = new Map<string, unknown>();
  for (const item of config) {
    const key = itemElement(item, s);
    const old = byKey.get(key);
    wanted.set(key, old === undefined ? item : mergeApplied(old, item, s?.items));
  }
  const out: unknown[] = [];
  const order = [...wanted.keys()];
  let next = 0;
  for (const item of live) {
    const key = itemElement(item, s);
    const at = order.indexOf(key);
    if (at === -1) {
      out.push(item);
      continue;
    }
    while (next <= at) out.push(wanted.get(order[next++] as string));
  }
  while (next < order.length) out.push(wanted.get(order[next++] as string));
  return out;
}

/** Removes what `last` owned, the new configuration does not set and nobody else owns. Returns undefined when the value itself goes. */
export function pruneApplied(v: unknown, s: Schema | undefined, last: FieldSet, now: FieldSet, others: FieldSet): unknown {
  const shape = shapeOf(v, s);
  if (shape === 'leaf') return v;
  const keep = (key: string, x: unknown, child: Schema | undefined): unknown => {
    const mine = below(last, key);
    if (isEmptySet(mine)) return x;
    const stillSet = below(now, key);
    const owned = below(others, key);
    if (isEmptySet(stillSet) && isEmptySet(owned)) return undefined;
    return pruneApplied(x, child, mine, stillSet, owned);
  };
  if (shape === 'map') {
    const out: Obj = {};
    for (const [k, x] of Object.entries(v as Obj)) {
      const kept = keep(fieldElement(k), x, propertyOf(s, k));
      if (kept !== undefined) out[k] = kept;
    }
    return out;
  }
  return (v as unknown[]).map((x) => keep(itemElement(x, s), x, s?.items)).filter((x) => x !== undefined);
}

/** True when two items of a keyed or set list share a key; returns the first such path. */
export function duplicateKey(v: unknown, s: Schema | undefined, path = ''): string | undefined {
  if (Array.isArray(v)) {
    const seen = new Set<string>();
    const keyed = s?.listType === 'map' || s?.listType === 'set';
    for (const item of v) {
      const key = keyed ? itemElement(item, s) : '';
      if (keyed && seen.has(key)) return `${path}: duplicate entries for key [${key.slice(2)}]`;
      seen.add(key);
      const inner = duplicateKey(item, s?.items, path);
      if (inner !== undefined) return inner;
    }
    return undefined;
  }
  if (!isObj(v)) return undefined;
  for (const [k, x] of Object.entries(v)) {
    const inner = duplicateKey(x, propertyOf(s, k), `${path}.${k}`);
    if (inner !== undefined) return inner;
  }
  return undefined;
}
