// What a policy does at the moment, for its status: whom it selects and which of its parts do nothing. Reads the incremental compiler's state.
import type { IdentityId } from '@axoneme/model';
import { isBlocking, selectionText } from './atoms.ts';
import type { CompilerState, Loaded } from './compiler-state.ts';
import { layersOf } from './layer-plan.ts';
import { type PolicyRow, type PolicyRows, precedenceOf, rowSize, unpackRow } from './rows.ts';
import {
  type PeerSelector,
  type PolicyKey,
  type PolicySource,
  type PortMatch,
  peerText,
  policyKey,
  type RuleEntry,
  type RuleId,
} from './rules.ts';
import { isBuiltIn } from './subjects.ts';

export interface PolicyReport {
  /** Identities it is enforced on; nodes included. */
  readonly subjects: number;
  /** Port names that no endpoint in question defines: those rules are skipped. */
  readonly undefinedPorts: readonly string[];
  /** Peers nobody belongs to. */
  readonly emptyPeers: readonly { readonly rule: RuleId; readonly peer: PeerSelector }[];
  /** Rules that decide nothing on any subject because a stronger one stands above; `by` is one of those. */
  readonly shadowed: readonly { readonly rule: RuleId; readonly by: RuleId }[];
}

/** A policy with more subjects of different rows than this is not searched for shadowed rules. */
const rulesetsMax = 64;
/** Nor are rows beyond these. */
const rowsMax = 20_000;

/** `inUse`: identities some endpoint has; the others are remembered for a while and belong to nobody. */
export function createReport(
  state: CompilerState,
  key: PolicyKey,
  inUse: (id: IdentityId) => boolean = () => true,
): PolicyReport | undefined {
  const policy = state.policies.get(key);
  if (policy === undefined) return undefined;
  const subjects = new Set<IdentityId>();
  const missing = new Set<string>();
  const emptyPeers: { rule: RuleId; peer: PeerSelector }[] = [];
  const shadowed = new Map<RuleId, RuleId>();
  for (const loaded of policy.loaded) {
    const own = subjectsOf(state, loaded);
    for (const id of own) subjects.add(id);
    for (const e of loaded.rule.entries) {
      for (const name of undefinedNames(state, e, own)) missing.add(name);
      for (const peer of e.peers) if (isEmpty(state, e, peer, inUse)) emptyPeers.push({ rule: e.id, peer });
    }
    for (const [rule, by] of shadowedIn(state, loaded, own)) shadowed.set(rule, by);
  }
  return {
    subjects: subjects.size,
    undefinedPorts: [...missing].sort(),
    emptyPeers: dedupe(emptyPeers),
    shadowed: [...shadowed].map(([rule, by]) => ({ rule, by })),
  };
}

/** Identities and nodes a policy selects, enforced or not. */
export function selectedBy(state: CompilerState, key: PolicyKey): ReadonlySet<IdentityId> {
  const loaded = state.policies.get(key)?.loaded ?? [];
  if (loaded.length === 1) return loaded[0]!.group.subjects.members(loaded[0]!.group.text);
  return new Set(loaded.flatMap(({ group }) => [...group.subjects.members(group.text)]));
}

/** Objects with a rule that selects the identity. */
export function policiesOn(state: CompilerState, id: IdentityId): PolicySource[] {
  const sources = new Map<PolicyKey, PolicySource>();
  for (const group of state.groupsOf.get(id)) for (const { source } of group.rules) sources.set(policyKey(source), source);
  return [...sources.values()];
}

const subjectsOf = (state: CompilerState, { group }: Loaded): IdentityId[] =>
  state.config.mode === 'never' ? [] : [...group.subjects.members(group.text)].filter((id) => state.subjects.has(id));

function undefinedNames(state: CompilerState, e: RuleEntry, own: readonly IdentityId[]): string[] {
  return e.ports.flatMap((p) => {
    if (p.kind !== 'named') return [];
    const owners = state.owners.get(p.name);
    const defined = e.direction === 'egress' ? owners.size > 0 : own.some((id) => owners.has(id));
    return defined ? [] : [p.name];
  });
}

function isEmpty(state: CompilerState, e: RuleEntry, peer: PeerSelector, inUse: (id: IdentityId) => boolean = () => true): boolean {
  if (peer.kind !== 'labels' && peer.kind !== 'nodes') return false;
  for (const id of state.selection.members(selectionText(peer, isBlocking(e.action)))) {
    if (peer.kind === 'nodes' || isBuiltIn(id) || inUse(id)) return false;
  }
  return true;
}

/** One written rule may have become several entries with the same peers. */
function dedupe<T extends { readonly rule: RuleId; readonly peer: PeerSelector }>(list: readonly T[]): T[] {
  const seen = new Map(list.map((x) => [`${x.rule} ${peerText(x.peer)}`, x]));
  return [...seen.values()];
}

/** Allows (and passes) that left no row anywhere although somebody is selected, and a deny above them on every subject. */
function shadowedIn(state: CompilerState, { rule }: Loaded, own: readonly IdentityId[]): Map<RuleId, RuleId> {
  const found = new Map<RuleId, RuleId>();
  const weak = rule.entries.filter((e) => !isBlocking(e.action) && e.peers.some((p) => !isEmpty(state, e, p)));
  if (own.length === 0 || weak.length === 0) return found;
  const seats = own.map((id) => layersOf(state.subjects.get(id)!).map(([, layer]) => layer.rows));
  const sets = new Set(seats.flat());
  if (sets.size > rulesetsMax || [...sets].reduce((n, s) => n + s.count, 0) > rowsMax) return found;
  const living = new Set<number>();
  for (const s of sets) for (let at = 16; at < s.packed.length; at += rowSize) living.add(s.packed.readUInt32BE(at));
  for (const e of weak) {
    if (living.has(e.id)) continue;
    const covers = new Map([...sets].map((s) => [s, coverOf(state, e, s)]));
    const above = seats.map((layers) => layers.map((s) => covers.get(s)).find((by) => by !== undefined));
    if (above.every((by) => by !== undefined)) found.set(e.id, above[0]!);
  }
  return found;
}

/** A deny that stands above the entry for one of its peers and one of its ports. */
function coverOf(state: CompilerState, e: RuleEntry, rows: PolicyRows): RuleId | undefined {
  const precedence = precedenceOf(e.action, e.priority);
  const peers = new Set<number>([0]);
  for (const p of e.peers) if (p.kind !== 'any') for (const id of state.selection.members(selectionText(p, false))) peers.add(id);
  for (let i = 0; i < rows.count; i++) {
    const row = unpackRow(rows.packed, i);
    if (row.verdict !== 'deny' || row.direction !== e.direction || row.precedence <= precedence || !peers.has(row.peer)) continue;
    if (e.ports.some((p) => covers(row, p))) return row.ruleId;
  }
  return undefined;
}

function covers(row: PolicyRow, p: PortMatch): boolean {
  if (row.protocol === 0) return true;
  if (p.kind === 'named' || p.protocol !== row.protocol) return false;
  return p.first >= row.prefix.port && p.last <= row.prefix.port + 2 ** (16 - row.prefix.len) - 1;
}
