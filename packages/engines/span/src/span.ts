// createSpan: the incremental twin of computeSpan. A change costs what it reaches: the nodes that hold the artifact, not all nodes.
import { type Cidr, createPrefixTable, type IdentityId, type PrefixTable } from '@axoneme/model';
import type { Digest, NodeName } from '@axoneme/std';
import type { HeldSet, SpanDiff } from './diff.ts';
import type { SpanNode, SpanSubject, SpanWorkload } from './inputs.ts';
import { type ArtifactDescriptor, ipcacheArtifact, isEverywhere } from './names.ts';
import { alwaysLocal, namesFor } from './needs.ts';
import { isShadowed, isStray, touchesPods } from './shadow.ts';
import { createWants, type Wants } from './wants.ts';

/** An object that is both put and removed is put. */
export interface SpanChanges {
  readonly nodes?: readonly SpanNode[] | undefined;
  readonly removedNodes?: readonly NodeName[] | undefined;
  readonly workloads?: readonly SpanWorkload[] | undefined;
  readonly removedWorkloads?: readonly string[] | undefined;
  readonly subjects?: readonly SpanSubject[] | undefined;
  readonly removedSubjects?: readonly IdentityId[] | undefined;
  readonly cidrs?: readonly Cidr[] | undefined;
  readonly removedCidrs?: readonly Cidr[] | undefined;
  readonly artifacts?: readonly ArtifactDescriptor[] | undefined;
  readonly removedArtifacts?: readonly string[] | undefined;
}

export interface Span {
  /** Nodes whose desired set changed, and how. A new node has everything as upserts; a removed node is not listed. */
  update(changes: SpanChanges): ReadonlyMap<NodeName, SpanDiff>;
  desired(node: NodeName): HeldSet | undefined;
  /** Nodes that hold the artifact now. */
  nodesOf(name: string): ReadonlySet<NodeName>;
}

interface State {
  readonly nodes: Map<NodeName, SpanNode>;
  readonly workloads: Map<string, SpanWorkload>;
  readonly subjects: Map<IdentityId, SpanSubject>;
  readonly artifacts: Map<string, ArtifactDescriptor>;
  readonly cidrs: PrefixTable<true>;
  /** Reasons by node. Kept for nodes that do not exist too: their workloads may be known before they are. */
  readonly wants: Wants;
  /** How many workloads of a node have an identity, for both ways of asking. */
  readonly local: Map<NodeName, Map<IdentityId, number>>;
  readonly nodesWith: Map<IdentityId, Set<NodeName>>;
  /** Shadowed workloads by key, with the identity whose row they need everywhere. */
  readonly shadowed: Map<string, IdentityId>;
  /** Workloads with an address outside their node's blocks. */
  readonly strays: Map<string, SpanWorkload>;
  readonly everywhere: Map<string, number>;
  readonly desired: Map<NodeName, Map<string, Digest>>;
  dirty: Map<NodeName, Set<string>>;
  readonly dirtyEverywhere: Set<string>;
}

export function createSpan(): Span {
  const state = createState();
  return {
    update(changes) {
      takeInputs(state, changes);
      return publish(state);
    },
    desired: (node) => state.desired.get(node),
    nodesOf: (name) =>
      new Set(
        [...(state.everywhere.has(name) ? state.desired.keys() : state.wants.nodesOf(name))].filter(
          (n) => state.desired.get(n)?.has(name) === true,
        ),
      ),
  };
}

function createState(): State {
  const mark = (node: NodeName, name: string): void => markDirty(state, node, name);
  const state: State = {
    nodes: new Map(),
    workloads: new Map(),
    subjects: new Map(),
    artifacts: new Map(),
    cidrs: createPrefixTable(),
    wants: createWants(mark),
    local: new Map(),
    nodesWith: new Map(),
    shadowed: new Map(),
    strays: new Map(),
    everywhere: new Map(),
    desired: new Map(),
    dirty: new Map(),
    dirtyEverywhere: new Set(),
  };
  return state;
}

function markDirty(state: State, node: NodeName, name: string): void {
  const names = state.dirty.get(node);
  if (names === undefined) state.dirty.set(node, new Set([name]));
  else names.add(name);
}

