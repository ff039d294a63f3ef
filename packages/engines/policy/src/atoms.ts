// Rules that select one subject → atoms: one peer selector with the rows it brings. Shared by both compilers.
import { type NamedPort, portPrefixes, protocolNumbers } from '@axoneme/model';
import { precedenceOf, type RowTemplate, templateKey } from './rows.ts';
import { type Action, type PeerSelector, type PortMatch, peerText, portText, type Rule, type RuleEntry } from './rules.ts';

export interface NamedMatch {
  /** 0 = TCP, UDP and SCTP. */
  readonly protocol: number;
  readonly name: string;
}

export interface Atom {
  readonly peer: PeerSelector;
  /** Names the members: CIDR selectors of denies differ from those of allows where an identity is missing. */
  readonly selection: string;
  readonly templates: readonly RowTemplate[];
  /** Egress port names, resolved for each peer. */
  readonly named: readonly NamedMatch[];
  /** A template without protocol and ports, to be completed for `named`. */
  readonly base: RowTemplate;
}

/** Atoms that have the same members. */
export interface AtomGroup {
  readonly selection: string;
  /** Port names of any peer: the members are whoever defines one of them. */
  readonly names: readonly string[] | undefined;
  readonly atoms: readonly Atom[];
}

/** The rules of one subject, flattened. `anyRows` are the rows of peer 0. */
export interface Prepared {
  /** Atoms of named peers, and those of any peer that carry port names. */
  readonly atoms: readonly Atom[];
  /** The same, together where they have the same members. */
  readonly groups: readonly AtomGroup[];
  readonly anyRows: readonly RowTemplate[];
  /** Of those, what may stand above rows of named peers. */
  readonly anyStrong: StrongRows;
  readonly usesPeerNames: boolean;
}

export interface Isolation {
  readonly ingress: boolean;
  readonly egress: boolean;
}

/** What blocks: a condition that nothing can check yet does too. */
export const isBlocking = (action: Action): boolean => action === 'deny' || action === 'redirect';
const verdictOf = (action: Action): RowTemplate['verdict'] => (action === 'redirect' ? 'deny' : action);

export const selectionText = (peer: PeerSelector, deny: boolean): string =>
  (peer.kind === 'cidr' || peer.kind === 'block') && deny ? `deny ${peerText(peer)}` : peerText(peer);

export function prepare(rules: readonly Rule[], subjectPorts: readonly NamedPort[], isolation: Isolation): Prepared {
  const entries = rules.flatMap((r) => r.entries);
  const plain = plainAllows(entries);
  const atoms: Atom[] = [];
  const anyTemplates: RowTemplate[] = [];
  for (const entry of entries) {
    // Without default deny nothing is blocked, so an L7 rule has nothing to restrict.
    if (entry.condition === 'l7' && !isolation[entry.direction]) continue;
    for (const peer of entry.peers) {
      const ports = entry.condition === 'l7' ? entry.ports.filter((p) => !plain.has(allowText(entry, peer, p))) : entry.ports;
      const atom = createAtom(entry, peer, ports, subjectPorts);
      if (peer.kind === 'any') anyTemplates.push(...atom.templates);
      if (peer.kind === 'any' ? atom.named.length > 0 : atom.templates.length + atom.named.length > 0) {
        atoms.push(peer.kind === 'any' ? { ...atom, templates: [] } : atom);
      }
    }
  }
  const anyRows = mergeTemplates(anyTemplates, nothingStrong);
  return {
    atoms,
    groups: groupAtoms(atoms),
    anyRows,
    anyStrong: strongRows(anyRows),
    usesPeerNames: atoms.some((a) => a.named.length > 0),
  };
}

function groupAtoms(atoms: readonly Atom[]): AtomGroup[] {
  const groups = new Map<string, AtomGroup & { readonly atoms: Atom[] }>();
  for (const a of atoms) {
    const names = a.peer.kind === 'any' ? a.named.map((n) => n.name) : undefined;
    const key = names === undefined ? a.selection : `any ${names.join()}`;
    const known = groups.get(key);
    if (known === undefined) groups.set(key, { selection: a.selection, names, atoms: [a] });
    else known.atoms.push(a);
  }
  return [...groups.values()];
}

/** Same selector with and without L7 rules on the same port and priority: the plain one wins, everything passes. */
function plainAllows(entries: readonly RuleEntry[]): Set<string> {
  const out = new Set<string>();
  if (!entries.some((e) => e.condition === 'l7')) return out;
  for (const e of entries) {
    if (e.action !== 'allow') continue;
    for (const peer of e.peers) for (const p of e.ports) out.add(allowText(e, peer, p));
  }
  return out;
}

const allowText = (e: RuleEntry, peer: PeerSelector, port: PortMatch): string =>
  `${e.direction} ${e.priority} ${portText(port)} ${peerText(peer)}`;

