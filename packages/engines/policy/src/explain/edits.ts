// Changes a person could make to let one connection through: what they are, which there are, what the cluster looks like after them.
// Called by flip.ts and, as the whole space of them, by the test that searches it by brute force.
import {
  cidrContainsIp,
  cidrOfIp,
  createLabels,
  createSelector,
  type Labels,
  labelKeys,
  labelNamespace,
  parseIp,
  requireEquals,
} from '@axoneme/model';
import { unwrap } from '@axoneme/std';
import type { Direction, PeerSelector, Rule, RuleEntry, RuleId } from '../rules.ts';
import type { Question, SceneEnd } from './scene.ts';

export type Edit =
  /** On a pod (its template), by the name of the end. `value` undefined: take it off. */
  | { readonly kind: 'label'; readonly end: string; readonly key: string; readonly value: string | undefined }
  | { readonly kind: 'namespace-label'; readonly namespace: string; readonly key: string; readonly value: string | undefined }
  /** To the ports of an entry that allows or passes. */
  | { readonly kind: 'add-port'; readonly at: EntryPlace; readonly protocol: number; readonly port: number }
  | { readonly kind: 'add-peer'; readonly at: EntryPlace; readonly peer: PeerSelector }
  /** To the exceptions of every prefix of an entry that holds the address. */
  | { readonly kind: 'add-exception'; readonly at: EntryPlace; readonly address: string }
  /** A new entry in a policy that isolates. */
  | {
      readonly kind: 'add-entry';
      readonly rule: number;
      readonly direction: Direction;
      readonly peer: PeerSelector;
      readonly protocol: number;
      readonly port: number;
    }
  /** A new policy for the subject of this direction that isolates nothing. */
  | {
      readonly kind: 'add-policy';
      readonly direction: Direction;
      readonly peer: PeerSelector;
      readonly protocol: number;
      readonly port: number;
    }
  /** A written entry with all it was translated into. */
  | { readonly kind: 'remove-entry'; readonly rule: number; readonly id: RuleId }
  | { readonly kind: 'stop-isolating'; readonly rule: number; readonly direction: Direction };

/** Indexes into the rules of the scene and their entries. */
export interface EntryPlace {
  readonly rule: number;
  readonly entry: number;
}

/** What an edit works on. */
export interface Situation {
  readonly rules: readonly Rule[];
  readonly question: Question;
}

/** Edits name places by the numbers of the original rules, so they are applied together. */
export function applyEdits(s: Situation, edits: readonly Edit[]): Situation {
  if (edits.length === 0) return s;
  const from = editedEnd(s.question.from, edits);
  const to = editedEnd(s.question.to, edits);
  const question = { ...s.question, from, to };
  const byRule = new Map<number, Edit[]>();
  for (const e of edits) {
    const at = ruleOf(e);
    if (at !== undefined) byRule.set(at, [...(byRule.get(at) ?? []), e]);
  }
  const rules = s.rules.map((r, i) => (byRule.has(i) ? editedRule(r, byRule.get(i)!) : r));
  return { rules: [...rules, ...edits.flatMap((e) => (e.kind === 'add-policy' ? [newPolicy(e, { from, to })] : []))], question };
}

const ruleOf = (e: Edit): number | undefined => ('at' in e ? e.at.rule : 'rule' in e ? e.rule : undefined);

export const isLabelEdit = (e: Edit): boolean => e.kind === 'label' || e.kind === 'namespace-label';

function editedEnd(end: SceneEnd, edits: readonly Edit[]): SceneEnd {
  if (end.kind !== 'pod') return end;
  let labels = end.labels;
  for (const e of edits) {
    if (e.kind === 'label' && e.end === end.name) labels = withLabel(labels, e.key, e.value);
    if (e.kind === 'namespace-label' && e.namespace === labelNamespace(labels))
      labels = withLabel(labels, labelKeys.namespaceLabelPrefix + e.key, e.value);
  }
  return labels === end.labels ? end : { ...end, labels };
}

function withLabel(labels: Labels, key: string, value: string | undefined): Labels {
  const rest = labels.list.filter((l) => !(l.source === 'k8s' && l.key === key));
  return createLabels(value === undefined ? rest : [...rest, { source: 'k8s', key, value }]);
}

function editedRule(rule: Rule, edits: readonly Edit[]): Rule {
  const entries = rule.entries.flatMap((entry, i): RuleEntry[] => {
    let next = entry;
    for (const e of edits) {
      if (e.kind === 'remove-entry' && e.id === entry.id) return [];
      if (!('at' in e) || e.at.entry !== i) continue;
      if (e.kind === 'add-port') next = { ...next, ports: [...next.ports, onePort(e)] };
      if (e.kind === 'add-peer') next = { ...next, peers: [...next.peers, e.peer] };
      if (e.kind === 'add-exception') next = { ...next, peers: next.peers.map((p) => withException(p, e.address)) };
    }
    return [next];
  });
  const added = edits.flatMap((e) => (e.kind === 'add-entry' ? [newEntry(e)] : []));
  const stops = (d: Direction): boolean => edits.some((e) => e.kind === 'stop-isolating' && e.direction === d);
  const defaultDeny = { ingress: rule.defaultDeny.ingress && !stops('ingress'), egress: rule.defaultDeny.egress && !stops('egress') };
  return { ...rule, entries: [...entries, ...added], defaultDeny };
}

const onePort = (e: { readonly protocol: number; readonly port: number }) =>
  ({ kind: 'range', protocol: e.protocol, first: e.port, last: e.port }) as const;

const newEntry = (e: Extract<Edit, { kind: 'add-entry' | 'add-policy' }>): RuleEntry => ({
  id: 0 as RuleId,
  direction: e.direction,
  action: 'allow',
  priority: 0,
  peers: [e.peer],
  ports: [onePort(e)],
});

function newPolicy(e: Extract<Edit, { kind: 'add-policy' }>, q: Pick<Question, 'from' | 'to'>): Rule {
  const subject = e.direction === 'egress' ? q.from : q.to;
  return {
    source: { kind: 'CiliumNetworkPolicy', namespace: '', name: '' },
    tier: 'normal',
    mode: 'enforce',
    subjectKind: subject.kind === 'node' ? 'nodes' : 'endpoints',
    subject: exactly(subject.kind === 'node' ? subject.node.labels : subject.kind === 'pod' ? subject.labels : createLabels([])),
    entries: [newEntry(e)],
    defaultDeny: { ingress: false, egress: false },
    defaultDenyIds: { ingress: 0 as RuleId, egress: 0 as RuleId },
    origins: [],
  };
}

const exactly = (labels: Labels) => createSelector(labels.list.map((l) => requireEquals(l.source, l.key, l.value)));

function withException(p: PeerSelector, address: string): PeerSelector {
  if (p.kind !== 'cidr' && p.kind !== 'block') return p;
  const ip = unwrap(parseIp(address));
  return cidrContainsIp(p.cidr, ip) ? { ...p, except: [...p.except, cidrOfIp(ip)] } : p;
}
