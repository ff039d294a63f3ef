// computeSpan: what every node must hold, straight from one snapshot. The truth that the incremental span is held against.
import { createPrefixTable, type IdentityId } from '@axoneme/model';
import type { Digest, NodeName } from '@axoneme/std';
import type { HeldSet } from './diff.ts';
import type { SpanSnapshot } from './inputs.ts';
import { type ArtifactDescriptor, ipcacheArtifact, isEverywhere } from './names.ts';
import { alwaysLocal, namesFor } from './needs.ts';
import { isShadowed } from './shadow.ts';

export function computeSpan(snapshot: SpanSnapshot): ReadonlyMap<NodeName, HeldSet> {
  const artifacts = new Map<string, ArtifactDescriptor>(snapshot.artifacts.map((a) => [a.name, a]));
  const subjects = new Map(snapshot.subjects.map((s) => [s.identity, s]));
  const nodes = new Map(snapshot.nodes.map((n) => [n.name, n]));
  const cidrs = createPrefixTable<true>();
  for (const c of snapshot.cidrs) cidrs.set(c, true);
  const shared = snapshot.artifacts.map((a) => a.name).filter(isEverywhere);
  for (const w of snapshot.workloads)
    if (w.identity !== 0 && isShadowed(w, nodes.get(w.node), cidrs)) shared.push(ipcacheArtifact(w.identity));
  const out = new Map<NodeName, HeldSet>();
  for (const node of snapshot.nodes) {
    const names = new Set(shared);
    const local = new Set<IdentityId>(alwaysLocal);
    for (const w of snapshot.workloads) {
      if (w.node !== node.name) continue;
      if (w.artifact !== undefined) names.add(w.artifact);
      if (w.identity !== 0) local.add(w.identity);
    }
    for (const id of local) for (const name of namesFor(id, subjects.get(id))) names.add(name);
    const held = new Map<string, Digest>();
    for (const name of [...names].sort()) if (artifacts.has(name)) held.set(name, artifacts.get(name)!.digest);
    for (const own of node.own) held.set(own.name, own.digest);
    out.set(node.name, held);
  }
  return out;
}
