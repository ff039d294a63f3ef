// Private state of the incremental compiler and its bookkeeping: rules, handles, origins. Changed only by layers.ts and compiler-*.ts.
import type { IdentityId, NamedPort } from '@axoneme/model';
import { isBlocking, selectionText } from './atoms.ts';
import { createMultiMap, type MultiMap } from './label-index.ts';
import type { LayerName, SubjectSet } from './layer-plan.ts';
import type { PolicyHandle, PolicyRows } from './rows.ts';
import type { PolicyKey, PolicyMode, Rule, RuleId, RuleOrigin, Tier } from './rules.ts';
import type { PeerView, Ruleset } from './ruleset.ts';
import { createSelection, type Selection } from './selection.ts';
import type { HostSubject, PolicyConfig, PolicyIdentity } from './subjects.ts';

/** A rule in use. */
export interface Loaded {
  readonly rule: Rule;
  readonly group: SubjectGroup;
  /** Selector texts acquired for the peers, with repetitions. */
  readonly acquired: readonly string[];
}

/** Rules of one tier and mode with the same subject selector: whoever it selects has them all. */
export interface SubjectGroup {
  readonly key: string;
  /** Names it within this compiler only. */
  readonly serial: number;
  readonly tier: Tier;
  readonly mode: PolicyMode;
  /** Where its subjects are found. */
  readonly subjects: Selection;
  readonly text: string;
  readonly rules: Set<Rule>;
  /** Another set of rules, another version. */
  version: number;
  /** Ingress port names are used; true for version `namesAt`. */
  names: boolean;
  namesAt: number;
}

export interface LoadedPolicy {
  readonly rules: readonly Rule[];
  readonly loaded: readonly Loaded[];
}

/** One or more rulesets; two layers may share one. */
export type Seats = ReadonlyMap<LayerName, Ruleset>;

export interface CompilerState {
  readonly config: PolicyConfig;
  readonly selection: Selection;
  /** Which nodes the subject selectors of host rules match; endpoint selectors never see them. */
  readonly hostSelection: Selection;
  readonly view: PeerView;
  readonly identities: Map<IdentityId, PolicyIdentity>;
  readonly hosts: Map<IdentityId, HostSubject>;
  /** Identities by port name. */
  readonly owners: MultiMap<string, IdentityId>;
  readonly policies: Map<PolicyKey, LoadedPolicy>;
  readonly groups: Map<string, SubjectGroup>;
  /** Groups by selector text. */
  readonly groupsAt: MultiMap<string, SubjectGroup>;
  /** Groups that select the subject. */
  readonly groupsOf: MultiMap<IdentityId, SubjectGroup>;
  readonly rulesets: Map<string, Ruleset>;
  /** Rulesets of each subject by layer. */
  readonly seats: Map<IdentityId, Seats>;
  /** Rulesets by selector text of their peers. */
  readonly users: MultiMap<string, Ruleset>;
  /** Rulesets with egress port names. */
  readonly nameUsers: Set<Ruleset>;
  readonly subjects: Map<IdentityId, SubjectSet>;
  readonly handles: Map<PolicyHandle, { readonly rows: PolicyRows; readonly uses: number }>;
  /** Handles used or left in the running update, and the rows they had before it, if any. */
  readonly handlesBefore: Map<PolicyHandle, PolicyRows | undefined>;
  readonly origins: Map<RuleId, Map<string, { readonly origin: RuleOrigin; readonly uses: number }>>;
  nextSerial: number;
}

const noPorts: readonly NamedPort[] = [];

export function createState(config: PolicyConfig): CompilerState {
  const selection = createSelection();
  const identities = new Map<IdentityId, PolicyIdentity>();
  const owners = createMultiMap<string, IdentityId>();
  return {
    config,
    selection,
    hostSelection: createSelection(),
    view: { members: selection.members, portsOf: (peer) => identities.get(peer)?.namedPorts ?? noPorts, ownersOf: owners.get },
    identities,
    hosts: new Map(),
    owners,
    policies: new Map(),
    groups: new Map(),
    groupsAt: createMultiMap(),
    groupsOf: createMultiMap(),
    rulesets: new Map(),
    seats: new Map(),
    users: createMultiMap(),
    nameUsers: new Set(),
    subjects: new Map(),
    handles: new Map(),
    handlesBefore: new Map(),
    origins: new Map(),
    nextSerial: 1,
  };
}