function takeInputs(state: State, c: SpanChanges): void {
  const putNodes = new Set(c.nodes?.map((n) => n.name));
  const putWorkloads = new Set(c.workloads?.map((w) => w.key));
  const putSubjects = new Set(c.subjects?.map((s) => s.identity));
  const putArtifacts = new Set(c.artifacts?.map((a) => a.name));
  const putCidrs = new Set(c.cidrs);
  const blocksBefore = new Map(c.nodes?.map((n) => [n.name, state.nodes.get(n.name)?.podCidrs.join()]));
  for (const name of c.removedArtifacts ?? []) if (!putArtifacts.has(name)) dropArtifact(state, name);
  for (const a of c.artifacts ?? []) putArtifact(state, a);
  for (const id of c.removedSubjects ?? []) if (!putSubjects.has(id)) setSubject(state, id, undefined);
  for (const s of c.subjects ?? []) setSubject(state, s.identity, s);
  for (const name of c.removedNodes ?? []) if (!putNodes.has(name)) dropNode(state, name);
  for (const n of c.nodes ?? []) putNode(state, n);
  for (const key of c.removedWorkloads ?? []) if (!putWorkloads.has(key)) setWorkload(state, key, undefined);
  for (const w of c.workloads ?? []) setWorkload(state, w.key, w);
  const moved = new Set(c.nodes?.filter((n) => n.podCidrs.join() !== blocksBefore.get(n.name)).map((n) => n.name));
  const hiding = changeCidrs(state, c, putCidrs);
  if (hiding || moved.size > 0) for (const w of state.workloads.values()) if (hiding || moved.has(w.node)) setShadow(state, w.key, w);
}

/** True if a prefix that came or went has addresses of the cluster in it. */
function changeCidrs(state: State, c: SpanChanges, put: ReadonlySet<Cidr>): boolean {
  let hiding = false;
  const note = (cidr: Cidr): void => {
    hiding ||= touchesPods(cidr, state.strays.values(), state.nodes.values());
  };
  for (const cidr of c.removedCidrs ?? []) if (!put.has(cidr) && state.cidrs.delete(cidr)) note(cidr);
  for (const cidr of put) {
    if (state.cidrs.get(cidr) === true) continue;
    state.cidrs.set(cidr, true);
    note(cidr);
  }
  return hiding;
}

function putArtifact(state: State, a: ArtifactDescriptor): void {
  const old = state.artifacts.get(a.name);
  state.artifacts.set(a.name, a);
  if (old === undefined && isEverywhere(a.name)) countEverywhere(state, a.name, 1);
  else if (old?.digest !== a.digest) noteArtifact(state, a.name);
}

function dropArtifact(state: State, name: string): void {
  if (!state.artifacts.delete(name)) return;
  if (isEverywhere(name)) countEverywhere(state, name, -1);
  else noteArtifact(state, name);
}

function noteArtifact(state: State, name: string): void {
  if (state.everywhere.has(name)) state.dirtyEverywhere.add(name);
  for (const node of state.wants.nodesOf(name)) markDirty(state, node, name);
}

function countEverywhere(state: State, name: string, delta: 1 | -1): void {
  const count = (state.everywhere.get(name) ?? 0) + delta;
  if (count > 0) state.everywhere.set(name, count);
  else state.everywhere.delete(name);
  state.dirtyEverywhere.add(name);
}

function setSubject(state: State, id: IdentityId, next: SpanSubject | undefined): void {
  const old = state.subjects.get(id);
  if (next === undefined) state.subjects.delete(id);
  else state.subjects.set(id, next);
  const nodes = state.nodesWith.get(id);
  if (nodes === undefined) return;
  const before = namesFor(id, old);
  const after = namesFor(id, next);
  const added = [...after].filter((n) => !before.has(n));
  const removed = [...before].filter((n) => !after.has(n));
  for (const node of nodes) {
    for (const name of added) state.wants.count(node, name, 1);
    for (const name of removed) state.wants.count(node, name, -1);
  }
}

function countLocal(state: State, node: NodeName, id: IdentityId, delta: 1 | -1): void {
  const own = state.local.get(node) ?? new Map<IdentityId, number>();
  const before = own.get(id) ?? 0;
  const after = before + delta;
  if (after > 0) state.local.set(node, own.set(id, after));
  else own.delete(id);
  if (own.size === 0) state.local.delete(node);
  if (before > 0 === after > 0) return;
  const nodes = state.nodesWith.get(id) ?? new Set<NodeName>();
  if (after > 0) state.nodesWith.set(id, nodes.add(node));
  else if (nodes.delete(node) && nodes.size === 0) state.nodesWith.delete(id);
  for (const name of namesFor(id, state.subjects.get(id))) state.wants.count(node, name, delta);
}

