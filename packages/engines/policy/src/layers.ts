// createLayeredCompiler: the fast twin of compileLayers. After any history its table equals compileLayers of the same objects.

import type { IdentityId, NamedPort } from '@axoneme/model';
import type { CidrIdentity } from './cidrs.ts';
import type { AddressClass } from './classes.ts';
import type { LayerTable } from './compile-layers.ts';
import { type CompilerState, createState, type DirtySubjects, loadRule, unloadRule } from './compiler-state.ts';
import { type LayeredDelta, moveSubject, patchRuleset, publish } from './compiler-subjects.ts';
import type { SubjectSet } from './layer-plan.ts';
import type { ParsedPolicy } from './parse.ts';
import { createReport, type PolicyReport, policiesOn, selectedBy } from './report.ts';
import type { PolicyHandle, PolicyRows } from './rows.ts';
import { createOriginTable } from './rule-id.ts';
import type { PolicyKey, PolicySource, Rule, RuleId, RuleOrigin } from './rules.ts';
import type { Ruleset } from './ruleset.ts';
import type { Selection } from './selection.ts';
import { builtInIdentities, type HostSubject, isBuiltIn, type PolicyConfig, type PolicyIdentity, portsText } from './subjects.ts';

/** An object that is in both a list and its `removed` list is put. */
export interface PolicyChanges {
  readonly policies?: readonly Pick<ParsedPolicy, 'key' | 'rules'>[] | undefined;
  readonly removedPolicies?: readonly PolicyKey[] | undefined;
  readonly identities?: readonly PolicyIdentity[] | undefined;
  readonly removedIdentities?: readonly IdentityId[] | undefined;
  /** Put them together with the policies that mention them: until then such an allow is closed. */
  readonly cidrIdentities?: readonly CidrIdentity[] | undefined;
  readonly removedCidrIdentities?: readonly IdentityId[] | undefined;
  /** As `planAddressClasses` plans them; put them together with the policies too. */
  readonly classes?: readonly AddressClass[] | undefined;
  readonly removedClasses?: readonly IdentityId[] | undefined;
  readonly hosts?: readonly HostSubject[] | undefined;
  readonly removedHosts?: readonly IdentityId[] | undefined;
}

export interface LayeredCompiler {
  update(changes: PolicyChanges): LayeredDelta;
  subject(id: IdentityId): SubjectSet | undefined;
  rows(handle: PolicyHandle): PolicyRows | undefined;
  /** What a rule id stands for. */
  origin(id: RuleId): RuleOrigin | undefined;
  /** `inUse`: identities some endpoint has; absent: all. */
  report(key: PolicyKey, inUse?: (id: IdentityId) => boolean): PolicyReport | undefined;
  /** Identities and nodes a policy selects. */
  selected(key: PolicyKey): ReadonlySet<IdentityId>;
  /** Objects that select an identity. */
  policiesOn(id: IdentityId): readonly PolicySource[];
  /** Everything, in fresh maps. */
  table(): LayerTable;
}

interface Dirt extends DirtySubjects {
  /** Identities whose port names changed. */
  readonly ports: Set<IdentityId>;
  /** Peers whose rows are to be looked at again, by ruleset. */
  readonly peers: Map<Ruleset, Set<IdentityId>>;
}

const createDirt = (): Dirt => ({ identities: new Set(), groups: new Set(), ports: new Set(), peers: new Map() });

