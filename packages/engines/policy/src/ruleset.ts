// A set of rules that one or many subjects share, with its rows: built whole, then patched peer by peer. Private to layers.ts.
import type { IdentityId, NamedPort } from '@axoneme/model';
import { type AtomGroup, type Isolation, type Prepared, peerTemplates, prepare } from './atoms.ts';
import {
  chunkBits,
  chunkOf,
  createPolicyRows,
  lowerBound,
  noRows,
  type PolicyRows,
  packTemplates,
  type RowChunk,
  rowSize,
  rowsOfChunks,
  wholeMax,
  writePeerRows,
} from './rows.ts';
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
  readonly defaults: SubjectDefaults;
  readonly prepared: Prepared;
  /** Selectors whose members matter. */
  readonly selections: ReadonlySet<string>;
  /** Packed rows without peer, by the groups a peer is in. A memory only. */
  readonly templates: Map<string, Buffer>;
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
  const selections = new Set(prepared.groups.filter((g) => g.names === undefined).map((g) => g.selection));
  const templates = new Map<string, Buffer>();
  return { key, defaults, prepared, selections, templates, subjects: new Set(), rows: buildRows({ prepared, templates }, view) };
}

/** More changed peers than this share of the rows: building anew is cheaper. */
const patchShare = 4;

/** Rows after the membership or ports of `changed` peers may have changed; the same object if nothing did. */
export function patchRows(set: Ruleset, changed: ReadonlySet<IdentityId>, view: PeerView): PolicyRows {
  if (changed.size * patchShare > set.rows.count) return sameOr(set.rows, buildRows(set, view));
  const peers = [...changed].sort((a, b) => a - b);
  if (set.rows.count <= wholeMax) {
    const packed = patchPacked(set.rows.packed, peers, set, view);
    return packed === undefined ? set.rows : createPolicyRows(packed);
  }
  return patchChunks(set, peers, view);
}

const sameOr = (old: PolicyRows, next: PolicyRows): PolicyRows => (next.handle === old.handle ? old : next);

function patchChunks(set: Ruleset, peers: readonly IdentityId[], view: PeerView): PolicyRows {
  const chunks = new Map(set.rows.chunks.map((c) => [c.at, c]));
  let differs = false;
  for (let from = 0; from < peers.length; ) {
    const at = peers[from]! >>> chunkBits;
    let to = from + 1;
    while (to < peers.length && peers[to]! >>> chunkBits === at) to++;
    const packed = patchPacked(chunks.get(at)?.packed ?? nothing, peers.slice(from, to), set, view);
    from = to;
    if (packed === undefined) continue;
    differs = true;
    if (packed.length === 0) chunks.delete(at);
    else chunks.set(at, chunkOf(at, packed));
  }
  return differs ? joinChunks([...chunks.values()].sort((a, b) => a.at - b.at)) : set.rows;
}

/** Few rows are kept in one piece. */
function joinChunks(chunks: readonly RowChunk[]): PolicyRows {
  const size = chunks.reduce((sum, c) => sum + c.packed.length, 0);
  return size > wholeMax * rowSize ? rowsOfChunks(chunks) : createPolicyRows(Buffer.concat(chunks.map((c) => c.packed)));
}

/** Undefined if nothing differs. `peers` ascending. */
function patchPacked(old: Buffer, peers: readonly IdentityId[], set: Ruleset, view: PeerView): Buffer | undefined {
  const parts: Buffer[] = [];
  let from = 0;
  let differs = false;
  for (const peer of peers) {
    const start = lowerBound(old, peer) * rowSize;
    const end = lowerBound(old, peer + 1) * rowSize;
    const next = peerRows(set, peer, view);
    if (next.equals(old.subarray(start, end))) continue;
    differs = true;
    parts.push(old.subarray(from, start), next);
    from = end;
  }
  return differs ? Buffer.concat([...parts, old.subarray(from)]) : undefined;
}

const nothing = Buffer.alloc(0);

function peerRows(set: Ruleset, peer: IdentityId, view: PeerView): Buffer {
  const groups: number[] = [];
  set.prepared.groups.forEach((g, i) => {
    if (g.names === undefined ? view.members(g.selection).has(peer) : g.names.some((n) => view.ownersOf(n).has(peer))) groups.push(i);
  });
  if (groups.length === 0) return nothing;
  const templates = classTemplates(set, groups, peer, view);
  const out = Buffer.allocUnsafe(templates.length);
  writePeerRows(out, 0, peer, templates);
  return out;
}

/** Peers in the same groups (and, where port names count, with the same ports) share one set of rows. */
function classTemplates(set: Pick<Ruleset, 'prepared' | 'templates'>, groups: readonly number[], peer: IdentityId, view: PeerView): Buffer {
  const { prepared, templates } = set;
  const ports = prepared.usesPeerNames ? view.portsOf(peer) : [];
  const key = prepared.usesPeerNames ? `${groups.join()} ${portsText(ports)}` : groups.join();
  let packed = templates.get(key);
  if (packed === undefined) {
    const atoms = groups.flatMap((g) => prepared.groups[g]!.atoms);
    packed = packTemplates(peerTemplates(prepared, atoms, ports));
    if (templates.size >= templatesMax) templates.clear();
    templates.set(key, packed);
  }
  return packed;
}

const templatesMax = 64;

function buildRows(set: Pick<Ruleset, 'prepared' | 'templates'>, view: PeerView): PolicyRows {
  const { classOf, groupsOf } = classify(set.prepared, view);
  const peers = Uint32Array.from(classOf.keys()).sort();
  const any = packTemplates(set.prepared.anyRows);
  const parts: { readonly peer: IdentityId; readonly rows: Buffer }[] = [];
  let size = any.length;
  for (const n of peers) {
    const peer = n as IdentityId;
    const rows = classTemplates(set, groupsOf[classOf.get(peer)!]!, peer, view);
    parts.push({ peer, rows });
    size += rows.length;
  }
  if (size === 0) return noRows;
  const out = Buffer.allocUnsafe(size);
  let at = any.copy(out);
  for (const p of parts) at = writePeerRows(out, at, p.peer, p.rows);
  return createPolicyRows(out);
}

interface Classes {
  readonly classOf: ReadonlyMap<IdentityId, number>;
  readonly groupsOf: readonly (readonly number[])[];
}

/** Walks the groups once; each step moves its members to the class "where they were, plus this group". */
function classify(prepared: Prepared, view: PeerView): Classes {
  const classOf = new Map<IdentityId, number>();
  const groupsOf: (readonly number[])[] = [[]];
  prepared.groups.forEach((group, n) => {
    const moved = new Map<number, number>();
    for (const id of membersOf(group, view)) {
      const from = classOf.get(id) ?? 0;
      let to = moved.get(from);
      if (to === undefined) {
        to = groupsOf.push([...groupsOf[from]!, n]) - 1;
        moved.set(from, to);
      }
      classOf.set(id, to);
    }
  });
  return { classOf, groupsOf };
}

function membersOf(group: AtomGroup, view: PeerView): ReadonlySet<IdentityId> {
  if (group.names === undefined) return view.members(group.selection);
  const owners = new Set<IdentityId>();
  for (const n of group.names) for (const id of view.ownersOf(n)) owners.add(id);
  return owners;
}
