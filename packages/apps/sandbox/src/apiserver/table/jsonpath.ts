// The part of kubectl's JSONPath that printer columns use: fields, quoted fields, indexes, wildcards, filters with ==. Pure.
import { isObj } from '../obj.ts';

type Step =
  | { readonly field: string }
  | { readonly index: number }
  | { readonly all: true }
  | { readonly filter: { readonly path: readonly string[]; readonly want: string } };

const cache = new Map<string, readonly Step[]>();
const cacheMax = 1000;

/** Every value the path finds. */
export function jsonPath(v: unknown, path: string): unknown[] {
  let steps = cache.get(path);
  if (steps === undefined) {
    steps = parse(path);
    if (cache.size >= cacheMax) cache.clear();
    cache.set(path, steps);
  }
  let found: unknown[] = [v];
  for (const step of steps) found = found.flatMap((x) => take(x, step));
  return found;
}

function take(v: unknown, s: Step): unknown[] {
  if ('field' in s) return isObj(v) && v[s.field] !== undefined ? [v[s.field]] : [];
  if ('index' in s) {
    const x = Array.isArray(v) ? v.at(s.index) : undefined;
    return x === undefined ? [] : [x];
  }
  const items = Array.isArray(v) ? v : isObj(v) ? Object.values(v) : [];
  if ('all' in s) return items;
  return items.filter((item) => {
    let cur: unknown = item;
    for (const k of s.filter.path) cur = isObj(cur) ? cur[k] : undefined;
    return String(cur) === s.filter.want;
  });
}

const token =
  /^(?:\.?\[\?\(\s*@\.?([\w.\-/]*)\s*==\s*(?:"([^"]*)"|'([^']*)'|([^)\s]+))\s*\)\]|\.?\[\*\]|\.\*|\.?\[(-?\d+)\]|\.?\[['"]([^'"]+)['"]\]|\.?((?:\\.|[^.[\]\\])+))/;

function parse(path: string): Step[] {
  let rest = path.replace(/^\{|\}$/g, '').replace(/^\$/, '');
  const steps: Step[] = [];
  while (rest !== '' && rest !== '.') {
    const m = token.exec(rest);
    if (m === null) break;
    rest = rest.slice(m[0].length);
    if (m[1] !== undefined) steps.push({ filter: { path: m[1].split('.').filter((x) => x !== ''), want: m[2] ?? m[3] ?? m[4] ?? '' } });
    else if (m[5] !== undefined) steps.push({ index: Number(m[5]) });
    else if (m[6] !== undefined) steps.push({ field: m[6] });
    else if (m[7] !== undefined) steps.push({ field: m[7].replace(/\\(.)/g, '$1') });
    else steps.push({ all: true });
  }
  return steps;
}
