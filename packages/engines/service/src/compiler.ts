// compileAll is the truth, update is the speed. Called by the operator's compile loop.
import type { ObjectKey } from '@axoneme/model';
import { type AddressConflict, createClaims } from './claims.ts';
import { type BackendSet, type CompiledService, compileService } from './compile.ts';
import type { ServiceInput, SliceInput } from './inputs.ts';

export interface ServiceSnapshot {
  readonly services: readonly ServiceInput[];
  readonly slices: readonly SliceInput[];
}

export interface ServiceTable {
  readonly services: ReadonlyMap<ObjectKey, CompiledService>;
  readonly sets: ReadonlyMap<bigint, BackendSet>;
}

/** Services without frontends (headless, ExternalName) are not in the result. */
export function compileAll(snapshot: ServiceSnapshot): ServiceTable {
  const services = new Map<ObjectKey, CompiledService>();
  const sets = new Map<bigint, BackendSet>();
  const claims = createClaims();
  for (const s of snapshot.services) claims.put(s);
  for (const s of snapshot.services) {
    const own = snapshot.slices.filter((slice) => slice.service === s.key).sort(bySliceKey);
    const compiled = compileService(s, own, (ip) => claims.owns(s.key, ip));
    if (compiled.frontends.length === 0) continue;
    services.set(s.key, compiled);
    for (const set of compiled.sets) sets.set(set.id, set);
  }
  return { services, sets };
}

export interface ServiceChanges {
  readonly services?: readonly ServiceInput[] | undefined;
  readonly removedServices?: readonly ObjectKey[] | undefined;
  readonly slices?: readonly SliceInput[] | undefined;
  readonly removedSlices?: readonly ObjectKey[] | undefined;
}

/** Difference to the table before the update; sets first, so that none is pointed at before it exists. */
export interface ServiceDelta {
  readonly addedSets: readonly BackendSet[];
  readonly changed: readonly CompiledService[];
  readonly removed: readonly ObjectKey[];
  readonly removedSets: readonly bigint[];
}

export interface ServiceCompiler {
  update(changes: ServiceChanges): ServiceDelta;
  table(): ServiceTable;
  /** Addresses that several Services ask for. */
  conflicts(): readonly AddressConflict[];
}

/** Holds private indexes; its table equals compileAll of the same objects after any history. */
export function createServiceCompiler(): ServiceCompiler {
  const inputs = new Map<ObjectKey, ServiceInput>();
  const claims = createClaims();
  const slices = new Map<ObjectKey, SliceInput>();
  const slicesOf = new Map<ObjectKey, Map<ObjectKey, SliceInput>>();
  const services = new Map<ObjectKey, CompiledService>();
  const sets = new Map<bigint, BackendSet>();
  const uses = new Map<bigint, number>();
  // Sets touched by the running update, and whether each existed before it.
  const touched = new Map<bigint, boolean>();

  const dropSlice = (key: ObjectKey, dirty: Set<ObjectKey>): void => {
    const old = slices.get(key);
    if (old === undefined) return;
    slices.delete(key);
    const siblings = slicesOf.get(old.service);
    siblings?.delete(key);
    if (siblings?.size === 0) slicesOf.delete(old.service);
    dirty.add(old.service);
  };
  const putSlice = (slice: SliceInput, dirty: Set<ObjectKey>): void => {
    dropSlice(slice.key, dirty);
    slices.set(slice.key, slice);
    const siblings = slicesOf.get(slice.service) ?? new Map<ObjectKey, SliceInput>();
    slicesOf.set(slice.service, siblings.set(slice.key, slice));
    dirty.add(slice.service);
  };
  const takeInputs = (changes: ServiceChanges): Set<ObjectKey> => {
    const dirty = new Set<ObjectKey>();
    for (const key of changes.removedSlices ?? []) dropSlice(key, dirty);
    for (const slice of changes.slices ?? []) putSlice(slice, dirty);
    for (const key of changes.removedServices ?? []) if (inputs.delete(key)) for (const k of claims.drop(key)) dirty.add(k);
    for (const s of changes.services ?? []) {
      inputs.set(s.key, s);
      for (const k of claims.put(s)) dirty.add(k);
    }
    return dirty;
  };
  const recompile = (key: ObjectKey): CompiledService | undefined => {
    const input = inputs.get(key);
    if (input === undefined) return undefined;
    const compiled = compileService(input, [...(slicesOf.get(key)?.values() ?? [])].sort(bySliceKey), (ip) => claims.owns(key, ip));
    return compiled.frontends.length === 0 ? undefined : compiled;
  };
  const count = (set: BackendSet, delta: 1 | -1): void => {
    if (!touched.has(set.id)) touched.set(set.id, sets.has(set.id));
    const n = (uses.get(set.id) ?? 0) + delta;
    if (n > 0) uses.set(set.id, n);
    else uses.delete(set.id);
    if (n > 0) sets.set(set.id, sets.get(set.id) ?? set);
  };
  const replace = (key: ObjectKey, next: CompiledService | undefined): void => {
    const old = services.get(key);
    for (const set of next?.sets ?? []) count(set, 1);
    for (const set of old?.sets ?? []) count(set, -1);
    if (next === undefined) services.delete(key);
    else services.set(key, next);
  };
  return {
    table: () => ({ services: new Map(services), sets: new Map(sets) }),
    conflicts: claims.conflicts,
    update(changes) {
      touched.clear();
      const changed: CompiledService[] = [];
      const removed: ObjectKey[] = [];
      for (const key of [...takeInputs(changes)].sort()) {
        const old = services.get(key);
        const next = recompile(key);
        if (old?.hash === next?.hash) continue;
        replace(key, next);
        if (next === undefined) removed.push(key);
        else changed.push(next);
      }
      const ids = [...touched.keys()].sort(byBigint);
      const removedSets = ids.filter((id) => touched.get(id) === true && !uses.has(id));
      const addedSets = ids.filter((id) => touched.get(id) === false && uses.has(id)).map((id) => sets.get(id)!);
      for (const id of ids) if (!uses.has(id)) sets.delete(id);
      return { addedSets, changed, removed, removedSets };
    },
  };
}

const bySliceKey = (a: SliceInput, b: SliceInput): number => (a.key < b.key ? -1 : 1);
const byBigint = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
