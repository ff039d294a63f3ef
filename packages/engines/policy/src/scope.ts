// Selectors as the user wrote them → selectors confined to where they may reach. The one place that knows the scoping rules.

import {
  compileSelector,
  createSelector,
  type LabelSelector,
  labelKeys,
  type Requirement,
  requireEquals,
  requireExists,
  type Selector,
} from '@axoneme/model';
import type { Result } from '@axoneme/std';

/** How one object's selectors are confined. */
export interface Scope {
  /** Namespace of a namespaced policy, undefined for a cluster-wide one. */
  readonly namespace: string | undefined;
  readonly clusterName: string;
  /** Peers that do not name a cluster are of the local one. */
  readonly defaultLocalCluster: boolean;
}

const isNamespaceKey = (r: Requirement): boolean => r.key === labelKeys.namespace && (r.source === 'k8s' || r.source === 'any');

/** A namespaced policy selects in its own namespace, whatever the selector says; `overwritten` names what it tried. */
export function scopeSubject(
  raw: LabelSelector,
  scope: Scope,
): Result<{ readonly selector: Selector; readonly overwritten: string | undefined }> {
  const compiled = compileSelector(raw);
  if (!compiled.ok) return compiled;
  if (scope.namespace === undefined) return { ok: true, value: { selector: compiled.value, overwritten: undefined } };
  // Only the plain form is overwritten; an expression stays and is ANDed, so it can only narrow.
  const written = Object.entries(raw.matchLabels ?? {}).filter(([k]) =>
    [labelKeys.namespace, `k8s:${labelKeys.namespace}`, `any:${labelKeys.namespace}`].includes(k),
  );
  const values = new Set(written.map(([, v]) => v));
  const rest = compiled.value.requirements.filter(
    (r) => !(isNamespaceKey(r) && r.operator === 'In' && r.values.length === 1 && values.has(r.values[0]!)),
  );
  const selector = createSelector([...rest, requireEquals('k8s', labelKeys.namespace, scope.namespace)]);
  return { ok: true, value: { selector, overwritten: [...values].find((v) => v !== scope.namespace) } };
}

/** `subject` decides whether a cluster-wide policy is about endpoints that have no namespace yet. */
export function scopePeer(raw: LabelSelector, scope: Scope, subject: Selector): Result<Selector> {
  const compiled = compileSelector(raw);
  if (!compiled.ok) return compiled;
  const written = compiled.value.requirements;
  if (written.some((r) => r.source === 'reserved')) return compiled;
  const added: Requirement[] = [];
  if (!written.some(isNamespaceKey)) {
    if (scope.namespace === undefined) {
      if (!selectsInit(subject)) added.push(requireExists('k8s', labelKeys.namespace));
    } else if (!written.some((r) => r.key.startsWith(labelKeys.namespaceLabelPrefix))) {
      added.push(requireEquals('k8s', labelKeys.namespace, scope.namespace));
    }
  }
  if (scope.defaultLocalCluster && !written.some((r) => r.key === labelKeys.cluster))
    added.push(requireEquals('k8s', labelKeys.cluster, scope.clusterName));
  return { ok: true, value: createSelector([...written, ...added]) };
}

const selectsInit = (subject: Selector): boolean =>
  subject.requirements.some((r) => r.source === 'reserved' && r.key === 'init' && r.operator !== 'DoesNotExist');
