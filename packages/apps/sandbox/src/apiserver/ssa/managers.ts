// managedFields: who owns which field. Reads and writes the entries, tracks updates, carries out server-side apply. Called by ../rest/write.ts.
import { isObj, type Obj } from '../obj.ts';
import type { Schema } from '../schema/model.ts';
import { StatusError } from '../status-error.ts';
import type { KubeObject } from '../types.ts';
import {
  difference,
  emptySet,
  type FieldSet,
  fieldElement,
  fromFieldsV1,
  intersection,
  isEmptySet,
  pathsOf,
  sameSet,
  toFieldsV1,
  union,
} from './field-set.ts';
import { duplicateKey, mergeApplied, pruneApplied } from './merge.ts';
import { changedSet, compare, setOf } from './walk.ts';

export interface Manager {
  readonly name: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string;
  readonly set: FieldSet;
}

export interface Writer {
  readonly name: string;
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string;
}

const strippedMeta = [
  'name',
  'namespace',
  'creationTimestamp',
  'selfLink',
  'uid',
  'generation',
  'managedFields',
  'resourceVersion',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
];

/** Identity and bookkeeping belong to nobody. */
function strip(o: KubeObject): Obj {
  const { apiVersion: _a, kind: _k, metadata, ...rest } = o;
  const meta: Obj = { ...metadata };
  for (const k of strippedMeta) delete meta[k];
  return { ...rest, metadata: meta };
}

/** The metadata node itself is never owned. */
function withoutMetaSelf(s: FieldSet): FieldSet {
  const key = fieldElement('metadata');
  const meta = s.children.get(key);
  if (meta === undefined || !meta.self) return s;
  const children = new Map(s.children);
  if (meta.children.size === 0) children.delete(key);
  else children.set(key, { self: false, children: meta.children });
  return { self: s.self, children };
}

export function readManagers(o: KubeObject | undefined): Manager[] {
  const list = o?.metadata.managedFields;
  if (!Array.isArray(list)) return [];
  return list.filter(isObj).flatMap((e) => {
    const operation = e.operation === 'Apply' ? 'Apply' : 'Update';
    if (typeof e.manager !== 'string' && e.operation === undefined) return [];
    return [
      {
        name: String(e.manager ?? ''),
        operation,
        apiVersion: String(e.apiVersion ?? ''),
        subresource: String(e.subresource ?? ''),
        time: String(e.time ?? ''),
        set: fromFieldsV1(e.fieldsV1),
      } as const,
    ];
  });
}

