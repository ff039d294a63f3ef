// Which edits there are for one connection. Called by flip.ts and by the test that searches the whole space.
import {
  cidrContainsIp,
  cidrOfIp,
  createSelector,
  defaultLabelFilter,
  type LabelFilter,
  labelKeys,
  labelNamespace,
  labelValue,
  matchesSelector,
  type Requirement,
  requireEquals,
} from '@axoneme/model';
import type { Direction, PeerSelector, Rule, RuleEntry } from '../rules.ts';
import type { Edit, Situation } from './edits.ts';
import { addressOfEnd, hopsOf, type Question, type SceneEnd } from './scene.ts';

const namespaceName = 'kubernetes.io/metadata.name';

/** Every change of labels that some selector of the rules could notice. */
export function labelEdits(s: Situation, filter: LabelFilter = defaultLabelFilter): Edit[] {
  const values = valuesByKey(s.rules);
  const out = new Map<string, Edit>();
  const put = (e: Edit): void => void out.set(JSON.stringify(e), e);
  for (const end of [s.question.from, s.question.to]) {
    if (end.kind !== 'pod') continue;
    const namespace = labelNamespace(end.labels) ?? '';
    for (const [key, wanted] of values) {
      const isOfNamespace = key.startsWith(labelKeys.namespaceLabelPrefix);
      const short = isOfNamespace ? key.slice(labelKeys.namespaceLabelPrefix.length) : key;
      if (isOfNamespace ? short === namespaceName : !filter.keeps({ source: 'k8s', key, value: '' })) continue;
      const now = labelValue(end.labels, 'k8s', key);
      const make = (value: string | undefined): Edit =>
        isOfNamespace ? { kind: 'namespace-label', namespace, key: short, value } : { kind: 'label', end: end.name, key, value };
      if (now !== undefined) put(make(undefined));
      for (const v of wanted) if (v !== now) put(make(v));
    }
  }
  return [...out.values()];
}

/** Values selectors speak of, and one that none does, by key a user can set. */
function valuesByKey(rules: readonly Rule[]): Map<string, readonly string[]> {
  const out = new Map<string, Set<string>>();
  const note = (requirements: readonly Requirement[]): void => {
    for (const r of requirements) {
      const isDerived = r.key.startsWith('io.cilium.k8s.policy.') || r.key === labelKeys.namespace;
      if (isDerived || (r.source !== 'any' && r.source !== 'k8s')) continue;
      const known = out.get(r.key) ?? new Set();
      out.set(r.key, known);
      for (const v of r.values) known.add(v);
    }
  };
  for (const rule of rules) {
    if (rule.subjectKind === 'endpoints') note(rule.subject.requirements);
    for (const e of rule.entries) for (const p of e.peers) if (p.kind === 'labels') note(p.selector.requirements);
  }
  return new Map([...out].map(([key, values]) => [key, [...values, freshValue(values)]]));
}

const freshValue = (taken: ReadonlySet<string>): string => {
  for (const v of ['true', 'other']) if (!taken.has(v)) return v;
  let n = 2;
  while (taken.has(`other-${n}`)) n++;
  return `other-${n}`;
};

/** Changes of rules for one direction: of those that select the subject, whatever they match now. */
export function ruleEdits(s: Situation, direction: Direction): Edit[] {
  const hop = hopsOf(s.question).find((h) => h.direction === direction)!;
  const { protocol, port } = s.question;
  const peer = hop.peer;
  const out: Edit[] = [];
  s.rules.forEach((rule, r) => {
    if (!selects(rule, hop.subject)) return;
    const own = peerOf(rule, direction, peer, s.question);
    rule.entries.forEach((entry, e) => {
      if (entry.direction === direction) out.push(...entryEdits(rule, entry, { rule: r, entry: e }, own, s.question, peer));
    });
    if (!rule.defaultDeny[direction]) return;
    out.push({ kind: 'stop-isolating', rule: r, direction });
    if (own !== undefined) out.push({ kind: 'add-entry', rule: r, direction, peer: own, protocol, port });
  });
  const general = peerOf(undefined, direction, peer, s.question);
  if (hop.subject.kind !== 'outside' && general !== undefined) out.push({ kind: 'add-policy', direction, peer: general, protocol, port });
  const unique = new Map(out.map((e) => [JSON.stringify(e), e]));
  return [...unique.values()];
}

export function selects(rule: Rule, subject: SceneEnd): boolean {
  if (rule.mode !== 'enforce' || subject.kind === 'outside') return false;
  return subject.kind === 'pod'
    ? rule.subjectKind === 'endpoints' && matchesSelector(rule.subject, subject.labels)
    : rule.subjectKind === 'nodes' && matchesSelector(rule.subject, subject.node.labels);
}

function entryEdits(
  rule: Rule,
  entry: RuleEntry,
  at: { readonly rule: number; readonly entry: number },
  own: PeerSelector | undefined,
  q: Question,
  peer: SceneEnd,
): Edit[] {
  const removal: Edit = { kind: 'remove-entry', rule: at.rule, id: entry.id };
  if (entry.action === 'allow' || entry.action === 'pass') {
    const widened: Edit[] = [{ kind: 'add-port', at, protocol: q.protocol, port: q.port }];
    if (own !== undefined) widened.push({ kind: 'add-peer', at, peer: own });
    // What allows is only in the way where tiers order it before something better.
    return rule.tier === 'admin' ? [...widened, removal] : widened;
  }
  const address = addressOfEnd(peer, q.family);
  const holds = (p: PeerSelector): boolean =>
    address !== undefined && (p.kind === 'cidr' || p.kind === 'block') && cidrContainsIp(p.cidr, address);
  return [...(entry.peers.some(holds) ? [{ kind: 'add-exception', at, address: address! } as const] : []), removal];
}

/** The peer as one entry of that kind of policy can name it; undefined where it cannot. */
function peerOf(rule: Rule | undefined, direction: Direction, peer: SceneEnd, q: Question): PeerSelector | undefined {
  const kind = rule?.source.kind ?? '';
  const isAdmin = kind.includes('Admin') || kind === 'ClusterNetworkPolicy';
  if (peer.kind === 'pod') {
    const kept = peer.labels.list.filter(
      (l) => l.source === 'k8s' && (l.key === labelKeys.namespace || !l.key.startsWith('io.cilium.k8s.')),
    );
    return { kind: 'labels', selector: createSelector(kept.map((l) => requireEquals('k8s', l.key, l.value))) };
  }
  const address = addressOfEnd(peer, q.family);
  if (address === undefined || (isAdmin && direction === 'ingress')) return undefined;
  if (isAdmin || kind === 'NetworkPolicy') return { kind: 'block', cidr: cidrOfIp(address), except: [] };
  if (peer.kind === 'outside') return { kind: 'cidr', cidr: cidrOfIp(address), except: [] };
  const entity = peer.local ? 'host' : peer.node.apiServer ? 'kube-apiserver' : 'remote-node';
  return { kind: 'labels', selector: createSelector([requireEquals('reserved', entity, '')]) };
}
