// From compiles to nodes: feeds the span engine with what changed and gives the hub each node's difference. Called by the loop.
import type { Cidr, IdentityId } from '@axoneme/model';
import { layersOf, mentionedPeers, type PolicyRows, policyArtifactName, type SubjectSet } from '@axoneme/policy';
import { createSpan, hostSubjectArtifact, type SpanDiff, type SpanNode, type SpanSubject, type SpanWorkload } from '@axoneme/span';
import type { Digest, NodeName } from '@axoneme/std';
import type { Hub, Position } from '@axoneme/stream';
import type { Tables } from '../world/world.ts';
import { parseIps } from './addresses.ts';
import { workloadArtifactName } from './blobs.ts';
import type { Compiled, Compiler, WorkloadChanges } from './compiler.ts';
import type { DatapathRollout } from './datapath.ts';
import { createRowCounts, type RowCounts } from './gates/row-counts.ts';

export interface Dispatcher {
  /** Works out what the compile means for every node and tells nobody yet; a later one may take it back. */
  stage(compiled: Compiled): void;
  /** Gives every node what was staged, but for those held back: they keep their last commit. Nodes that are gone are forgotten. */
  publish(at: Position, heldBack: ReadonlySet<string>): void;
  /** Gives one node what changed in its own artifacts since, without a compile. */
  refresh(node: string, at: Position): void;
  /** Rows of what is staged, per table and node. */
  readonly counts: RowCounts;
  /** What a node must hold now. */
  desired(node: string): ReadonlyMap<string, Digest> | undefined;
}

type DispatchRollout = Pick<DatapathRollout, 'own' | 'plan'>;
type DispatchHub = Pick<Hub, 'setDesired' | 'changeDesired' | 'forget' | 'status'>;

/** Entries that differ from the call before, by key, and keys that are gone. */
function createDiff<T>(): (next: ReadonlyMap<string, readonly [mark: unknown, value: T]>) => { put: T[]; removed: string[] } {
  let held: ReadonlyMap<string, readonly [unknown, T]> = new Map();
  return (next) => {
    const put: T[] = [];
    for (const [key, [mark, value]] of next) if (held.get(key)?.[0] !== mark) put.push(value);
    const removed: string[] = [];
    for (const key of held.keys()) if (!next.has(key)) removed.push(key);
    held = next;
    return { put, removed };
  };
}

type NodeText = readonly [text: string, node: SpanNode];

function spanNode(n: Compiled['nodes'][number], compiler: Compiler, rollout: DispatchRollout | undefined): NodeText | undefined {
  const own = compiler.nodeConfig(n.name);
  if (own === undefined) return undefined;
  const config = { name: own.name, digest: own.digest, table: own.body.table };
  const objects = rollout?.own(n.name) ?? { text: '', list: [] };
  const services = compiler.ownServices(n.name);
  const l2 = compiler.l2.own(n.name);
  const probes = compiler.fleets.own(n.name);
  const node = {
    name: n.name as NodeName,
    podCidrs: n.podCidrs,
    own: [config, ...objects.list, ...services.list, ...l2.list, ...probes.list],
  };
  return [`${own.digest} ${n.podCidrs.join()} ${objects.text} ${services.text} ${l2.text} ${probes.text}`, node];
}

function spanNodes(compiled: Compiled, compiler: Compiler, rollout: DispatchRollout | undefined): Map<string, NodeText> {
  const out = new Map<string, NodeText>();
  for (const n of compiled.nodes) {
    const node = spanNode(n, compiler, rollout);
    if (node !== undefined) out.set(n.name, node);
  }
  return out;
}

/** A node is a workload of itself: host rules are about it. */
function hostWorkloads(compiled: Compiled): Map<string, readonly [unknown, SpanWorkload]> {
  const out = new Map<string, readonly [unknown, SpanWorkload]>();
  for (const { name } of compiled.nodes) {
    const id = compiled.hostId(name);
    const w = { key: `host ${name}`, node: name as NodeName, identity: id as IdentityId, addresses: [] };
    if (id !== undefined) out.set(w.key, [id, w]);
  }
  return out;
}

/** Pods and endpoints that changed. An endpoint keeps the policy it was made with until it is gone or renumbered. */
function workloadChanges({ pods, endpoints }: WorkloadChanges, tables: Tables): { put: SpanWorkload[]; removed: string[] } {
  const put: SpanWorkload[] = [];
  const removed: string[] = [];
  for (const [key, p] of pods) {
    if (p === undefined || p.view.row.node === '') {
      removed.push(`pod ${key}`);
      continue;
    }
    const { node, namespace, name } = p.view.row;
    const artifact = workloadArtifactName(namespace, name);
    put.push({ key: `pod ${key}`, node: node as NodeName, identity: p.identity as IdentityId, addresses: p.addresses, artifact });
  }
  for (const key of endpoints) {
    const e = tables.endpoints.get(key);
    if (e === undefined) removed.push(`endpoint ${key}`);
    else
      put.push({ key: `endpoint ${key}`, node: e.node as NodeName, identity: e.identity as IdentityId, addresses: parseIps(e.addresses) });
  }
  return { put, removed };
}

/** Memory of the peers that rows mention: rows are immutable and shared. */
function createPeerMemo(): (rows: PolicyRows) => readonly IdentityId[] {
  const memo = new WeakMap<PolicyRows, readonly IdentityId[]>();
  return (rows) => {
    let peers = memo.get(rows);
    if (peers === undefined) {
      peers = mentionedPeers(rows);
      memo.set(rows, peers);
    }
    return peers;
  };
}

