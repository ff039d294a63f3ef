// A set of rules that one or many subjects share, with its rows: built whole, then patched peer by peer. Private to compiler.ts.
import type { IdentityId, NamedPort } from '@axoneme/model';
import { type Atom, type Isolation, type Prepared, peerTemplates, prepare } from './atoms.ts';
import { createPolicyRows, lowerBound, type PolicyRows, packTemplates, rowSize, writePeerRows } from './rows.ts';
import type { Rule } from './rules.ts';
import { portsText, type SubjectDefaults } from './subjects.ts';

/** What a ruleset needs to know of the peers. */
export interface PeerView {
  members(selection: string): ReadonlySet<IdentityId>;
  portsOf(peer: IdentityId): readonly NamedPort[];
  /** Identities that define the port name. */
  ownersOf(name: string): ReadonlySet<IdentityId>;
}

export interface Ruleset {
  readonly key: string;
  readonly rules: readonly Rule[];
  readonly defaults: SubjectDefaults;
  readonly prepared: Prepared;
  /** Selectors whose members matter. */
  readonly selections: ReadonlySet<string>;
  readonly subjects: Set<IdentityId>;
  rows: PolicyRows;
}

export function createRuleset(
  key: string,
  rules: readonly Rule[],
  ports: readonly NamedPort[],
  defaults: SubjectDefaults,
  conditions: Isolation,
  view: PeerView,
): Ruleset {
  const prepared = prepare(rules, ports, conditions);
  const selections = new Set(prepared.atoms.filter((a) => a.peer.kind !== 'any').map((a) => a.selection));
  return { key, rules, defaults, prepared, selections, subjects: new Set(), rows: buildRows(prepared, view) };
}

/** More changed peers than this share of the rows: building anew is cheaper. */
const patchShare = 4;

/** Rows after the membership or ports of `changed` peers may have changed; the same object if nothing did. */
export function patchRows(set: Ruleset, changed: ReadonlySet<IdentityId>, view: PeerView): PolicyRows {
  if (changed.size * patchShare > set.rows.count) return sameOr(set.rows, buildRows(set.prepared, view).packed);
  const old = set.rows.packed;
  const parts: Buffer[] = [];
  let from = 0;
  let differs = false;
  for (const peer of [...changed].sort((a, b) => a - b)) {
    const start = lowerBound(old, peer) * rowSize;
    const end = lowerBound(old, peer + 1) * rowSize;
    const next = peerRows(set.prepared, peer, view);
    if (next.equals(old.subarray(start, end))) continue;
    differs = true;
    parts.push(old.subarray(from, start), next);
    from = end;
  }
  return differs ? createPolicyRows(Buffer.concat([...parts, old.subarray(from)])) : set.rows;
}

const sameOr = (old: PolicyRows, packed: Buffer): PolicyRows => (packed.equals(old.packed) ? old : createPolicyRows(packed));

function peerRows(prepared: Prepared, peer: IdentityId, view: PeerView): Buffer {
  const atoms = prepared.atoms.filter((a) =>
    a.peer.kind === 'any' ? a.named.some((n) => view.ownersOf(n.name).has(peer)) : view.members(a.selection).has(peer),
  );
  const templates = packTemplates(peerTemplates(prepared, atoms, view.portsOf(peer)));
  const out = Buffer.alloc(templates.length);
  writePeerRows(out, 0, peer, templates);
  return out;
}

/** Peers that the same atoms select (and, where port names count, that have the same ports) share one template. */
function buildRows(prepared: Prepared, view: PeerView): PolicyRows {
  const { classOf, atomsOf } = classify(prepared, view);
  const templates = new Map<string, Buffer>();
  const peers = Uint32Array.from(classOf.keys()).sort();
  const parts: { readonly peer: IdentityId; readonly rows: Buffer }[] = [];
  let size = 0;
  for (const n of peers) {
    const peer = n as IdentityId;
    const ports = prepared.usesPeerNames ? view.portsOf(peer) : [];
    const key = prepared.usesPeerNames ? `${classOf.get(peer)} ${portsText(ports)}` : String(classOf.get(peer));
    let rows = templates.get(key);
    if (rows === undefined) {
      rows = packTemplates(peerTemplates(prepared, atomsOf[classOf.get(peer)!]!, ports));
      templates.set(key, rows);
    }
    parts.push({ peer, rows });
    size += rows.length;
  }
  const any = packTemplates(prepared.anyRows);
  const out = Buffer.allocUnsafe(any.length + size);
  let at = any.copy(out);
  for (const p of parts) at = writePeerRows(out, at, p.peer, p.rows);
  return createPolicyRows(out);
}

interface Classes {
  readonly classOf: ReadonlyMap<IdentityId, number>;
  readonly atomsOf: readonly (readonly Atom[])[];
}

/** Walks the atoms once; each step moves its members to the class "where they were, plus this atom". */
function classify(prepared: Prepared, view: PeerView): Classes {
  const classOf = new Map<IdentityId, number>();
  const atomsOf: (readonly Atom[])[] = [[]];
  for (const atom of prepared.atoms) {
    const moved = new Map<number, number>();
    for (const id of membersOf(atom, view)) {
      const from = classOf.get(id) ?? 0;
      let to = moved.get(from);
      if (to === undefined) {
        to = atomsOf.push([...atomsOf[from]!, atom]) - 1;
        moved.set(from, to);
      }
      classOf.set(id, to);
    }
  }
  return { classOf, atomsOf };
}

function membersOf(atom: Atom, view: PeerView): ReadonlySet<IdentityId> {
  if (atom.peer.kind !== 'any') return view.members(atom.selection);
  const owners = new Set<IdentityId>();
  for (const n of atom.named) for (const id of view.ownersOf(n.name)) owners.add(id);
  return owners;
}