function putNode(state: State, node: SpanNode): void {
  const old = state.nodes.get(node.name);
  state.nodes.set(node.name, node);
  for (const a of [...(old?.own ?? []), ...node.own]) markDirty(state, node.name, a.name);
  if (old !== undefined) return;
  for (const id of alwaysLocal) countLocal(state, node.name, id, 1);
  state.desired.set(node.name, new Map());
  for (const name of state.wants.namesOf(node.name)) markDirty(state, node.name, name);
  for (const name of state.everywhere.keys()) markDirty(state, node.name, name);
}

function dropNode(state: State, name: NodeName): void {
  if (!state.nodes.delete(name)) return;
  for (const id of alwaysLocal) countLocal(state, name, id, -1);
  state.desired.delete(name);
  for (const w of state.workloads.values()) if (w.node === name) setShadow(state, w.key, w);
}

function setWorkload(state: State, key: string, next: SpanWorkload | undefined): void {
  const old = state.workloads.get(key);
  // The new reasons first, so that what both need is not taken away in between.
  if (next !== undefined) {
    state.workloads.set(key, next);
    if (next.identity !== 0) countLocal(state, next.node, next.identity, 1);
    if (next.artifact !== undefined) state.wants.count(next.node, next.artifact, 1);
  } else state.workloads.delete(key);
  if (old !== undefined && old.identity !== 0) countLocal(state, old.node, old.identity, -1);
  if (old?.artifact !== undefined) state.wants.count(old.node, old.artifact, -1);
  setShadow(state, key, next);
}

function setShadow(state: State, key: string, w: SpanWorkload | undefined): void {
  const old = state.shadowed.get(key);
  if (w !== undefined && isStray(w, state.nodes.get(w.node))) state.strays.set(key, w);
  else state.strays.delete(key);
  const next =
    w !== undefined && w.identity !== 0 && state.cidrs.size > 0 && isShadowed(w, state.nodes.get(w.node), state.cidrs)
      ? w.identity
      : undefined;
  if (old === next) return;
  if (next === undefined) state.shadowed.delete(key);
  else state.shadowed.set(key, next);
  if (next !== undefined) countEverywhere(state, ipcacheArtifact(next), 1);
  if (old !== undefined) countEverywhere(state, ipcacheArtifact(old), -1);
}

/** Compares every dirty name with what was published before. */
function publish(state: State): ReadonlyMap<NodeName, SpanDiff> {
  if (state.dirtyEverywhere.size > 0)
    for (const node of state.nodes.keys()) for (const name of state.dirtyEverywhere) markDirty(state, node, name);
  state.dirtyEverywhere.clear();
  const out = new Map<NodeName, SpanDiff>();
  const dirty = state.dirty;
  state.dirty = new Map();
  for (const [node, names] of dirty) {
    const desired = state.desired.get(node);
    if (desired === undefined) continue;
    const upserts: string[] = [];
    const removes: string[] = [];
    for (const name of names) {
      const digest = wantedDigest(state, node, name);
      const old = desired.get(name);
      if (old === digest) continue;
      if (digest === undefined) {
        desired.delete(name);
        removes.push(name);
      } else {
        desired.set(name, digest);
        upserts.push(name);
      }
    }
    if (upserts.length + removes.length > 0) out.set(node, { upserts: upserts.sort(), removes: removes.sort() });
  }
  return out;
}

const ownNames = new WeakMap<SpanNode, ReadonlyMap<string, Digest>>();

/** A node may have thousands: looked up by name. */
function ownOf(node: SpanNode | undefined): ReadonlyMap<string, Digest> | undefined {
  if (node === undefined) return undefined;
  const names = ownNames.get(node) ?? new Map(node.own.map((a) => [a.name, a.digest]));
  ownNames.set(node, names);
  return names;
}

function wantedDigest(state: State, node: NodeName, name: string): Digest | undefined {
  const own = ownOf(state.nodes.get(node))?.get(name);
  if (own !== undefined) return own;
  return state.everywhere.has(name) || state.wants.has(node, name) ? state.artifacts.get(name)?.digest : undefined;
}
