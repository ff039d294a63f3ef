// Which identities each selector in use matches, kept current. Private mutable index of the incremental compiler.
import { type Cidr, createPrefixTable, type IdentityId, type Labels, matchesSelector, type PrefixTable } from '@axoneme/model';
import { type CidrIndex, createCidrIndex } from './cidr-index.ts';
import {
  type CidrIdentity,
  type CidrSelector,
  cidrLabels,
  missingPrefixes,
  prefixesOf,
  selectsCidr,
  standIn,
  worldMembers,
} from './cidrs.ts';
import { type ClassIndex, createClassIndex } from './class-index.ts';
import { type AddressClass, blockPrefixes, selectsBlock } from './classes.ts';
import { createMultiMap, leastCrowded, type MultiMap, placesOf, waysTo } from './label-index.ts';
import type { PeerSelector } from './rules.ts';

export interface Selection {
  putIdentity(id: IdentityId, labels: Labels): void;
  dropIdentity(id: IdentityId): void;
  putCidr(identity: CidrIdentity): void;
  dropCidr(id: IdentityId): void;
  putClass(cls: AddressClass): void;
  dropClass(id: IdentityId): void;
  /** Counted; the first call finds the members. Never asked for `any`. */
  acquire(text: string, peer: PeerSelector, deny: boolean): void;
  release(text: string): void;
  members(text: string): ReadonlySet<IdentityId>;
  /** Identities that entered or left since the last call, by selector; a selector just acquired is not in it. */
  takeChanges(): ReadonlyMap<string, ReadonlySet<IdentityId>>;
}

/** One selector in use. */
interface Selected {
  readonly text: string;
  readonly peer: PeerSelector;
  readonly deny: boolean;
  /** Where identities that may match find it. */
  readonly places: readonly string[];
  readonly members: Set<IdentityId>;
  uses: number;
}

interface Index {
  readonly selectors: Map<string, Selected>;
  readonly labelsOf: Map<IdentityId, Labels>;
  readonly identitiesAt: MultiMap<string, IdentityId>;
  readonly selectorsAt: MultiMap<string, Selected>;
  readonly cidrs: CidrIndex;
  readonly classes: ClassIndex;
  /** CIDR selectors by each prefix they mention. */
  readonly byPrefix: PrefixTable<Set<Selected>>;
  /** Block selectors by each prefix they mention. */
  readonly byBlock: PrefixTable<Set<Selected>>;
  /** Selectors that mention a prefix without identity or class. */
  readonly incomplete: Set<Selected>;
  changes: Map<string, Set<IdentityId>>;
}

const nobody: ReadonlySet<IdentityId> = new Set();

export function createSelection(): Selection {
  const index: Index = {
    selectors: new Map(),
    labelsOf: new Map(),
    identitiesAt: createMultiMap(),
    selectorsAt: createMultiMap(),
    cidrs: createCidrIndex(),
    classes: createClassIndex(),
    byPrefix: createPrefixTable(),
    byBlock: createPrefixTable(),
    incomplete: new Set(),
    changes: new Map(),
  };
  return {
    putIdentity: (id, labels) => putLabels(index, id, labels),
    dropIdentity: (id) => dropLabels(index, id),
    putCidr: (identity) => putCidr(index, identity),
    dropCidr: (id) => dropCidr(index, id),
    putClass: (cls) => putClass(index, cls),
    dropClass: (id) => dropClass(index, id),
    acquire: (text, peer, deny) => acquire(index, text, peer, deny),
    release: (text) => release(index, text),
    members: (text) => index.selectors.get(text)?.members ?? nobody,
    takeChanges() {
      const taken = index.changes;
      index.changes = new Map();
      return taken;
    },
  };
}

function toggle(index: Index, s: Selected, id: IdentityId, member: boolean): void {
  if (s.members.has(id) === member) return;
  if (member) s.members.add(id);
  else s.members.delete(id);
  const ids = index.changes.get(s.text);
  if (ids === undefined) index.changes.set(s.text, new Set([id]));
  else ids.add(id);
}

const matches = (s: Selected, labels: Labels): boolean => s.peer.kind === 'labels' && matchesSelector(s.peer.selector, labels);

function candidates(index: Index, labels: Labels): Set<Selected> {
  const out = new Set<Selected>();
  for (const place of placesOf(labels)) for (const s of index.selectorsAt.get(place)) out.add(s);
  return out;
}

function putLabels(index: Index, id: IdentityId, labels: Labels): void {
  const old = index.labelsOf.get(id);
  if (old?.text === labels.text) return;
  if (old !== undefined) dropLabels(index, id, labels);
  index.labelsOf.set(id, labels);
  for (const place of placesOf(labels)) index.identitiesAt.add(place, id);
  for (const s of candidates(index, labels)) if (matches(s, labels)) toggle(index, s, id, true);
}

/** `next`: labels that replace the old ones; selectors that match both are left alone. */
function dropLabels(index: Index, id: IdentityId, next?: Labels): void {
  const old = index.labelsOf.get(id);
  if (old === undefined) return;
  index.labelsOf.delete(id);
  for (const place of placesOf(old)) index.identitiesAt.delete(place, id);
  for (const s of candidates(index, old)) if (next === undefined || !matches(s, next)) toggle(index, s, id, false);
}

function putCidr(index: Index, identity: CidrIdentity): void {
  const known = index.cidrs.get(identity.id);
  if (known === identity.cidr) return;
  if (known !== undefined) dropCidr(index, identity.id);
  index.cidrs.put(identity);
  putLabels(index, identity.id, cidrLabels(identity.cidr));
  noteCidr(index, identity, true);
}

