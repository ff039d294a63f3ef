// Lints that need to know who is there. Silent about what the input does not hold at all: no workloads, no word about workloads.
import { createLabels, type Labels, matchesSelector, reservedIdentities } from '@axoneme/model';
import { peerWords, type Rule, type RuleEntry } from '@axoneme/policy';
import type { ManifestWorld, Workload } from './world.ts';

export interface WorldLint {
  readonly rule: 'selects-nobody' | 'peer-selects-nobody' | 'unknown-port-name' | 'never-decides';
  readonly path: string;
  readonly message: string;
}

/** Labels of a node as host policies and node peers see them. */
export const nodeLabels = (labels: Readonly<Record<string, string>>): Labels =>
  createLabels(Object.entries(labels).map(([key, value]) => ({ source: 'k8s', key, value })));

const specials: readonly Labels[] = reservedIdentities.map((r) => r.labels);

export function worldLints(rule: Rule, world: ManifestWorld): WorldLint[] {
  const pods = world.workloads.filter((w) => !w.hostNetwork);
  const out: WorldLint[] = [];
  if (rule.subjectKind === 'nodes') {
    if (world.nodes.length > 0 && !world.nodes.some((n) => matchesSelector(rule.subject, nodeLabels(n.labels))))
      out.push({ rule: 'selects-nobody', path: pathOfSpec(rule), message: 'selects none of the nodes in the input' });
  } else if (pods.length > 0) {
    const subjects = pods.filter((w) => matchesSelector(rule.subject, w.labels));
    if (subjects.length === 0 && !specials.some((l) => matchesSelector(rule.subject, l)))
      out.push({ rule: 'selects-nobody', path: pathOfSpec(rule), message: 'selects none of the workloads in the input' });
    for (const e of rule.entries) out.push(...entryLints(rule, e, subjects, pods));
  }
  return out;
}

function entryLints(rule: Rule, e: RuleEntry, subjects: readonly Workload[], pods: readonly Workload[]): WorldLint[] {
  const path = pathOfEntry(rule, e);
  const out: WorldLint[] = [];
  const everyone = [...pods.map((w) => w.labels), ...specials];
  for (const p of e.peers) {
    if (p.kind === 'labels' && !everyone.some((l) => matchesSelector(p.selector, l)))
      out.push({ rule: 'peer-selects-nobody', path, message: `the peer (${peerWords(p)}) is none of the workloads in the input` });
  }
  // A name belongs to who receives: the subject for ingress, the peer for egress.
  const owners = e.direction === 'ingress' ? subjects : pods;
  for (const name of new Set(e.ports.flatMap((p) => (p.kind === 'named' ? [p.name] : [])))) {
    if (owners.length > 0 && !owners.some((w) => w.namedPorts.some((n) => n.name === name)))
      out.push({ rule: 'unknown-port-name', path, message: `no container in question has a port named "${name}"` });
  }
  return out;
}

/** `specs[1].` of its origins, as a path. */
function pathOfSpec(rule: Rule): string {
  const prefix = /^(specs\[\d+\])\./.exec(rule.origins[0]?.list ?? '');
  return prefix?.[1] ?? 'spec';
}

export function pathOfEntry(rule: Rule, e: Pick<RuleEntry, 'id'>): string {
  const origin = rule.origins.find((o) => o.id === e.id);
  if (origin?.index === undefined) return pathOfSpec(rule);
  return `${origin.list.startsWith('specs[') ? '' : 'spec.'}${origin.list}[${origin.index}]`;
}
