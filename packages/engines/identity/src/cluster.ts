// Cluster-scoped identities: label sets × CiliumIdentity objects → assignments, objects to create, garbage. Called by the leading operator.

import { type IdentityId, identityRanges, type Labels, reservedIdOf } from '@axoneme/model';
import { AppError } from '@axoneme/std';
import { type NumberRange, pickNumbers } from './numbers.ts';

/** One CiliumIdentity object. */
export interface ExistingIdentity {
  readonly id: IdentityId;
  readonly labels: Labels;
  readonly createdMs: number;
  /** Since when nobody has used it, as the object says; absent while in use. */
  readonly unusedSinceMs?: number | undefined;
}

/** A number whose object was deleted: not given out again before the quarantine has passed. */
export interface FreedIdentity {
  readonly id: IdentityId;
  readonly freedMs: number;
}

export interface IdentityConfig {
  /** 0–255; sits above the low 16 bits. */
  readonly clusterId: number;
  /** How long an unused identity is kept. */
  readonly unusedGraceMs: number;
  /** How long a deleted number stays blocked. */
  readonly quarantineMs: number;
}

export interface IdentityInput {
  /** Identity-relevant label sets that need a number now. */
  readonly wanted: readonly Labels[];
  readonly existing: readonly ExistingIdentity[];
  /** Numbers some endpoint, node or remote cluster may still hold, wanted or not. */
  readonly inUse: ReadonlySet<IdentityId>;
  readonly freed: readonly FreedIdentity[];
  readonly nowMs: number;
}

export interface IdentityPlan {
  /** Number by `Labels.text`, for every wanted set that has one. */
  readonly assignments: ReadonlyMap<string, IdentityId>;
  /** Objects to create; an assignment that is not in `existing` must not be published before its object exists. */
  readonly creates: readonly { readonly id: IdentityId; readonly labels: Labels }[];
  /** Just found unused: write `nowMs` onto the object. */
  readonly marks: readonly IdentityId[];
  /** Marked, but used again: take the mark away. */
  readonly unmarks: readonly IdentityId[];
  /** Unused for long enough: delete the object and remember the number as freed. */
  readonly deletes: readonly IdentityId[];
  /** Freed numbers whose quarantine is over: forget them. */
  readonly released: readonly IdentityId[];
  /** Objects with the same labels; `kept` is the oldest and the one assigned. */
  readonly duplicates: readonly { readonly kept: IdentityId; readonly extra: readonly IdentityId[] }[];
  /** Sets that got no number. */
  readonly failures: readonly { readonly labels: Labels; readonly error: AppError }[];
}

export function clusterRange(clusterId: number): NumberRange {
  const base = clusterId * 0x1_0000;
  return { first: clusterId === 0 ? identityRanges.clusterFirst : base + 1, last: base + 0xffff };
}

/** Deterministic: depends on the sets given, never on their order. */
export function planIdentities(input: IdentityInput, config: IdentityConfig): IdentityPlan {
  const byText = groupByLabels(input.existing);
  const wanted = new Map(input.wanted.map((l) => [l.text, l]));
  const assignments = new Map<string, IdentityId>();
  const failures: { labels: Labels; error: AppError }[] = [];
  const missing: string[] = [];
  for (const [text, labels] of wanted) {
    const known = reservedIdOf(labels) ?? byText.get(text)?.[0]?.id;
    if (known !== undefined) assignments.set(text, known);
    else if (labels.list.every((l) => l.source === 'reserved')) failures.push({ labels, error: noLabels(labels) });
    else missing.push(text);
  }
  const blocked = blockedNumbers(input, config);
  const range = clusterRange(config.clusterId);
  const { picked, exhausted } = pickNumbers(missing, range, (n) => blocked.has(n as IdentityId));
  for (const [text, id] of picked) assignments.set(text, id as IdentityId);
  for (const text of exhausted) failures.push({ labels: wanted.get(text)!, error: noNumber(range) });
  return {
    assignments: new Map([...assignments].sort(byFirst)),
    creates: [...picked].sort((a, b) => a[1] - b[1]).map(([text, id]) => ({ id: id as IdentityId, labels: wanted.get(text)! })),
    ...collectGarbage(input, config, wanted, byText),
    duplicates: [...byText.values()].filter((g) => g.length > 1).map((g) => ({ kept: g[0]!.id, extra: g.slice(1).map((e) => e.id) })),
    failures: failures.sort((a, b) => (a.labels.text < b.labels.text ? -1 : 1)),
  };
}

type Garbage = Pick<IdentityPlan, 'marks' | 'unmarks' | 'deletes' | 'released'>;

function collectGarbage(
  input: IdentityInput,
  config: IdentityConfig,
  wanted: ReadonlyMap<string, Labels>,
  byText: ReadonlyMap<string, readonly ExistingIdentity[]>,
): Garbage {
  const marks: IdentityId[] = [];
  const unmarks: IdentityId[] = [];
  const deletes: IdentityId[] = [];
  for (const e of input.existing) {
    // A duplicate of a wanted set is garbage as soon as nobody holds its number.
    const used = input.inUse.has(e.id) || (wanted.has(e.labels.text) && byText.get(e.labels.text)?.[0] === e);
    if (used && e.unusedSinceMs !== undefined) unmarks.push(e.id);
    if (used) continue;
    if (e.unusedSinceMs === undefined) marks.push(e.id);
    else if (input.nowMs - e.unusedSinceMs >= config.unusedGraceMs) deletes.push(e.id);
  }
  const released = input.freed.filter((f) => quarantineOver(f, input, config)).map((f) => f.id);
  return { marks: ascending(marks), unmarks: ascending(unmarks), deletes: ascending(deletes), released: ascending(released) };
}

/** Objects by labels, oldest first; equal age falls back to the lower number. */
function groupByLabels(existing: readonly ExistingIdentity[]): Map<string, ExistingIdentity[]> {
  const groups = new Map<string, ExistingIdentity[]>();
  for (const e of [...existing].sort((a, b) => a.createdMs - b.createdMs || a.id - b.id)) {
    const group = groups.get(e.labels.text);
    if (group === undefined) groups.set(e.labels.text, [e]);
    else group.push(e);
  }
  return groups;
}

function blockedNumbers(input: IdentityInput, config: IdentityConfig): Set<IdentityId> {
  const blocked = new Set<IdentityId>(input.inUse);
  for (const e of input.existing) blocked.add(e.id);
  for (const f of input.freed) if (!quarantineOver(f, input, config)) blocked.add(f.id);
  return blocked;
}

const quarantineOver = (f: FreedIdentity, input: IdentityInput, config: IdentityConfig): boolean =>
  input.nowMs - f.freedMs >= config.quarantineMs && !input.inUse.has(f.id);
const ascending = (ids: IdentityId[]): IdentityId[] => ids.sort((a, b) => a - b);
const byFirst = (a: readonly [string, unknown], b: readonly [string, unknown]): number => (a[0] < b[0] ? -1 : 1);

function noLabels(labels: Labels): AppError {
  const message =
    labels.text === ''
      ? 'a label set without identity-relevant labels has no identity'
      : `no reserved identity has the labels ${labels.text}`;
  return new AppError({ code: 'identity/no-labels', message });
}

function noNumber(range: NumberRange): AppError {
  return new AppError({
    code: 'identity/exhausted',
    retry: 'later',
    message: `all ${range.last - range.first + 1} identities of the cluster are taken`,
    hint: 'exclude labels with many values from the identity label filter',
  });
}
