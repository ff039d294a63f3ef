// Subjects and the rulesets they share, inside the incremental compiler. Private to layers.ts.
import { type IdentityId, reservedIds } from '@axoneme/model';
import { type CompilerState, type Seats, type SubjectGroup, useHandle, useOrigin } from './compiler-state.ts';
import {
  isPresent,
  type LayerName,
  type LayerPlan,
  layerNames,
  planLayers,
  type SubjectLayers,
  type SubjectSet,
  tierConditions,
} from './layer-plan.ts';
import type { PolicyHandle, PolicyRows } from './rows.ts';
import type { Rule } from './rules.ts';
import { createRuleset, patchRows, type Ruleset } from './ruleset.ts';
import { isHostSubject, isSubject, noDefaults, portsText, type SubjectPolicy, subjectDefaults, usesSubjectNames } from './subjects.ts';

/** Difference to the table before; rows are to be written before the subjects that point at them, and removed after. */
export interface LayeredDelta {
  readonly addedPolicies: readonly PolicyRows[];
  readonly subjects: readonly SubjectSet[];
  readonly removedSubjects: readonly IdentityId[];
  readonly removedPolicies: readonly PolicyHandle[];
}

/** Brings one subject to the rulesets that its rules make; creates and forgets rulesets as needed. */
export function moveSubject(state: CompilerState, id: IdentityId, touched: Set<IdentityId>): void {
  const old = state.seats.get(id);
  const next = findSeats(state, id);
  if (next !== undefined && old !== undefined && sameSeats(old, next)) return;
  if (next === undefined && old === undefined) return;
  const kept = new Set(next?.values());
  for (const set of kept) set.subjects.add(id);
  if (next === undefined) state.seats.delete(id);
  else state.seats.set(id, next);
  for (const set of new Set(old?.values())) if (!kept.has(set)) leaveRuleset(state, set, id);
  touched.add(id);
}

function sameSeats(a: Seats, b: Seats): boolean {
  if (a.size !== b.size) return false;
  for (const [name, set] of a) if (b.get(name) !== set) return false;
  return true;
}

/** Undefined for what is no subject: peers only, and nodes that no host rule selects. */
function findSeats(state: CompilerState, id: IdentityId): Seats | undefined {
  const groups = state.groupsOf.get(id);
  if (isHostSubject(id)) {
    if (!state.hosts.has(id) || groups.size === 0 || state.config.mode === 'never') return undefined;
  } else {
    const identity = state.identities.get(id);
    if (identity === undefined || !isSubject(identity, state.config)) return undefined;
  }
  const selected = [...groups].sort((a, b) => a.serial - b.serial);
  return new Map(planLayers(selected, itself, state.config.mode).map((plan) => [plan.name, findRuleset(state, id, plan)]));
}

/** Remembered: it is asked for each subject. */
function usesNames(g: SubjectGroup): boolean {
  if (g.namesAt !== g.version) {
    g.namesAt = g.version;
    g.names = usesSubjectNames(g.rules);
  }
  return g.names;
}

const itself = (g: SubjectGroup): SubjectGroup => g;

function findRuleset(state: CompilerState, id: IdentityId, plan: LayerPlan<SubjectGroup>): Ruleset {
  const ports = plan.rules.some((g) => usesNames(g)) ? state.view.portsOf(id) : [];
  const special = id === reservedIds.init || isHostSubject(id) ? id : 0;
  const key = `${plan.isolates ? '' : 'tier '}${plan.rules.map((g) => `${g.serial}.${g.version}`).join()}|${special}|${portsText(ports)}`;
  const known = state.rulesets.get(key);
  if (known !== undefined) return known;
  const rules: Rule[] = [];
  for (const g of plan.rules) for (const r of g.rules) rules.push(r);
  const defaults = plan.isolates ? subjectDefaults(id, rules, state.config) : noDefaults;
  const fresh = createRuleset(key, rules, ports, defaults, plan.isolates ? defaults.isolation : tierConditions, state.view);
  state.rulesets.set(key, fresh);
  for (const text of fresh.selections) state.users.add(text, fresh);
  if (fresh.prepared.usesPeerNames) state.nameUsers.add(fresh);
  for (const o of fresh.defaults.origins) useOrigin(state, o, 1);
  useHandle(state, fresh.rows, 1);
  return fresh;
}

