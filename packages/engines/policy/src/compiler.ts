// createPolicyCompiler: the fast twin of compileAll. After any history its table equals compileAll of the same objects.

import type { IdentityId, NamedPort } from '@axoneme/model';
import { canonicalJson } from '@axoneme/std';
import type { CidrIdentity } from './cidrs.ts';
import type { PolicyTable } from './compile-all.ts';
import { type CompilerState, createState, loadRule, unloadRule } from './compiler-state.ts';
import { moveSubject, type PolicyDelta, patchRuleset, publish } from './compiler-subjects.ts';
import type { ParsedPolicy } from './parse.ts';
import type { PolicyHandle, PolicyRows } from './rows.ts';
import { createOriginTable } from './rule-id.ts';
import type { PolicyKey, RuleId, RuleOrigin } from './rules.ts';
import type { Ruleset } from './ruleset.ts';
import { builtInIdentities, isBuiltIn, type PolicyConfig, type PolicyIdentity, portsText, type SubjectPolicy } from './subjects.ts';

/** An object that is in both a list and its `removed` list is put. */
export interface PolicyChanges {
  readonly policies?: readonly Pick<ParsedPolicy, 'key' | 'rules'>[] | undefined;
  readonly removedPolicies?: readonly PolicyKey[] | undefined;
  readonly identities?: readonly PolicyIdentity[] | undefined;
  readonly removedIdentities?: readonly IdentityId[] | undefined;
  /** Put them together with the policies that mention them: until then such an allow is closed. */
  readonly cidrIdentities?: readonly CidrIdentity[] | undefined;
  readonly removedCidrIdentities?: readonly IdentityId[] | undefined;
}

/** What a policy does at the moment, for its status. */
export interface PolicyReport {
  /** Identities it is enforced on. */
  readonly subjects: number;
  /** Port names that no endpoint in question defines: those rules are skipped. */
  readonly undefinedPorts: readonly string[];
}

export interface PolicyCompiler {
  update(changes: PolicyChanges): PolicyDelta;
  subject(id: IdentityId): SubjectPolicy | undefined;
  rows(handle: PolicyHandle): PolicyRows | undefined;
  /** What a rule id stands for. */
  origin(id: RuleId): RuleOrigin | undefined;
  report(key: PolicyKey): PolicyReport | undefined;
  /** Everything, in fresh maps. */
  table(): PolicyTable;
}

interface Dirt {
  /** Identities whose rules, labels or ports may have changed. */
  readonly identities: Set<IdentityId>;
  /** Identities whose port names changed. */
  readonly ports: Set<IdentityId>;
  /** Peers whose rows are to be looked at again, by ruleset. */
  readonly peers: Map<Ruleset, Set<IdentityId>>;
}

const createDirt = (): Dirt => ({ identities: new Set(), ports: new Set(), peers: new Map() });

export function createPolicyCompiler(config: PolicyConfig): PolicyCompiler {
  const state = createState(config);
  const start = createDirt();
  for (const i of builtInIdentities) putIdentity(state, i, start);
  settle(state, start);
  return {
    update: (changes) => settle(state, takeInputs(state, changes)),
    subject: (id) => state.subjects.get(id),
    rows: (handle) => state.handles.get(handle)?.rows,
    origin: (id) => originsOf(state, id)[0],
    report: (key) => createReport(state, key),
    table: () => createTable(state),
  };
}

function takeInputs(state: CompilerState, changes: PolicyChanges): Dirt {
  const dirt = createDirt();
  const putIds = new Set(changes.identities?.map((i) => i.id));
  const putCidrs = new Set(changes.cidrIdentities?.map((c) => c.id));
  const putKeys = new Set(changes.policies?.map((p) => p.key));
  for (const id of changes.removedIdentities ?? []) if (!putIds.has(id)) dropIdentity(state, id, dirt);
  for (const i of changes.identities ?? []) if (!isBuiltIn(i.id)) putIdentity(state, i, dirt);
  for (const id of changes.removedCidrIdentities ?? []) if (!putCidrs.has(id)) state.selection.dropCidr(id);
  for (const c of changes.cidrIdentities ?? []) state.selection.putCidr(c);
  // Before rules come and go, so that memberships and rulesOf agree.
  followMembers(state, dirt);
  for (const key of changes.removedPolicies ?? []) if (!putKeys.has(key)) dropPolicy(state, key, dirt);
  for (const p of changes.policies ?? []) putPolicy(state, p, dirt);
  return dirt;
}

