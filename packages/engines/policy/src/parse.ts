// Policy objects of every kind → rules. Called by the operator for each object, by the admission check and by the command line.

import { defaultLabelFilter } from '@axoneme/model';
import { err, ok, type Result } from '@axoneme/std';
import { parseAdminPolicy } from './admin.ts';
import type { ObjectContext } from './entry-context.ts';
import { createIssueList, type IssueList, type PolicyIssue } from './issues.ts';
import { parseNetworkPolicy } from './kubernetes.ts';
import { parseCiliumPolicy } from './parse-cilium.ts';
import type { ParseConfig, PolicyObject } from './policy-object.ts';
import { checkFields, isPresent, nearest, readObject, readString, shown } from './read.ts';
import { modeAnnotation, type PolicyKey, type PolicyMode, type PolicySource, policyKey, type Rule } from './rules.ts';

export interface ParsedPolicy {
  readonly key: PolicyKey;
  readonly source: PolicySource;
  readonly rules: readonly Rule[];
  /** Unsupported parts and lints; an object with errors is not parsed at all. */
  readonly issues: readonly PolicyIssue[];
}

interface KindInfo {
  readonly apiVersions: readonly string[];
  readonly namespaced: boolean;
  readonly parse: (ctx: ObjectContext, object: PolicyObject) => readonly Rule[];
}

const cilium = { apiVersions: ['cilium.io/v2'], parse: parseCiliumPolicy };
const admin = { namespaced: false, parse: parseAdminPolicy };
const kinds: Readonly<Record<string, KindInfo>> = {
  CiliumNetworkPolicy: { ...cilium, namespaced: true },
  CiliumClusterwideNetworkPolicy: { ...cilium, namespaced: false },
  NetworkPolicy: { apiVersions: ['networking.k8s.io/v1'], namespaced: true, parse: parseNetworkPolicy },
  AdminNetworkPolicy: { ...admin, apiVersions: ['policy.networking.k8s.io/v1alpha1'] },
  BaselineAdminNetworkPolicy: { ...admin, apiVersions: ['policy.networking.k8s.io/v1alpha1'] },
  ClusterNetworkPolicy: { ...admin, apiVersions: ['policy.networking.k8s.io/v1alpha2'] },
};
export const policyKinds: readonly string[] = Object.keys(kinds);

/** The error is the list of all issues, with at least one of severity `error`. */
export function parsePolicy(object: PolicyObject, config: ParseConfig): Result<ParsedPolicy, readonly PolicyIssue[]> {
  const issues = createIssueList();
  const root = (readObject(issues, '', object) ?? {}) as Partial<PolicyObject>;
  const metadata = readObject(issues, 'metadata', root.metadata) ?? {};
  const text = (field: string): string | undefined => readString(issues, `metadata.${field}`, metadata[field]);
  const written = readString(issues, 'kind', root.kind);
  const kind = written ?? (isPresent(metadata.namespace) ? 'CiliumNetworkPolicy' : 'CiliumClusterwideNetworkPolicy');
  const info = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  const namespace = info?.namespaced === true ? (text('namespace') ?? 'default') : '';
  const uid = text('uid');
  const source: PolicySource = { kind, namespace, name: text('name') ?? '', ...(uid === undefined ? {} : { uid }) };
  const mode = readMode(issues, metadata.annotations);
  const rules = info === undefined ? unknownKind(issues, kind) : parseKind(issues, info, source, mode, root as PolicyObject, config);
  if (issues.items.some((i) => i.severity === 'error')) return err(withoutEchoes(issues.items));
  return ok({ key: policyKey(source), source, rules, issues: issues.items });
}

/** An error makes other remarks about the same part, or what is around it, untrue: a wrong port is not a missing one. */
function withoutEchoes(all: readonly PolicyIssue[]): readonly PolicyIssue[] {
  const errors = all.filter((i) => i.severity === 'error');
  return all.filter((i) => i.severity === 'error' || !errors.some((e) => e.path.startsWith(i.path)));
}

function unknownKind(issues: IssueList, kind: string): readonly Rule[] {
  issues.error('kind', `unknown kind ${shown(kind)}`, `use one of ${policyKinds.join(', ')}`);
  return [];
}

function parseKind(
  issues: IssueList,
  info: KindInfo,
  source: PolicySource,
  mode: PolicyMode,
  object: PolicyObject,
  config: ParseConfig,
): readonly Rule[] {
  checkFields(issues, '', object as unknown as Record<string, unknown>, ['apiVersion', 'kind', 'metadata', 'spec', 'specs', 'status']);
  const version = readString(issues, 'apiVersion', object.apiVersion);
  if (version !== undefined && !info.apiVersions.includes(version))
    issues.error('apiVersion', `${source.kind} of ${shown(version)} is not known`, `use ${info.apiVersions.join(' or ')}`);
  const scope = {
    namespace: info.namespaced ? source.namespace : undefined,
    clusterName: config.clusterName,
    defaultLocalCluster: config.defaultLocalCluster ?? true,
  };
  return info.parse({ issues, source, mode, scope, filter: config.labelFilter ?? defaultLabelFilter }, object);
}

const annotationPrefix = modeAnnotation.slice(0, modeAnnotation.indexOf('/') + 1);

function readMode(issues: IssueList, value: unknown): PolicyMode {
  const annotations = readObject(issues, 'metadata.annotations', value) ?? {};
  for (const key of Object.keys(annotations)) {
    if (!key.startsWith(annotationPrefix) || key === modeAnnotation) continue;
    if (nearest(key.slice(annotationPrefix.length), ['mode']) === undefined) continue;
    issues.lint(`metadata.annotations[${key.slice(0, 80)}]`, 'is not known', `do you mean ${modeAnnotation}?`);
  }
  const mode = annotations[modeAnnotation];
  if (mode === undefined || mode === 'enforce') return 'enforce';
  if (mode !== 'shadow') issues.error(`metadata.annotations[${modeAnnotation}]`, `unknown mode ${shown(mode)}`, 'use enforce or shadow');
  return 'shadow';
}
