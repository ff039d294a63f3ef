// Label selectors: compile once, match many. Called by the policy engine for subjects and peers.
import { fail, ok, type Result } from '@axoneme/std';
import { type Labels, parseLabelKey } from './labels.ts';

/** The Kubernetes wire form; keys may carry a source (`k8s:app`). */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>> | undefined;
  readonly matchExpressions?: readonly LabelSelectorRequirement[] | undefined;
}

export interface LabelSelectorRequirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[] | undefined;
}

export type SelectorOperator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';

export interface Requirement {
  readonly source: string;
  readonly key: string;
  /** `source:key`: where `Labels.index` has the values. */
  readonly at: string;
  readonly operator: SelectorOperator;
  /** Sorted, duplicate-free; empty for Exists and DoesNotExist. */
  readonly values: readonly string[];
}

/** All requirements must hold. `text` is canonical: selectors that mean the same requirements have equal text. */
export interface Selector {
  readonly requirements: readonly Requirement[];
  readonly text: string;
}

const nameText = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const subdomainText = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$/;
const operators: readonly string[] = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

/** `{}` matches everything. Keys without source match any source. */
export function compileSelector(selector: LabelSelector): Result<Selector> {
  const requirements: Requirement[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    const r = compileRequirement({ key, operator: 'In', values: [value] });
    if (!r.ok) return r;
    requirements.push(r.value);
  }
  for (const expression of selector.matchExpressions ?? []) {
    const r = compileRequirement(expression);
    if (!r.ok) return r;
    requirements.push(r.value);
  }
  return ok(createSelector(requirements));
}

/** Sorts and removes duplicates; later code compares selectors by `text`. */
export function createSelector(requirements: readonly Requirement[]): Selector {
  const byText = new Map<string, Requirement>();
  for (const r of requirements) byText.set(renderRequirement(r), r);
  const sorted = [...byText.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  return { requirements: sorted.map(([, r]) => r), text: sorted.map(([t]) => t).join(',') };
}

export const matchAllSelector: Selector = createSelector([]);

/** The selector with one more requirement. */
export const withRequirement = (s: Selector, r: Requirement): Selector => createSelector([...s.requirements, r]);
export const requireEquals = (source: string, key: string, value: string): Requirement => ({
  source,
  key,
  at: `${source}:${key}`,
  operator: 'In',
  values: [value],
});
export const requireExists = (source: string, key: string): Requirement => ({
  source,
  key,
  at: `${source}:${key}`,
  operator: 'Exists',
  values: [],
});

/** NotIn and DoesNotExist also hold for sets that lack the key. */
export function matchesSelector(selector: Selector, labels: Labels): boolean {
  for (const r of selector.requirements) if (!matchesRequirement(r, labels)) return false;
  return true;
}

function matchesRequirement(r: Requirement, labels: Labels): boolean {
  const values = labels.index.get(r.at);
  switch (r.operator) {
    case 'Exists':
      return values !== undefined;
    case 'DoesNotExist':
      return values === undefined;
    case 'In':
      return values?.some((v) => r.values.includes(v)) ?? false;
    case 'NotIn':
      return !(values?.some((v) => r.values.includes(v)) ?? false);
  }
}

function renderRequirement(r: Requirement): string {
  const values = r.values.map((v) => JSON.stringify(v)).join('|');
  return `${r.at} ${r.operator} ${values}`;
}

function compileRequirement(raw: LabelSelectorRequirement): Result<Requirement> {
  const { source, key } = parseLabelKey(raw.key, 'any');
  const values = [...new Set(raw.values ?? [])].sort();
  if (!validKey(key)) return bad(`label key "${raw.key.slice(0, 80)}" is not valid`, 'write [source:][domain/]name');
  if (!operators.includes(raw.operator))
    return bad(`operator "${String(raw.operator).slice(0, 32)}" is unknown`, `use ${operators.join(', ')}`);
  const operator = raw.operator as SelectorOperator;
  const needsValues = operator === 'In' || operator === 'NotIn';
  if (needsValues && values.length === 0)
    return bad(`${operator} needs at least one value`, 'an empty list can match nothing; remove the expression');
  if (!needsValues && values.length > 0) return bad(`${operator} takes no values`, 'remove "values"');
  const wrong = values.find((v) => v !== '' && !nameText.test(v));
  if (wrong !== undefined) return bad(`label value "${wrong.slice(0, 80)}" is not valid`, 'at most 63 of A-Z a-z 0-9 - _ .');
  return ok({ source, key, at: `${source}:${key}`, operator, values });
}

function validKey(key: string): boolean {
  const slash = key.indexOf('/');
  if (slash < 0) return nameText.test(key) || validNamespaceLabelKey(key);
  const prefix = key.slice(0, slash);
  return nameText.test(key.slice(slash + 1)) && prefix.length <= 253 && subdomainText.test(prefix);
}

// Derived keys (`io.cilium.k8s.namespace.labels.<key>`) may be longer than a label name may be.
function validNamespaceLabelKey(key: string): boolean {
  return key.startsWith('io.cilium.k8s.') && key.length <= 317 && key.split('.').every((part) => part === '' || nameText.test(part));
}

function bad(message: string, hint: string): Result<never> {
  return fail({ code: 'model/invalid-selector', message, hint });
}
