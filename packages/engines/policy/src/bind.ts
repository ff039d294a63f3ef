// Rules that name Services and CIDR groups + what exists → rules with peers only. Called by the operator and the command line after parsing.
// What a reference does not find is nobody, never anybody.
import {
  type Cidr,
  cidrOfIp,
  createPrefixTable,
  createSelector,
  defaultLabelFilter,
  type LabelFilter,
  labelKeys,
  matchesSelector,
  requireEquals,
  type Selector,
} from '@axoneme/model';
import { sortCidrs } from './read-cidr.ts';
import type { CidrGroup, ReferencedService, References } from './references.ts';
import { type PeerReference, type PeerSelector, peerText, type Rule, type RuleEntry } from './rules.ts';

export interface BoundRules {
  /** In the order given; a rule without references is the same object. */
  readonly rules: readonly Rule[];
  /** References that name nothing, in words; sorted, each once. */
  readonly missing: readonly string[];
  readonly used: ReferenceKeys;
}

/** What a set of rules refers to. */
export interface ReferenceKeys {
  readonly services: readonly Extract<PeerReference, { kind: 'service' }>[];
  readonly cidrGroups: readonly Extract<PeerReference, { kind: 'cidrGroup' }>[];
}

interface Binding {
  readonly refs: References;
  readonly filter: LabelFilter;
  /** Grows while rules are bound. */
  readonly missing: Set<string>;
}

/** `filter`: the labels identities are made of. */
export function bindRules(rules: readonly Rule[], refs: References, filter: LabelFilter = defaultLabelFilter): BoundRules {
  const used = referencesOf(rules);
  if (!hasReferences(used)) return { rules, missing: [], used };
  const binding: Binding = { refs, filter, missing: new Set() };
  return { rules: rules.map((r) => bindRule(r, binding)), missing: [...binding.missing].sort(), used };
}

export function referencesOf(rules: readonly Rule[]): ReferenceKeys {
  const all = rules.flatMap((r) => r.entries.flatMap((e) => e.references ?? []));
  return { services: all.filter((r) => r.kind === 'service'), cidrGroups: all.filter((r) => r.kind === 'cidrGroup') };
}

export const hasReferences = (keys: ReferenceKeys): boolean => keys.services.length + keys.cidrGroups.length > 0;

/** True if the Service counts for the rules. Ask with the old and with the new version of a changed one. */
export const usesService = (keys: ReferenceKeys, s: Pick<ReferencedService, 'namespace' | 'name' | 'labels'>): boolean =>
  keys.services.some(
    (r) => (r.namespace === '' || r.namespace === s.namespace) && ('name' in r ? r.name === s.name : matchesSelector(r.selector, s.labels)),
  );

/** As `usesService`. */
export const usesCidrGroup = (keys: ReferenceKeys, g: Pick<CidrGroup, 'name' | 'labels'>): boolean =>
  keys.cidrGroups.some((r) => ('name' in r ? r.name === g.name : matchesSelector(r.selector, g.labels)));

function bindRule(rule: Rule, binding: Binding): Rule {
  if (rule.entries.every((e) => e.references === undefined || e.references.length === 0)) return rule;
  return { ...rule, entries: rule.entries.map((e) => bindEntry(e, binding)) };
}

function bindEntry(entry: RuleEntry, binding: Binding): RuleEntry {
  const { references, ...rest } = entry;
  if (references === undefined || references.length === 0) return entry;
  const peers = new Map(entry.peers.map((p) => [peerText(p), p]));
  for (const r of references) {
    const found = r.kind === 'service' ? servicePeers(r, binding) : groupPeers(r, binding);
    for (const p of found) peers.set(peerText(p), p);
  }
  // The order of what exists must not show in the result.
  return { ...rest, peers: [...peers].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, p]) => p) };
}

type ServiceReference = ReferenceKeys['services'][number];
type GroupReference = ReferenceKeys['cidrGroups'][number];