export function createLayeredCompiler(config: PolicyConfig): LayeredCompiler {
  const state = createState(config);
  const start = createDirt();
  for (const i of builtInIdentities) putIdentity(state, i, start);
  settle(state, start);
  return {
    update: (changes) => settle(state, takeInputs(state, changes)),
    subject: (id) => state.subjects.get(id),
    rows: (handle) => state.handles.get(handle)?.rows,
    origin: (id) => originsOf(state, id)[0],
    report: (key, inUse) => createReport(state, key, inUse),
    selected: (key) => selectedBy(state, key),
    policiesOn: (id) => policiesOn(state, id),
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
  takeClassesAndHosts(state, changes, dirt);
  // Before rules come and go, so that memberships and groupsOf agree.
  followMembers(state, dirt);
  for (const key of changes.removedPolicies ?? []) if (!putKeys.has(key)) dropPolicy(state, key, dirt);
  for (const p of changes.policies ?? []) putPolicy(state, p, dirt);
  return dirt;
}

function takeClassesAndHosts(state: CompilerState, changes: PolicyChanges, dirt: Dirt): void {
  const putClasses = new Set(changes.classes?.map((c) => c.id));
  const putHosts = new Set(changes.hosts?.map((h) => h.id));
  for (const id of changes.removedClasses ?? []) if (!putClasses.has(id)) state.selection.dropClass(id);
  for (const c of changes.classes ?? []) state.selection.putClass(c);
  for (const id of changes.removedHosts ?? []) {
    if (putHosts.has(id) || !state.hosts.delete(id)) continue;
    state.hostSelection.dropIdentity(id);
    dirt.identities.add(id);
  }
  for (const h of changes.hosts ?? []) {
    state.hosts.set(h.id, h);
    state.hostSelection.putIdentity(h.id, h.labels);
    dirt.identities.add(h.id);
  }
}

/** Recompiles what the dirt touches and publishes it. */
function settle(state: CompilerState, dirt: Dirt): LayeredDelta {
  const touched = new Set<IdentityId>();
  for (const group of dirt.groups) for (const id of group.subjects.members(group.text)) dirt.identities.add(id);
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
  followSubjects(state, state.hostSelection, dirt);
  for (const [text, ids] of followSubjects(state, state.selection, dirt))
    for (const set of state.users.get(text)) markPeers(dirt, set, ids);
  if (dirt.ports.size > 0) for (const set of state.nameUsers) markPeers(dirt, set, dirt.ports);
}

function followSubjects(state: CompilerState, selection: Selection, dirt: Dirt): ReadonlyMap<string, ReadonlySet<IdentityId>> {
  const changes = selection.takeChanges();
  for (const [text, ids] of changes) {
    const members = selection.members(text);
    for (const group of state.groupsAt.get(text)) {
      for (const id of ids) {
        if (members.has(id)) state.groupsOf.add(id, group);
        else state.groupsOf.delete(id, group);
        dirt.identities.add(id);
      }
    }
  }
  return changes;
}

function markPeers(dirt: Dirt, set: Ruleset, ids: ReadonlySet<IdentityId>): void {
  const known = dirt.peers.get(set);
  if (known === undefined) dirt.peers.set(set, new Set(ids));
  else for (const id of ids) known.add(id);
}

function putPolicy(state: CompilerState, policy: Pick<ParsedPolicy, 'key' | 'rules'>, dirt: Dirt): void {
  const old = state.policies.get(policy.key);
  if (old !== undefined && sameRules(old.rules, policy.rules)) return;
  // New rules first, so that selectors both versions use keep their members.
  const loaded = policy.rules.map((r) => loadRule(state, r, dirt));
  for (const l of old?.loaded ?? []) unloadRule(state, l, dirt);
  state.policies.set(policy.key, { rules: policy.rules, loaded });
}

/** An equal object changes nothing. */
const sameRules = (a: readonly Rule[], b: readonly Rule[]): boolean => a === b || JSON.stringify(a) === JSON.stringify(b);

function dropPolicy(state: CompilerState, key: PolicyKey, dirt: Dirt): void {
  for (const l of state.policies.get(key)?.loaded ?? []) unloadRule(state, l, dirt);
  state.policies.delete(key);
}

function originsOf(state: CompilerState, id: RuleId): RuleOrigin[] {
  const texts = [...(state.origins.get(id)?.values() ?? [])].map((o) => o.origin);
  return texts.sort((a, b) => (a.text < b.text ? -1 : 1));
}

function createTable(state: CompilerState): LayerTable {
  const subjects = new Map([...state.subjects].sort(([a], [b]) => a - b));
  const policies = new Map([...state.handles].map(([h, { rows }]) => [h, rows]));
  return { subjects, policies, ...createOriginTable([...state.origins.keys()].flatMap((id) => originsOf(state, id))) };
}

const noPorts: readonly NamedPort[] = [];