function writeManagers(o: KubeObject, managers: readonly Manager[]): KubeObject {
  const kept = managers.filter((m) => !isEmptySet(m.set));
  const sorted = [...kept].sort(
    (a, b) =>
      Number(a.operation === 'Update') - Number(b.operation === 'Update') ||
      (a.time < b.time ? -1 : a.time > b.time ? 1 : 0) ||
      (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
  const { managedFields: _old, ...metadata } = o.metadata;
  if (sorted.length === 0) return { ...o, metadata };
  return {
    ...o,
    metadata: {
      ...metadata,
      managedFields: sorted.map((m) => ({
        manager: m.name,
        operation: m.operation,
        apiVersion: m.apiVersion,
        time: m.time,
        fieldsType: 'FieldsV1',
        fieldsV1: toFieldsV1(m.set),
        ...(m.subresource === '' ? {} : { subresource: m.subresource }),
      })),
    },
  };
}

const isWriter = (m: Manager, w: Writer, op: 'Apply' | 'Update'): boolean =>
  m.name === w.name && m.operation === op && m.subresource === w.subresource && (op === 'Apply' || m.apiVersion === w.apiVersion);

/** Managers to start from: those of the new object unless it says nothing; `[{}]` resets them. */
function startingManagers(live: KubeObject | undefined, next: KubeObject): Manager[] {
  const given = next.metadata.managedFields;
  if (Array.isArray(given) && given.length > 0) return readManagers(next);
  return readManagers(live);
}

/** Records a plain write. `zero` stands in for the live object on create. */
export function trackUpdate(live: KubeObject | undefined, next: KubeObject, s: Schema, w: Writer, zero: unknown): KubeObject {
  const managers = startingManagers(live, next);
  const before = live === undefined ? zero : strip(live);
  const c = compare(before, strip(next), s);
  const changed = withoutMetaSelf(changedSet(c));
  const removed = c.removed;
  const out: Manager[] = [];
  let mine: Manager | undefined;
  for (const m of managers) {
    if (isWriter(m, w, 'Update')) mine = m;
    else out.push({ ...m, set: difference(difference(m.set, changed), removed) });
  }
  const before2 = mine?.set ?? emptySet;
  const set = difference(union(before2, changed), removed);
  if (!isEmptySet(set)) {
    const unchanged = mine !== undefined && sameSet(set, before2) && isEmptySet(changed);
    out.push({
      name: w.name,
      operation: 'Update',
      apiVersion: w.apiVersion,
      subresource: w.subresource,
      time: unchanged ? (mine as Manager).time : w.time,
      set,
    });
  }
  return writeManagers(next, out);
}

/** Server-side apply of `config` onto `live`; throws 409 naming the owners unless forced. */
export function applyConfig(live: KubeObject | undefined, config: KubeObject, s: Schema, w: Writer, force: boolean): KubeObject {
  const twice = duplicateKey(config, s);
  if (twice !== undefined) throw new StatusError(400, 'BadRequest', `failed to create typed patch object: ${twice}`);
  const managers = readManagers(live);
  const now = withoutMetaSelf(setOf(strip(config), s));
  const mine = managers.find((m) => isWriter(m, w, 'Apply'));
  let others = managers.filter((m) => m !== mine);
  const base = live ?? ({ apiVersion: config.apiVersion, kind: config.kind, metadata: { ...identity(config) } } as KubeObject);
  const merged = mergeApplied(base, config, s) as KubeObject;
  if (live !== undefined) {
    const changed = withoutMetaSelf(changedSet(compare(strip(live), strip(merged), s)));
    others = resolve(others, changed, force);
  }
  const ownedByOthers = others.reduce((acc, m) => union(acc, m.set), emptySet);
  const pruned = mine === undefined ? merged : (pruneApplied(merged, s, mine.set, now, ownedByOthers) as KubeObject);
  const kept = { ...pruned, metadata: { ...pruned.metadata, ...identity(base) } };
  const time = mine !== undefined && sameSet(mine.set, now) ? mine.time : w.time;
  const self: Manager = { name: w.name, operation: 'Apply', apiVersion: w.apiVersion, subresource: w.subresource, time, set: now };
  // plain writers lose what is no longer there
  const gone = compare(strip(merged), strip(kept), s).removed;
  return writeManagers(kept, [self, ...others.map((m) => ({ ...m, set: difference(m.set, gone) }))]);
}

function identity(o: KubeObject): { name?: string; namespace?: string } {
  const { name, namespace } = o.metadata;
  return { ...(name === undefined ? {} : { name }), ...(namespace === undefined ? {} : { namespace }) };
}

function resolve(others: readonly Manager[], changed: FieldSet, force: boolean): Manager[] {
  const conflicts = others.map((m) => ({ m, set: intersection(m.set, changed) })).filter((c) => !isEmptySet(c.set));
  if (conflicts.length === 0) return [...others];
  if (!force) throw conflictError(conflicts);
  return others.map((m) => ({ ...m, set: difference(m.set, changed) }));
}

function conflictError(conflicts: readonly { readonly m: Manager; readonly set: FieldSet }[]): StatusError {
  const causes = conflicts.flatMap(({ m, set }) =>
    pathsOf(set).map((p) => ({ reason: 'FieldManagerConflict', message: `conflict with ${describe(m)}`, field: p })),
  );
  const groups = conflicts.map(({ m, set }) => {
    const paths = pathsOf(set).sort();
    return paths.length === 1
      ? `conflict with ${describe(m)}: ${paths[0]}`
      : `conflicts with ${describe(m)}:\n${paths.map((p) => `- ${p}`).join('\n')}`;
  });
  const n = causes.length;
  return new StatusError(409, 'Conflict', `Apply failed with ${n} conflict${n === 1 ? '' : 's'}: ${groups.join('\n')}`, { causes });
}

function describe(m: Manager): string {
  const sub = m.subresource === '' ? '' : ` with subresource "${m.subresource}"`;
  const using = m.operation === 'Update' ? ` using ${m.apiVersion}` : '';
  return `"${m.name}"${sub}${using}`;
}
