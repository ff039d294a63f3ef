// ReachabilityInvariant (axoneme.io/v1alpha1): what must stay reachable, or unreachable, whatever policies say. Called by the operator's gate and the CLI.

import { type Cidr, defaultLabelFilter, type Selector } from '@axoneme/model';
import { err, ok, type Result } from '@axoneme/std';
import { createIssueList, type IssueList, type PolicyIssue } from './issues.ts';
import { readPortNumber, readProtocol } from './kubernetes-ports.ts';
import { type KubernetesScope, namespaceRequirements, peerSelector, podRequirements } from './kubernetes-selector.ts';
import type { ParseConfig } from './policy-object.ts';
import { checkFields, isPresent, type JsonObject, readList, readObject, readString, shown } from './read.ts';
import { readBlock } from './read-cidr.ts';
import { allTraffic, type PortMatch } from './rules.ts';

export const invariantKind = 'ReachabilityInvariant';
export const invariantApiVersion = 'axoneme.io/v1alpha1';

export type InvariantTarget = { readonly kind: 'pods'; readonly selector: Selector } | { readonly kind: 'cidr'; readonly cidr: Cidr };
export type InvariantPorts = Extract<PortMatch, { kind: 'range' }>;

export interface Invariant {
  readonly name: string;
  readonly uid?: string | undefined;
  readonly description?: string | undefined;
  /** Pods of this cluster. */
  readonly from: Selector;
  readonly to: InvariantTarget;
  /** Every one of them must be open (MustReach), or none (MustNotReach). */
  readonly ports: readonly InvariantPorts[];
  readonly expect: 'MustReach' | 'MustNotReach';
  /** Refuse: a change that breaks it is not taken. Flag: it is taken and the invariant's status says so. */
  readonly action: 'Refuse' | 'Flag';
}

const expectations = ['MustReach', 'MustNotReach'] as const;
const actions = ['Refuse', 'Flag'] as const;
const portsMax = 16;

/** The error has at least one issue of severity `error`. */
export function parseInvariant(object: unknown, config: ParseConfig): Result<Invariant, readonly PolicyIssue[]> {
  const issues = createIssueList();
  const root = readObject(issues, '', object) ?? {};
  checkFields(issues, '', root, ['apiVersion', 'kind', 'metadata', 'spec', 'status']);
  if (isPresent(root.kind) && root.kind !== invariantKind) issues.error('kind', `${shown(root.kind)} is not ${invariantKind}`);
  if (isPresent(root.apiVersion) && root.apiVersion !== invariantApiVersion)
    issues.error('apiVersion', `${invariantKind} of ${shown(root.apiVersion)} is not known`, `use ${invariantApiVersion}`);
  const metadata = readObject(issues, 'metadata', root.metadata) ?? {};
  const name = readString(issues, 'metadata.name', metadata.name) ?? '';
  const uid = readString(issues, 'metadata.uid', metadata.uid);
  if (!isPresent(root.spec)) issues.error('spec', 'the invariant has no spec');
  const spec = readObject(issues, 'spec', root.spec) ?? {};
  checkFields(issues, 'spec', spec, ['description', 'from', 'to', 'ports', 'expect', 'action']);
  const description = readString(issues, 'spec.description', spec.description);
  const scope: KubernetesScope = {
    issues,
    filter: config.labelFilter ?? defaultLabelFilter,
    clusterName: config.clusterName,
    defaultLocalCluster: true,
  };
  const from = parsePods(scope, 'spec.from', spec.from, []);
  const to = parseTarget(scope, spec.to);
  const ports = parsePorts(issues, spec.ports);
  const expect = oneOf(issues, 'spec.expect', spec.expect, expectations);
  const action = isPresent(spec.action) ? oneOf(issues, 'spec.action', spec.action, actions) : 'Flag';
  if (issues.items.some((i) => i.severity === 'error') || from === undefined || to === undefined || !expect || !action)
    return err(issues.items);
  const optional = { ...(uid === undefined ? {} : { uid }), ...(description === undefined ? {} : { description }) };
  return ok({ name, ...optional, from, to, ports, expect, action });
}

function oneOf<T extends string>(issues: IssueList, path: string, value: unknown, allowed: readonly T[]): T | undefined {
  const found = allowed.find((a) => a === value);
  if (found === undefined)
    issues.error(path, isPresent(value) ? `${shown(value)} is not known` : 'is missing', `use ${allowed.join(' or ')}`);
  return found;
}

/** An absent selector selects everything; both absent is an error, so that nothing is selected by accident. */
function parsePods(scope: KubernetesScope, path: string, value: unknown, more: readonly string[]): Selector | undefined {
  const raw = readObject(scope.issues, path, value) ?? {};
  checkFields(scope.issues, path, raw, ['namespaceSelector', 'podSelector', ...more]);
  if (!isPresent(raw.namespaceSelector) && !isPresent(raw.podSelector)) {
    scope.issues.error(path, 'selects nothing', 'write namespaceSelector, podSelector or both; "podSelector: {}" is every pod');
    return undefined;
  }
  const namespaces = namespaceRequirements(scope, `${path}.namespaceSelector`, raw.namespaceSelector ?? {});
  const pods = podRequirements(scope, `${path}.podSelector`, raw.podSelector ?? {});
  return namespaces === undefined || pods === undefined ? undefined : peerSelector(scope, [...namespaces, ...pods]);
}

function parseTarget(scope: KubernetesScope, value: unknown): InvariantTarget | undefined {
  const raw: JsonObject = typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
  if (!isPresent(raw.cidr)) {
    const selector = parsePods(scope, 'spec.to', value, ['cidr']);
    return selector === undefined ? undefined : { kind: 'pods', selector };
  }
  checkFields(scope.issues, 'spec.to', raw, ['namespaceSelector', 'podSelector', 'cidr']);
  if (isPresent(raw.namespaceSelector) || isPresent(raw.podSelector))
    scope.issues.error('spec.to', 'combines cidr with a selector', 'write two invariants');
  const cidr = readBlock(scope.issues, 'spec.to.cidr', raw.cidr);
  return cidr === undefined ? undefined : { kind: 'cidr', cidr };
}

function parsePorts(issues: IssueList, value: unknown): readonly InvariantPorts[] {
  const list = readList(issues, 'spec.ports', value) ?? [];
  if (isPresent(value) && list.length === 0) issues.error('spec.ports', 'is empty', 'remove the field to mean every port');
  if (list.length > portsMax) issues.error('spec.ports', `has ${list.length} items, at most ${portsMax} are possible`);
  if (list.length === 0) return [allTraffic as InvariantPorts];
  return list.slice(0, portsMax).flatMap((item, i): InvariantPorts[] => {
    const path = `spec.ports[${i}]`;
    const raw = readObject(issues, path, item) ?? {};
    checkFields(issues, path, raw, ['port', 'protocol']);
    const protocol = readProtocol(issues, `${path}.protocol`, raw.protocol);
    const port = readPortNumber(issues, `${path}.port`, raw.port);
    return protocol === undefined || port === undefined ? [] : [{ kind: 'range', protocol, first: port, last: port }];
  });
}
