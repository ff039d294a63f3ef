// Selectors on labels that no identity has: they match nobody, and nothing else tells the user. Called by the parsers.
import { type LabelFilter, labelKeys, type Selector } from '@axoneme/model';
import type { IssueList } from './issues.ts';

const labelledBy: readonly string[] = ['k8s', 'any'];

/** `selector` as written, before scoping. */
export function lintLabels(issues: IssueList, path: string, selector: Selector, filter: LabelFilter): void {
  const seen = new Set<string>();
  for (const { source, key, operator } of selector.requirements) {
    if (!labelledBy.includes(source) || seen.has(key) || filter.keeps({ source: 'k8s', key, value: '' })) continue;
    seen.add(key);
    const effect = operator === 'In' || operator === 'Exists' ? 'the selector matches nobody' : 'the requirement excludes nobody';
    const shownKey = key.startsWith(labelKeys.namespaceLabelPrefix) ? key.slice(labelKeys.namespaceLabelPrefix.length) : key;
    issues.lint(
      path,
      `label "${shownKey.slice(0, 80)}" is no part of identities: ${effect}`,
      'select by a label that describes the workload',
    );
  }
}