function servicePeers(r: ServiceReference, { refs, filter, missing }: Binding): PeerSelector[] {
  const found = 'name' in r ? [...refs.servicesNamed(r.namespace, r.name)] : [...refs.servicesIn(r.namespace)].filter(matches(r.selector));
  if (found.length === 0) missing.add(serviceText(r));
  return found.flatMap((s) => {
    const peers = peersOfService(s, r.clusterName);
    const unknown = Object.keys(s.selector ?? {}).find((key) => !filter.keeps({ source: 'k8s', key, value: '' }));
    if (peers.length === 0) missing.add(`Service ${s.namespace}/${s.name} has neither a selector nor addresses`);
    if (unknown !== undefined)
      missing.add(`Service ${s.namespace}/${s.name} selects pods by "${unknown}", a label that is no part of identities`);
    return peers;
  });
}

const matches =
  (selector: Selector) =>
  (o: { readonly labels: ReferencedService['labels'] }): boolean =>
    matchesSelector(selector, o.labels);

function serviceText(r: ServiceReference): string {
  if ('name' in r) return r.namespace === '' ? `no namespace has a Service ${r.name}` : `Service ${r.namespace}/${r.name} does not exist`;
  const where = r.namespace === '' ? 'any namespace' : `namespace ${r.namespace}`;
  return `no Service in ${where} has the labels ${selectorWords(r.selector)}`;
}

/** With a selector: its pods. Without: the addresses somebody wrote down for it, whoever has them. */
function peersOfService(s: ReferencedService, clusterName: string): PeerSelector[] {
  if (s.selector === undefined || Object.keys(s.selector).length === 0)
    return sortCidrs(s.addresses.map(cidrOfIp)).map((cidr) => ({ kind: 'block', cidr, except: [] }));
  const selector = createSelector([
    ...Object.entries(s.selector).map(([key, value]) => requireEquals('k8s', key, value)),
    requireEquals('k8s', labelKeys.namespace, s.namespace),
    requireEquals('k8s', labelKeys.cluster, clusterName),
  ]);
  return [{ kind: 'labels', selector }];
}

function groupPeers(r: GroupReference, { refs, missing }: Binding): PeerSelector[] {
  const found = 'name' in r ? [refs.cidrGroup(r.name)].filter((g) => g !== undefined) : [...refs.cidrGroups()].filter(matches(r.selector));
  if (found.length === 0)
    missing.add(
      'name' in r ? `CiliumCIDRGroup ${r.name} does not exist` : `no CiliumCIDRGroup has the labels ${selectorWords(r.selector)}`,
    );
  return found.flatMap((g) => cidrPeers(g.cidrs, r.except));
}

/** An exception may cover a prefix of the group, lie inside it or elsewhere. */
function cidrPeers(cidrs: readonly Cidr[], except: readonly Cidr[]): PeerSelector[] {
  const outer = createPrefixTable<Cidr[]>();
  const holes = createPrefixTable<true>();
  if (except.length > 0) for (const cidr of cidrs) outer.set(cidr, []);
  for (const e of except) {
    holes.set(e, true);
    for (const { value } of outer.covering(e)) value.push(e);
  }
  return cidrs
    .filter((cidr) => holes.covering(cidr).length === 0)
    .map((cidr) => ({ kind: 'cidr', cidr, except: sortCidrs(outer.get(cidr) ?? []) }));
}

const wordsMax = 200;

/** As `kubectl get -l` takes it. */
function selectorWords(s: Selector): string {
  const words = s.requirements.map((r) => {
    const key = r.source === 'any' ? r.key : `${r.source}:${r.key}`;
    if (r.operator === 'Exists') return key;
    if (r.operator === 'DoesNotExist') return `!${key}`;
    if (r.operator === 'In' && r.values.length === 1) return `${key}=${r.values[0]}`;
    return `${key} ${r.operator === 'In' ? 'in' : 'notin'} (${r.values.join(', ')})`;
  });
  return words.length === 0 ? '{}' : words.join(',').slice(0, wordsMax);
}
