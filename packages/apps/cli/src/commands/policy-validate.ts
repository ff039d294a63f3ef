// `axoneme policy validate`: what is wrong with policies, without a cluster.

import { json, type Output } from '../output.ts';
import { coveredFindings } from '../policy/covered.ts';
import type { Documents } from '../policy/documents.ts';
import { byPlace, type Finding, type Validation, validate } from '../policy/findings.ts';
import { messageText, sarif } from '../policy/sarif.ts';
import { buildWorld, type WorldConfig } from '../policy/world.ts';

export interface ValidateQuery {
  readonly format: 'text' | 'json' | 'sarif';
  /** Warnings fail too. */
  readonly strict: boolean;
}

/** Exit codes of `validate`: pipelines tell warnings from errors. */
export const validateCodes = { clean: 0, warnings: 1, errors: 2 } as const;

const countOf = (findings: readonly Finding[], level: Finding['level']): number => findings.filter((f) => f.level === level).length;
const plural = (n: number, one: string): string => `${n} ${n === 1 ? one : `${one}s`}`;

export function renderFindings(v: Validation): string {
  const lines = v.findings.map((f) => `${f.file}:${f.line}: ${f.level}: ${messageText(f)} [${f.rule}]\n`);
  const sum = [plural(countOf(v.findings, 'error'), 'error'), plural(countOf(v.findings, 'warning'), 'warning')].join(', ');
  return `${lines.join('')}${plural(v.checked, 'object')} checked: ${sum}\n`;
}

export function validatePolicies(documents: Documents, config: WorldConfig, q: ValidateQuery, out: Output): number {
  const world = buildWorld(documents.manifests, config);
  const checked = validate(documents, world, config);
  const v = { ...checked, findings: [...checked.findings, ...coveredFindings(checked, world, config)].sort(byPlace) };
  const errors = countOf(v.findings, 'error');
  const warnings = countOf(v.findings, 'warning');
  if (q.format === 'text') out.write(renderFindings(v));
  else if (q.format === 'sarif') out.write(json(sarif(v.findings)));
  else out.write(json({ checked: v.checked, errors, warnings, findings: v.findings }));
  if (errors > 0) return validateCodes.errors;
  return q.strict && warnings > 0 ? validateCodes.warnings : validateCodes.clean;
}
