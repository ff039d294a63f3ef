// Subjects and the rulesets they share, inside the incremental compiler. Private to compiler.ts.
import { type IdentityId, reservedIds } from '@axoneme/model';
import { type CompilerState, useHandle, useOrigin } from './compiler-state.ts';
import type { PolicyHandle, PolicyRows } from './rows.ts';
import { createRuleset, patchRows, type Ruleset } from './ruleset.ts';
import { isSubject, portsText, type SubjectPolicy, subjectDefaults, usesSubjectNames } from './subjects.ts';

/** Difference to the table before; rows are to be written before the subjects that point at them, and removed after. */
export interface PolicyDelta {
  readonly addedPolicies: readonly PolicyRows[];
  readonly subjects: readonly SubjectPolicy[];
  readonly removedSubjects: readonly IdentityId[];
  readonly removedPolicies: readonly PolicyHandle[];
}

/** Brings one identity to the ruleset that its rules make; creates and forgets rulesets as needed. */
export function moveSubject(state: CompilerState, id: IdentityId, touched: Set<IdentityId>): void {
  const old = state.rulesetOf.get(id);
  const identity = state.identities.get(id);
  const next = identity !== undefined && isSubject(identity, state.config) ? findRuleset(state, id) : undefined;
  if (next === old) return;
  next?.subjects.add(id);
  if (next === undefined) state.rulesetOf.delete(id);
  else state.rulesetOf.set(id, next);
  if (old !== undefined) leaveRuleset(state, old, id);
  touched.add(id);
}

function findRuleset(state: CompilerState, id: IdentityId): Ruleset {
  const isHost = id === reservedIds.host;
  const serials = isHost ? [] : [...state.rulesOf.get(id)].sort((a, b) => a - b);
  const rules = serials.map((s) => state.bySerial.get(s)!.rule);
  const ports = usesSubjectNames(rules) ? state.view.portsOf(id) : [];
  const special = isHost || id === reservedIds.init ? id : 0;
  const key = `${serials.join()}|${special}|${portsText(ports)}`;
  const known = state.rulesets.get(key);
  if (known !== undefined) return known;
  const fresh = createRuleset(key, state.config.mode === 'never' ? [] : rules, ports, subjectDefaults(id, rules, state.config), state.view);
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
export function publish(state: CompilerState, touched: ReadonlySet<IdentityId>): PolicyDelta {
  const subjects: SubjectPolicy[] = [];
  const removedSubjects: IdentityId[] = [];
  for (const id of [...touched].sort((a, b) => a - b)) {
    const old = state.subjects.get(id);
    const set = state.rulesetOf.get(id);
    if (set === undefined) {
      if (state.subjects.delete(id)) removedSubjects.push(id);
      continue;
    }
    const next = createSubject(state, id, set);
    if (old !== undefined && sameSubject(old, next)) continue;
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

const createSubject = (state: CompilerState, id: IdentityId, set: Ruleset): SubjectPolicy => ({
  identity: id,
  rows: state.handles.get(set.rows.handle)?.rows ?? set.rows,
  defaultDeny: set.defaults.isolation,
  denyRules: set.defaults.denyRules,
  allowLocalhost: state.config.allowLocalhost,
});

const sameSubject = (a: SubjectPolicy, b: SubjectPolicy): boolean =>
  a.rows.handle === b.rows.handle &&
  a.denyRules[0] === b.denyRules[0] &&
  a.denyRules[1] === b.denyRules[1] &&
  a.defaultDeny.ingress === b.defaultDeny.ingress &&
  a.defaultDeny.egress === b.defaultDeny.egress;
