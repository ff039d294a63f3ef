// `axoneme policy plan`: what a change will do, before it is done.
import { readFileSync } from 'node:fs';
import { AppError } from '@axoneme/std';
import { json, type Output } from '../output.ts';
import { type PlanInput, reportPlan } from '../policy/plan-report.ts';
import { planJson, planMarkdown, planText } from '../policy/plan-text.ts';

export interface PlanQuery {
  readonly format: 'text' | 'json' | 'markdown';
  /** File with lines of `axoneme monitor -o json`; `-` is standard input. */
  readonly flows: string | undefined;
}

/** Exit codes of `plan`: 3 if the head breaks an invariant with action Refuse that the base keeps; the cluster would refuse the change. */
export const planCodes = { done: 0, refused: 3 } as const;

function readLines(path: string, stdin: () => string): string[] {
  try {
    return (path === '-' ? stdin() : readFileSync(path, 'utf8')).split('\n');
  } catch (cause) {
    throw new AppError({ code: 'cli/no-file', message: `${path} cannot be read`, cause });
  }
}

export function policyPlan(base: PlanInput, head: PlanInput, q: PlanQuery, io: { readonly out: Output; stdin(): string }): number {
  const report = reportPlan(base, head, q.flows === undefined ? undefined : readLines(q.flows, io.stdin));
  if (q.format === 'json') io.out.write(json(planJson(report)));
  else io.out.write(q.format === 'markdown' ? planMarkdown(report) : planText(report));
  return report.broken.some((b) => b.isNew && b.action === 'Refuse') ? planCodes.refused : planCodes.done;
}