function leaveRuleset(state: CompilerState, set: Ruleset, id: IdentityId): void {
  set.subjects.delete(id);
  if (set.subjects.size > 0) return;
  state.rulesets.delete(set.key);
  for (const text of set.selections) state.users.delete(text, set);
  state.nameUsers.delete(set);
  for (const o of set.defaults.origins) useOrigin(state, o, -1);
  useHandle(state, set.rows, -1);
}

/** Rows after peers changed; all subjects of the ruleset follow. */
export function patchRuleset(state: CompilerState, set: Ruleset, changed: ReadonlySet<IdentityId>, touched: Set<IdentityId>): void {
  const rows = patchRows(set, changed, state.view);
  if (rows === set.rows) return;
  useHandle(state, rows, 1);
  useHandle(state, set.rows, -1);
  set.rows = rows;
  for (const id of set.subjects) touched.add(id);
}

/** Compares the touched subjects with what was published and publishes the difference. */
export function publish(state: CompilerState, touched: ReadonlySet<IdentityId>): LayeredDelta {
  const subjects: SubjectSet[] = [];
  const removedSubjects: IdentityId[] = [];
  for (const id of [...touched].sort((a, b) => a - b)) {
    const old = state.subjects.get(id);
    const seats = state.seats.get(id);
    if (seats === undefined) {
      if (state.subjects.delete(id)) removedSubjects.push(id);
      continue;
    }
    const next = createSubject(state, id, seats);
    if (old !== undefined && sameSet(old, next)) continue;
    state.subjects.set(id, next);
    subjects.push(next);
  }
  const before = [...state.handlesBefore].sort(([a], [b]) => (a < b ? -1 : 1));
  state.handlesBefore.clear();
  return {
    addedPolicies: before.flatMap(([h, rows]) => (rows === undefined && state.handles.has(h) ? [state.handles.get(h)!.rows] : [])),
    subjects,
    removedSubjects,
    removedPolicies: before.flatMap(([h, rows]): PolicyHandle[] => (rows !== undefined && !state.handles.has(h) ? [h] : [])),
  };
}

function createSubject(state: CompilerState, identity: IdentityId, seats: Seats): SubjectSet {
  const layers: { -readonly [K in LayerName]?: SubjectPolicy } = {};
  for (const name of layerNames) {
    const set = seats.get(name);
    const policy = set === undefined ? undefined : createPolicy(state, identity, set);
    if (policy !== undefined && isPresent(name, policy)) layers[name] = policy;
  }
  return { identity, layers: layers as SubjectLayers };
}

function createPolicy(state: CompilerState, identity: IdentityId, set: Ruleset): SubjectPolicy {
  const rows = state.handles.get(set.rows.handle)?.rows ?? set.rows;
  return {
    identity,
    rows,
    usesClasses: rows.usesClasses,
    defaultDeny: set.defaults.isolation,
    denyRules: set.defaults.denyRules,
    allowLocalhost: state.config.allowLocalhost && !isHostSubject(identity),
  };
}

const sameSet = (a: SubjectSet, b: SubjectSet): boolean => layerNames.every((name) => samePolicy(a.layers[name], b.layers[name]));

const samePolicy = (a: SubjectPolicy | undefined, b: SubjectPolicy | undefined): boolean =>
  a === undefined || b === undefined
    ? a === b
    : a.rows.handle === b.rows.handle &&
      a.denyRules[0] === b.denyRules[0] &&
      a.denyRules[1] === b.denyRules[1] &&
      a.defaultDeny.ingress === b.defaultDeny.ingress &&
      a.defaultDeny.egress === b.defaultDeny.egress;