function spanSubject(s: SubjectSet, host: string | undefined, peersOf: (rows: PolicyRows) => readonly IdentityId[]): SpanSubject {
  const rows = layersOf(s).flatMap(([, layer]) => (layer.rows.count === 0 ? [] : [layer.rows]));
  return {
    identity: s.identity,
    policies: rows.map((r) => policyArtifactName(r.handle)),
    peers: rows.flatMap(peersOf),
    ...(host === undefined ? {} : { subject: hostSubjectArtifact(host) }),
  };
}

export function createDispatcher(deps: {
  readonly tables: Tables;
  readonly compiler: Compiler;
  readonly hub: () => DispatchHub;
  readonly rollout?: DispatchRollout;
}): Dispatcher {
  const { tables, compiler, rollout } = deps;
  const span = createSpan();
  const nodeDiff = createDiff<SpanNode>();
  const hostDiff = createDiff<SpanWorkload>();
  const cidrDiff = createDiff<Cidr>();
  const peersOf = createPeerMemo();
  const counts = createRowCounts();
  const known = new Set<string>();
  const nothing = { put: [], removed: [] };
  /** Nodes given to the span past `nodeDiff`. */
  const refreshed = new Set<string>();
  /** Names that may differ from what the hub was told, by node. */
  const pending = new Map<string, Set<string>>();
  let spanned: ReadonlyMap<string, NodeText> = new Map();
  let held: ReadonlySet<string> = new Set();
  let cidrs: Compiled['cidrs'] | undefined;
  let placedNodes: Compiled['nodes'] | undefined;
  let last: Compiled | undefined;

  const update = (compiled: Compiled, nodes: ReadonlyMap<string, readonly [string, SpanNode]>): ReadonlyMap<NodeName, SpanDiff> => {
    const n = nodeDiff(nodes);
    const again = [...refreshed].flatMap((name) => nodes.get(name)?.[1] ?? []);
    refreshed.clear();
    const h = compiled.nodes === placedNodes ? nothing : hostDiff(hostWorkloads(compiled));
    placedNodes = compiled.nodes;
    const w = workloadChanges(compiler.takeWorkloadChanges(), tables);
    const c = compiled.cidrs === cidrs ? nothing : cidrDiff(new Map(compiled.cidrs.map((cidr) => [cidr, [cidr, cidr] as const])));
    cidrs = compiled.cidrs;
    const artifacts = compiler.artifacts.takeChanges();
    counts.takeArtifacts(artifacts.put, artifacts.removed);
    const policy = compiler.takeSubjectChanges();
    const subjects = policy.changed.map((s) => spanSubject(s, compiler.hostOf(s.identity), peersOf));
    return span.update({
      nodes: [...n.put, ...again],
      removedNodes: n.removed as NodeName[],
      workloads: [...h.put, ...w.put],
      removedWorkloads: [...h.removed, ...w.removed],
      subjects,
      removedSubjects: policy.removed,
      cidrs: c.put,
      removedCidrs: c.removed as Cidr[],
      artifacts: artifacts.put.map((a) => ({ name: a.name, digest: a.digest, table: a.body.table })),
      removedArtifacts: artifacts.removed,
    });
  };

  const note = (diffs: ReadonlyMap<NodeName, SpanDiff>): void => {
    for (const [node, diff] of diffs) {
      const names = pending.get(node) ?? new Set<string>();
      pending.set(node, names);
      for (const list of [diff.upserts, diff.removes]) for (const name of list) names.add(name);
      counts.takeNode(node, diff, span.desired(node)!);
    }
  };
  const tell = (node: string, at: Position): void => {
    const desired = span.desired(node as NodeName);
    if (desired === undefined) return;
    const names = pending.get(node);
    pending.delete(node);
    if (!known.has(node)) {
      known.add(node);
      deps.hub().setDesired(node as NodeName, new Map(desired), at);
      return;
    }
    // without changes too: the node is current at this revision
    deps.hub().changeDesired(node as NodeName, new Map([...(names ?? [])].map((name) => [name, desired.get(name) ?? null])), at);
  };

  return {
    counts,
    desired: (node) => span.desired(node as NodeName),
    refresh(node, at) {
      const n = last?.nodes.find((a) => a.name === node);
      const next = n && spanNode(n, compiler, rollout);
      if (next === undefined || !known.has(node)) return;
      refreshed.add(node);
      note(span.update({ nodes: [next[1]] }));
      if (!held.has(node)) tell(node, at);
    },
    stage(compiled) {
      last = compiled;
      rollout?.plan(tables.nodes);
      spanned = spanNodes(compiled, compiler, rollout);
      note(update(compiled, spanned));
    },
    publish(at, heldBack) {
      held = heldBack;
      for (const node of spanned.keys()) if (!heldBack.has(node)) tell(node, at);
      counts.publish(heldBack);
      for (const node of [...counts.nodes()]) if (!spanned.has(node)) counts.forget(node);
      for (const node of known) if (!spanned.has(node)) known.delete(node);
      for (const node of pending.keys()) if (!spanned.has(node)) pending.delete(node);
      for (const link of deps.hub().status()) if (!tables.nodes.has(link.node)) deps.hub().forget(link.node);
    },
  };
}
