// Rules that select one subject → atoms: one peer selector with the rows it brings. Shared by both compilers.
import { type NamedPort, portPrefixes, protocolNumbers } from '@axoneme/model';
import { precedenceOf, precedences, type RowTemplate, templateKey } from './rows.ts';
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

/** The rules of one subject, flattened. `anyRows` are the rows of peer 0. */
export interface Prepared {
  /** Atoms of named peers, and those of any peer that carry port names. */
  readonly atoms: readonly Atom[];
  readonly anyRows: readonly RowTemplate[];
  readonly anyDenies: ReadonlyMap<number, RowTemplate>;
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
  peer.kind === 'cidr' && deny ? `deny ${peerText(peer)}` : peerText(peer);

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
  const anyRows = mergeTemplates(anyTemplates, new Map());
  return { atoms, anyRows, anyDenies: deniesOf(anyRows), usesPeerNames: atoms.some((a) => a.named.length > 0) };
}

/** Same selector with and without L7 rules on the same port: the plain one wins, everything passes. */
function plainAllows(entries: readonly RuleEntry[]): Set<string> {
  const out = new Set<string>();
  for (const e of entries) {
    if (e.action !== 'allow') continue;
    for (const peer of e.peers) for (const p of e.ports) out.add(allowText(e, peer, p));
  }
  return out;
}

const allowText = (e: RuleEntry, peer: PeerSelector, port: PortMatch): string => `${e.direction} ${portText(port)} ${peerText(peer)}`;

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
    else if (entry.direction === 'egress') named.push({ protocol: port.protocol, name: port.name });
    else templates.push(...namedTemplates(base, port, subjectPorts));
  }
  return { peer, selection: selectionText(peer, isBlocking(entry.action)), templates, named, base };
}

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
  return mergeTemplates(all, prepared.anyDenies);
}

/** One row a key: the higher precedence, then the lower rule id. Rows under a stronger deny are dropped: they could never decide. */
function mergeTemplates(all: readonly RowTemplate[], anyDenies: ReadonlyMap<number, RowTemplate>): RowTemplate[] {
  const byKey = new Map<number, RowTemplate>();
  for (const t of all) {
    const key = templateKey(t.direction, t.protocol, t.prefix);
    const other = byKey.get(key);
    if (other === undefined || t.precedence > other.precedence || (t.precedence === other.precedence && t.ruleId < other.ruleId))
      byKey.set(key, t);
  }
  const denies = deniesOf(byKey.values());
  const kept =
    denies.size + anyDenies.size === 0 ? [...byKey] : [...byKey].filter(([, t]) => !isShadowed(t, denies) && !isShadowed(t, anyDenies));
  return kept.sort((a, b) => a[0] - b[0]).map(([, t]) => t);
}

function deniesOf(rows: Iterable<RowTemplate>): Map<number, RowTemplate> {
  const out = new Map<number, RowTemplate>();
  for (const t of rows) if ((t.precedence & 0xff) === precedences.deny) out.set(templateKey(t.direction, t.protocol, t.prefix), t);
  return out;
}

function isShadowed(t: RowTemplate, denies: ReadonlyMap<number, RowTemplate>): boolean {
  if (denies.size === 0) return false;
  const stronger = (d: RowTemplate | undefined): boolean => d !== undefined && d.precedence > t.precedence;
  if (stronger(denies.get(templateKey(t.direction, 0, { port: 0, len: 0 })))) return true;
  for (let len = 0; len <= t.prefix.len; len++) {
    const port = len === 0 ? 0 : t.prefix.port & (0xffff << (16 - len)) & 0xffff;
    if (stronger(denies.get(templateKey(t.direction, t.protocol, { port, len })))) return true;
  }
  return false;
}