/** Recompiles what the dirt touches and publishes it. */
function settle(state: CompilerState, dirt: Dirt): PolicyDelta {
  const touched = new Set<IdentityId>();
  for (const id of dirt.identities) moveSubject(state, id, touched);
  // Rulesets made just now are current; forgotten ones need nothing.
  for (const [set, ids] of dirt.peers) if (state.rulesets.get(set.key) === set) patchRuleset(state, set, ids, touched);
  return publish(state, touched);
}

function putIdentity(state: CompilerState, identity: PolicyIdentity, dirt: Dirt): void {
  const old = state.identities.get(identity.id)?.namedPorts ?? noPorts;
  const ports = identity.namedPorts ?? noPorts;
  state.identities.set(identity.id, identity);
  if (portsText(old) !== portsText(ports)) {
    for (const p of old) state.owners.delete(p.name, identity.id);
    for (const p of ports) state.owners.add(p.name, identity.id);
    dirt.ports.add(identity.id);
  }
  state.selection.putIdentity(identity.id, identity.labels);
  dirt.identities.add(identity.id);
}

function dropIdentity(state: CompilerState, id: IdentityId, dirt: Dirt): void {
  const old = state.identities.get(id);
  if (old === undefined || isBuiltIn(id)) return;
  state.identities.delete(id);
  for (const p of old.namedPorts ?? noPorts) state.owners.delete(p.name, id);
  if ((old.namedPorts?.length ?? 0) > 0) dirt.ports.add(id);
  state.selection.dropIdentity(id);
  dirt.identities.add(id);
}

/** Who entered or left a selector: as subject its rules change, as peer its rows. */
function followMembers(state: CompilerState, dirt: Dirt): void {
  for (const [text, ids] of state.selection.takeChanges()) {
    const members = state.selection.members(text);
    for (const { serial } of state.bySubjectText.get(text)) {
      for (const id of ids) {
        if (members.has(id)) state.rulesOf.add(id, serial);
        else state.rulesOf.delete(id, serial);
        dirt.identities.add(id);
      }
    }
    for (const set of state.users.get(text)) markPeers(dirt, set, ids);
  }
  if (dirt.ports.size > 0) for (const set of state.nameUsers) markPeers(dirt, set, dirt.ports);
}

function markPeers(dirt: Dirt, set: Ruleset, ids: ReadonlySet<IdentityId>): void {
  const known = dirt.peers.get(set);
  if (known === undefined) dirt.peers.set(set, new Set(ids));
  else for (const id of ids) known.add(id);
}

function putPolicy(state: CompilerState, policy: Pick<ParsedPolicy, 'key' | 'rules'>, dirt: Dirt): void {
  const digest = canonicalJson(policy.rules);
  const old = state.policies.get(policy.key);
  if (old?.digest === digest) return;
  // New rules first, so that selectors both versions use keep their members.
  const loaded = policy.rules.map((r) => loadRule(state, r, dirt.identities));
  for (const l of old?.loaded ?? []) unloadRule(state, l, dirt.identities);
  state.policies.set(policy.key, { digest, loaded });
}

function dropPolicy(state: CompilerState, key: PolicyKey, dirt: Dirt): void {
  for (const l of state.policies.get(key)?.loaded ?? []) unloadRule(state, l, dirt.identities);
  state.policies.delete(key);
}

function originsOf(state: CompilerState, id: RuleId): RuleOrigin[] {
  const texts = [...(state.origins.get(id)?.values() ?? [])].map((o) => o.origin);
  return texts.sort((a, b) => (a.text < b.text ? -1 : 1));
}

function createTable(state: CompilerState): PolicyTable {
  const subjects = new Map([...state.subjects].sort(([a], [b]) => a - b));
  const policies = new Map([...state.handles].map(([h, { rows }]) => [h, rows]));
  return { subjects, policies, ...createOriginTable([...state.origins.keys()].flatMap((id) => originsOf(state, id))) };
}

function createReport(state: CompilerState, key: PolicyKey): PolicyReport | undefined {
  const policy = state.policies.get(key);
  if (policy === undefined) return undefined;
  const subjects = new Set<IdentityId>();
  const missing = new Set<string>();
  for (const { rule, subjectText } of policy.loaded) {
    const own = [...state.selection.members(subjectText)].filter(
      (id) => state.subjects.has(id) && state.rulesetOf.get(id)?.rules.includes(rule) === true,
    );
    for (const id of own) subjects.add(id);
    for (const e of rule.entries) {
      for (const p of e.ports) {
        if (p.kind !== 'named') continue;
        const owners = state.owners.get(p.name);
        const defined = e.direction === 'egress' ? owners.size > 0 : own.some((id) => owners.has(id));
        if (!defined) missing.add(p.name);
      }
    }
  }
  return { subjects: subjects.size, undefinedPorts: [...missing].sort() };
}

const noPorts: readonly NamedPort[] = [];