function createAtom(entry: RuleEntry, peer: PeerSelector, ports: readonly PortMatch[], subjectPorts: readonly NamedPort[]): Atom {
  const base: RowTemplate = {
    direction: entry.direction,
    protocol: 0,
    prefix: { port: 0, len: 0 },
    precedence: precedenceOf(entry.action, entry.priority),
    verdict: verdictOf(entry.action),
    proxyPort: 0,
    ruleId: entry.id,
  };
  const templates: RowTemplate[] = [];
  const named: NamedMatch[] = [];
  for (const port of ports) {
    if (port.kind === 'range') templates.push(...rangeTemplates(base, port.protocol, port.first, port.last));
    else if (entry.direction === 'egress' && isByAddress(peer)) templates.push(...unknownName(base, port.protocol));
    else if (entry.direction === 'egress') named.push({ protocol: port.protocol, name: port.name });
    else templates.push(...namedTemplates(base, port, subjectPorts));
  }
  return { peer, selection: selectionText(peer, isBlocking(entry.action)), templates, named, base };
}

/** Rows of such a peer are of a class, and a class cannot know whose port a name is. */
const isByAddress = (peer: PeerSelector): boolean => peer.kind === 'block' || peer.kind === 'nodes';

/** What is open stays as it is, what is closed is closed on every port. */
const unknownName = (base: RowTemplate, protocol: number): RowTemplate[] =>
  base.verdict === 'deny' ? rangeTemplates(base, protocol, 0, 65_535) : [];

function rangeTemplates(base: RowTemplate, protocol: number, first: number, last: number): RowTemplate[] {
  if (protocol === 0) return [{ ...base, protocol: 0 }];
  return portPrefixes(first, last).map((prefix) => ({ ...base, protocol, prefix }));
}

/** Rows of a port name for an endpoint that has these ports; none if it does not define the name. */
export function namedTemplates(base: RowTemplate, match: NamedMatch, ports: readonly NamedPort[]): RowTemplate[] {
  return ports
    .filter((p) => p.name === match.name && (match.protocol === 0 || protocolNumbers[p.protocol] === match.protocol))
    .map((p) => ({ ...base, protocol: protocolNumbers[p.protocol], prefix: { port: p.port, len: 16 } }));
}

/** Merged, pruned and ordered rows of one peer that the given atoms select. */
export function peerTemplates(prepared: Prepared, atoms: readonly Atom[], peerPorts: readonly NamedPort[]): RowTemplate[] {
  const all: RowTemplate[] = [];
  for (const a of atoms) {
    all.push(...a.templates);
    for (const n of a.named) all.push(...namedTemplates(a.base, n, peerPorts));
  }
  return mergeTemplates(all, prepared.anyStrong);
}

/** One row a key: the higher precedence, then the lower rule id. Rows under a wider, stronger one are dropped: they could never decide. */
function mergeTemplates(all: readonly RowTemplate[], above: StrongRows): RowTemplate[] {
  const only = all.length === 1 ? all[0] : undefined;
  // Most peers have one row.
  if (only !== undefined && above.highest <= only.precedence) return [only];
  const byKey = new Map<number, RowTemplate>();
  for (const t of all) {
    const key = templateKey(t.direction, t.protocol, t.prefix);
    const other = byKey.get(key);
    if (other === undefined || t.precedence > other.precedence || (t.precedence === other.precedence && t.ruleId < other.ruleId))
      byKey.set(key, t);
  }
  const own = strongRows(byKey.values());
  const kept = [...byKey].filter(([, t]) => !isCovered(t, own) && !isCovered(t, above));
  return kept.sort((a, b) => a[0] - b[0]).map(([, t]) => t);
}

/** Rows by key, and the highest precedence among them: weaker rows need not be looked for. */
interface StrongRows {
  readonly byKey: ReadonlyMap<number, RowTemplate>;
  readonly highest: number;
}

const nothingStrong: StrongRows = { byKey: new Map(), highest: 0 };

function strongRows(rows: Iterable<RowTemplate>): StrongRows {
  const byKey = new Map<number, RowTemplate>();
  let highest = 0;
  for (const t of rows) {
    byKey.set(templateKey(t.direction, t.protocol, t.prefix), t);
    highest = Math.max(highest, t.precedence);
  }
  return { byKey, highest };
}

function isCovered(t: RowTemplate, by: StrongRows): boolean {
  if (by.highest <= t.precedence) return false;
  const stronger = (d: RowTemplate | undefined): boolean => d !== undefined && d.precedence > t.precedence;
  if (stronger(by.byKey.get(templateKey(t.direction, 0, { port: 0, len: 0 })))) return true;
  for (let len = 0; len <= t.prefix.len; len++) {
    const port = len === 0 ? 0 : t.prefix.port & (0xffff << (16 - len)) & 0xffff;
    if (stronger(by.byKey.get(templateKey(t.direction, t.protocol, { port, len })))) return true;
  }
  return false;
}