function dropCidr(index: Index, id: IdentityId): void {
  const cidr = index.cidrs.get(id);
  if (cidr === undefined) return;
  index.cidrs.drop(id);
  dropLabels(index, id);
  noteCidr(index, { id, cidr }, false);
}

/** Only selectors with a prefix around the changed one can have it as a member. */
function noteCidr(index: Index, { id, cidr }: CidrIdentity, present: boolean): void {
  for (const { value } of index.byPrefix.covering(cidr)) {
    for (const s of value) {
      if (s.peer.kind !== 'cidr' || index.incomplete.has(s)) continue;
      if (prefixesOf(s.peer).includes(cidr)) refresh(index, s);
      else toggle(index, s, id, present && selectsCidr(s.peer, cidr));
    }
  }
  for (const s of index.incomplete) if (s.peer.kind === 'cidr') refresh(index, s);
}

function putClass(index: Index, cls: AddressClass): void {
  const known = index.classes.get(cls.id);
  if (known !== undefined && known.block === cls.block && known.nodes.join('\n') === cls.nodes.join('\n')) return;
  if (known !== undefined) dropClass(index, cls.id);
  index.classes.put(cls);
  noteClass(index, cls, true);
}

function dropClass(index: Index, id: IdentityId): void {
  const cls = index.classes.get(id);
  if (cls === undefined) return;
  index.classes.drop(id);
  noteClass(index, cls, false);
}

function noteClass(index: Index, cls: AddressClass, present: boolean): void {
  for (const text of cls.nodes) {
    const s = index.selectors.get(nodesText(text));
    if (s !== undefined) toggle(index, s, cls.id, present);
  }
  if (cls.block === undefined) return;
  for (const { value } of index.byBlock.covering(cls.block)) {
    for (const s of value) {
      if (s.peer.kind !== 'block' || index.incomplete.has(s)) continue;
      if (blockPrefixes(s.peer).includes(cls.block)) refresh(index, s);
      else toggle(index, s, cls.id, present && selectsBlock(s.peer, cls.block));
    }
  }
  for (const s of index.incomplete) if (s.peer.kind === 'block') refresh(index, s);
}

const nodesText = (text: string): string => `nodes ${text}`;

/** Members of a selector of addresses or nodes, from scratch. */
function resolve(index: Index, s: Selected): ReadonlySet<IdentityId> {
  switch (s.peer.kind) {
    case 'cidr':
      return resolveCidr(index, s, s.peer);
    case 'block': {
      const { members, complete } = index.classes.resolve(s.peer, s.deny);
      if (complete) index.incomplete.delete(s);
      else index.incomplete.add(s);
      return members;
    }
    case 'nodes':
      return index.classes.withNodes(s.peer.selector.text);
    default:
      return nobody;
  }
}

function refresh(index: Index, s: Selected): void {
  const next = resolve(index, s);
  for (const id of s.members) if (!next.has(id)) toggle(index, s, id, false);
  for (const id of next) toggle(index, s, id, true);
}

/** Members from scratch. Where an identity is missing, an allow has none and a deny also what the addresses look like instead. */
function resolveCidr(index: Index, s: Selected, selector: CidrSelector): Set<IdentityId> {
  const missing = missingPrefixes(selector, index.cidrs.table);
  if (missing.length > 0) index.incomplete.add(s);
  else index.incomplete.delete(s);
  if (missing.length > 0 && !s.deny) return new Set();
  const out = new Set<IdentityId>(worldMembers(selector));
  if (missing.includes(selector.cidr)) out.add(standIn(selector.cidr, index.cidrs.table));
  for (const c of index.cidrs.inside(selector.cidr)) if (selectsCidr(selector, c.cidr)) out.add(c.id);
  return out;
}

function acquire(index: Index, text: string, peer: PeerSelector, deny: boolean): void {
  const known = index.selectors.get(text);
  if (known !== undefined) {
    known.uses++;
    return;
  }
  const ways = peer.kind === 'labels' ? waysTo(peer.selector) : [];
  const s: Selected = {
    text,
    peer,
    deny,
    places: ways.length === 0 ? [] : leastCrowded(ways, index.selectorsAt),
    members: new Set(),
    uses: 1,
  };
  index.selectors.set(text, s);
  for (const place of s.places) index.selectorsAt.add(place, s);
  if (ways.length > 0) {
    for (const place of leastCrowded(ways, index.identitiesAt)) {
      for (const id of index.identitiesAt.get(place)) if (matches(s, index.labelsOf.get(id)!)) s.members.add(id);
    }
  }
  for (const [table, prefixes] of places(index, peer)) {
    for (const c of prefixes) {
      const at = table.get(c);
      if (at === undefined) table.set(c, new Set([s]));
      else at.add(s);
    }
  }
  if (peer.kind !== 'labels') for (const id of resolve(index, s)) s.members.add(id);
}

function release(index: Index, text: string): void {
  const s = index.selectors.get(text);
  if (s === undefined || --s.uses > 0) return;
  index.selectors.delete(text);
  index.changes.delete(text);
  index.incomplete.delete(s);
  for (const place of s.places) index.selectorsAt.delete(place, s);
  for (const [table, prefixes] of places(index, s.peer)) {
    for (const c of prefixes) {
      const at = table.get(c);
      at?.delete(s);
      if (at?.size === 0) table.delete(c);
    }
  }
}

/** Where a selector of addresses is found by its prefixes. */
function places(index: Index, peer: PeerSelector): readonly (readonly [PrefixTable<Set<Selected>>, readonly Cidr[]])[] {
  if (peer.kind === 'cidr') return [[index.byPrefix, [peer.cidr, ...peer.except]]];
  return peer.kind === 'block' ? [[index.byBlock, blockPrefixes(peer)]] : [];
}
