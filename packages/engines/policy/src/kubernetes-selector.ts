// Selectors of the Kubernetes APIs (pods, namespaces, nodes) → selectors over identity labels. Called by the NetworkPolicy and the admin parsers.
import {
  compileSelector,
  createSelector,
  type LabelFilter,
  labelKeys,
  type Requirement,
  requireEquals,
  requireExists,
  type Selector,
} from '@axoneme/model';
import type { IssueList } from './issues.ts';
import { lintLabels } from './lint-labels.ts';
import { readSelector } from './read.ts';

export interface KubernetesScope {
  readonly issues: IssueList;
  readonly filter: LabelFilter;
  readonly clusterName: string;
  readonly defaultLocalCluster: boolean;
}

/** Requirements on the labels of pods; undefined if absent or wrong (then reported). */
export const podRequirements = (scope: KubernetesScope, path: string, value: unknown): readonly Requirement[] | undefined =>
  readRequirements(scope, path, value, '');

/** Requirements on the labels of the pods' namespaces; `{}` is every pod that has a namespace. */
export function namespaceRequirements(scope: KubernetesScope, path: string, value: unknown): readonly Requirement[] | undefined {
  const own = readRequirements(scope, path, value, labelKeys.namespaceLabelPrefix);
  return own === undefined ? undefined : [requireExists('k8s', labelKeys.namespace), ...own];
}

export const inNamespace = (namespace: string): Requirement => requireEquals('k8s', labelKeys.namespace, namespace);

/** Peers are pods of this cluster unless the configuration says otherwise. */
export const peerSelector = (scope: KubernetesScope, requirements: readonly Requirement[]): Selector =>
  createSelector(scope.defaultLocalCluster ? [...requirements, requireEquals('k8s', labelKeys.cluster, scope.clusterName)] : requirements);

/** Node labels have the source `k8s`; keys without source mean them too. */
export function nodeSelector(issues: IssueList, path: string, value: unknown): Selector | undefined {
  const raw = readSelector(issues, path, value);
  if (raw === undefined) return undefined;
  const compiled = compileSelector(raw);
  if (!compiled.ok) {
    issues.error(path, compiled.error.message, compiled.error.hint);
    return undefined;
  }
  return createSelector(compiled.value.requirements.map((r) => (r.source === 'any' || r.source === 'node' ? ofKey(r, r.key) : r)));
}

function readRequirements(scope: KubernetesScope, path: string, value: unknown, prefix: string): readonly Requirement[] | undefined {
  const raw = readSelector(scope.issues, path, value);
  if (raw === undefined) return undefined;
  const keys = [...Object.keys(raw.matchLabels ?? {}), ...(raw.matchExpressions ?? []).map((e) => e.key)];
  const sourced = keys.find((k) => k.includes(':'));
  if (sourced !== undefined) {
    scope.issues.error(path, `label key "${sourced.slice(0, 80)}" is not valid`, 'keys have no source here: write [domain/]name');
    return undefined;
  }
  const compiled = compileSelector(raw);
  if (!compiled.ok) {
    scope.issues.error(path, compiled.error.message, compiled.error.hint?.replace('[source:]', ''));
    return undefined;
  }
  const requirements = compiled.value.requirements.map((r) => ofKey(r, prefix + r.key));
  lintLabels(scope.issues, path, createSelector(requirements), scope.filter);
  return requirements;
}

const ofKey = (r: Requirement, key: string): Requirement => ({ ...r, source: 'k8s', key, at: `k8s:${key}` });