/** What an update has touched of the subjects. */
export interface DirtySubjects {
  /** Their rules, labels or ports may have changed. */
  readonly identities: Set<IdentityId>;
  /** The rules of all their members have changed. */
  readonly groups: Set<SubjectGroup>;
}

export function loadRule(state: CompilerState, rule: Rule, dirty: DirtySubjects): Loaded {
  const acquired: string[] = [];
  for (const e of rule.entries) {
    const deny = isBlocking(e.action);
    for (const peer of e.peers) {
      if (peer.kind === 'any') continue;
      const text = selectionText(peer, deny);
      state.selection.acquire(text, peer, deny);
      acquired.push(text);
    }
  }
  const group = enterGroup(state, rule);
  group.rules.add(rule);
  group.version++;
  dirty.groups.add(group);
  for (const o of rule.origins) useOrigin(state, o, 1);
  return { rule, group, acquired };
}

export function unloadRule(state: CompilerState, { rule, group, acquired }: Loaded, dirty: DirtySubjects): void {
  group.rules.delete(rule);
  group.version++;
  if (group.rules.size > 0) dirty.groups.add(group);
  else {
    dirty.groups.delete(group);
    for (const id of group.subjects.members(group.text)) {
      state.groupsOf.delete(id, group);
      dirty.identities.add(id);
    }
    state.groups.delete(group.key);
    state.groupsAt.delete(group.text, group);
    group.subjects.release(group.text);
  }
  for (const o of rule.origins) useOrigin(state, o, -1);
  for (const text of acquired) state.selection.release(text);
}

function enterGroup(state: CompilerState, rule: Rule): SubjectGroup {
  const ofNodes = rule.subjectKind === 'nodes';
  const text = `${ofNodes ? 'host' : 'labels'} ${rule.subject.text}`;
  const key = `${rule.tier} ${rule.mode} ${text}`;
  const known = state.groups.get(key);
  if (known !== undefined) return known;
  const subjects = ofNodes ? state.hostSelection : state.selection;
  subjects.acquire(text, { kind: 'labels', selector: rule.subject }, false);
  const { tier, mode } = rule;
  const group: SubjectGroup = {
    key,
    serial: state.nextSerial++,
    tier,
    mode,
    subjects,
    text,
    rules: new Set(),
    version: 0,
    names: false,
    namesAt: 0,
  };
  state.groups.set(key, group);
  state.groupsAt.add(text, group);
  for (const id of subjects.members(text)) state.groupsOf.add(id, group);
  return group;
}

export function useHandle(state: CompilerState, rows: PolicyRows, delta: 1 | -1): void {
  if (rows.count === 0) return;
  const known = state.handles.get(rows.handle);
  if (!state.handlesBefore.has(rows.handle)) state.handlesBefore.set(rows.handle, known?.rows);
  const uses = (known?.uses ?? 0) + delta;
  if (uses === 0) state.handles.delete(rows.handle);
  else state.handles.set(rows.handle, { rows: known?.rows ?? rows, uses });
}

export function useOrigin(state: CompilerState, origin: RuleOrigin, delta: 1 | -1): void {
  const texts = state.origins.get(origin.id) ?? new Map<string, { readonly origin: RuleOrigin; readonly uses: number }>();
  const known = texts.get(origin.text);
  const uses = (known?.uses ?? 0) + delta;
  if (uses === 0) texts.delete(origin.text);
  else texts.set(origin.text, { origin: delta === 1 || known === undefined ? origin : known.origin, uses });
  if (texts.size === 0) state.origins.delete(origin.id);
  else state.origins.set(origin.id, texts);
}
