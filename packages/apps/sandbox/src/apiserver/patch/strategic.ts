// Strategic merge patch: merge keys from the schema, and the $patch, $setElementOrder, $retainKeys, $deleteFromPrimitiveList directives. Pure.
import { equal, isObj, type Obj } from '../obj.ts';
import { childOf, type Schema } from '../schema/model.ts';
import { badRequest } from '../status-error.ts';

const orderPrefix = '$setElementOrder/';
const deletePrefix = '$deleteFromPrimitiveList/';

export function strategicMerge(target: unknown, patch: unknown, s: Schema | undefined): unknown {
  if (!isObj(patch)) return patch;
  return mergeMap(isObj(target) ? target : {}, patch, s);
}

function mergeMap(target: Obj, patch: Obj, s: Schema | undefined): Obj {
  const directive = patch.$patch;
  if (directive === 'replace') return without(patch, '$patch');
  if (directive === 'delete') return {};
  if (directive !== undefined && directive !== 'merge') throw badRequest(`Unknown patch type: ${String(directive)}`);
  let out: Obj = { ...target };
  if (Array.isArray(patch.$retainKeys)) {
    const keep = patch.$retainKeys;
    out = Object.fromEntries(Object.entries(out).filter(([k]) => keep.includes(k)));
  }
  for (const [key, list] of Object.entries(patch))
    if (key.startsWith(deletePrefix)) deletePrimitives(out, key.slice(deletePrefix.length), list);
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$')) continue;
    if (value === null) {
      delete out[key];
      continue;
    }
    out[key] = mergeValue(out[key], value, childOf(s, key), patch[orderPrefix + key]);
  }
  for (const [key, order] of Object.entries(patch)) {
    if (!key.startsWith(orderPrefix)) continue;
    const name = key.slice(orderPrefix.length);
    if (!(name in patch) && Array.isArray(out[name])) out[name] = reorder(out[name], order, childOf(s, name));
  }
  return out;
}

function mergeValue(old: unknown, value: unknown, s: Schema | undefined, order: unknown): unknown {
  if (isObj(value)) return mergeMap(isObj(old) ? old : {}, value, s);
  if (!Array.isArray(value)) return value;
  if (s?.mergeList !== true) return value.filter((x) => !isObj(x) || x.$patch === undefined);
  const merged = s.mergeKey === undefined ? mergePrimitives(old, value) : mergeKeyed(Array.isArray(old) ? old : [], value, s, s.mergeKey);
  return order === undefined ? merged : reorder(merged, order, s);
}

function mergePrimitives(old: unknown, value: readonly unknown[]): unknown[] {
  const out = Array.isArray(old) ? [...old] : [];
  for (const v of value) if (!out.some((x) => equal(x, v))) out.push(v);
  return out;
}

function mergeKeyed(old: readonly unknown[], value: readonly unknown[], s: Schema, mergeKey: string): unknown[] {
  const items = value.filter(isObj);
  if (items.some((x) => x.$patch === 'replace')) return items.filter((x) => x.$patch === undefined);
  let out = [...old];
  for (const item of items) {
    const key = item[mergeKey];
    if (key === undefined) throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`);
    const has = (x: unknown): boolean => isObj(x) && equal(x[mergeKey], key);
    if (item.$patch === 'delete') {
      out = out.filter((x) => !has(x));
      continue;
    }
    const at = out.findIndex(has);
    if (at === -1) out.push(mergeMap({}, item, s.items));
    else out[at] = mergeMap(out[at] as Obj, item, s.items);
  }
  return out;
}

/** Items named in `order` come in that order; the others keep their place relative to what stood before them. */
function reorder(list: unknown[], order: unknown, s: Schema | undefined): unknown[] {
  if (!Array.isArray(order)) return list;
  const key = s?.mergeKey;
  const idOf = (x: unknown): string => JSON.stringify(key !== undefined && isObj(x) ? x[key] : x);
  const rank = new Map(order.map((x, i) => [idOf(x), i]));
  const named = list.filter((x) => rank.has(idOf(x))).sort((a, b) => (rank.get(idOf(a)) as number) - (rank.get(idOf(b)) as number));
  let next = 0;
  return list.map((x) => (rank.has(idOf(x)) ? named[next++] : x));
}

function deletePrimitives(out: Obj, key: string, list: unknown): void {
  const have = out[key];
  if (!Array.isArray(list) || !Array.isArray(have)) return;
  out[key] = have.filter((x) => !list.some((d) => equal(d, x)));
}

function without(o: Obj, key: string): Obj {
  const { [key]: _gone, ...rest } = o;
  return rest;
}
