// Results as numbers, as Markdown and as JSON. A result without its machine, date and commit is worth nothing, so they are part of it.
import { execFileSync } from 'node:child_process';
import { cpus, release } from 'node:os';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../../../..');

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

export interface Budget {
  /** `max`: must not exceed it (costs); `min`: not fall below (rates). */
  readonly kind: 'max' | 'min';
  /** Of the ratio; `value` in its place is in the row's own unit. */
  readonly ratio?: number;
  readonly value?: number;
}

export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly value: Spread;
  /** Ratio to the reference row of the same round. */
  readonly ratio?: Spread;
  readonly reference?: string;
  readonly budget?: Budget;
  readonly note?: string;
  /** The same in a unit that carries over to other machines; see the report's notes. */
  readonly units?: Spread;
}

export interface Report {
  readonly bench: string;
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  readonly rounds: number;
  readonly rows: readonly Row[];
  readonly notes: readonly string[];
}

export function spread(samples: readonly number[]): Spread {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { min: sorted[0] ?? Number.NaN, median: sorted.length === 0 ? Number.NaN : median, max: sorted.at(-1) ?? Number.NaN };
}

export interface Series {
  readonly name: string;
  readonly samples: readonly number[];
  readonly reference: readonly number[];
  readonly referenceName: string;
  readonly unit: string;
  readonly budget?: Budget;
  readonly note?: string;
  readonly units?: readonly number[];
}

/** Ratios are taken inside each round: what disturbs the machine disturbs both. */
export function rowOf(s: Series): Row {
  const ratios = s.samples.map((v, i) => v / s.reference[i]!);
  return {
    name: s.name,
    unit: s.unit,
    value: spread(s.samples),
    ratio: spread(ratios),
    reference: s.referenceName,
    ...(s.budget === undefined ? {} : { budget: s.budget }),
    ...(s.note === undefined ? {} : { note: s.note }),
    ...(s.units === undefined ? {} : { units: spread(s.units) }),
  };
}

/** A row that stands for itself: nothing of its kind to compare with on this machine. */
export function plainRow(
  name: string,
  unit: string,
  samples: readonly number[],
  more: { readonly max?: number; readonly note?: string } = {},
): Row {
  return {
    name,
    unit,
    value: spread(samples),
    ...(more.max === undefined ? {} : { budget: { kind: 'max', value: more.max } }),
    ...(more.note === undefined ? {} : { note: more.note }),
  };
}

/** The value below which `share` of the samples lie (nearest rank). */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** Undefined when the row has no budget. */
export function within(row: Row): boolean | undefined {
  const { budget } = row;
  if (budget === undefined) return undefined;
  const [measured, limit] = budget.value === undefined ? [row.ratio?.median, budget.ratio] : [row.value.median, budget.value];
  if (measured === undefined || limit === undefined) return undefined;
  return budget.kind === 'max' ? measured <= limit : measured >= limit;
}

export function createReport(bench: string, rounds: number, rows: readonly Row[], notes: readonly string[] = []): Report {
  return { bench, date: new Date().toISOString().slice(0, 16), commit: commit(), machine: machine(), rounds, rows, notes };
}

export function markdown(r: Report): string {
  const digits = (n: number): string => (n >= 100 ? n.toFixed(0) : n.toFixed(n >= 10 ? 1 : 2));
  const cell = (s: Spread): string => `${digits(s.min)} / **${digits(s.median)}** / ${digits(s.max)}`;
  const budget = (row: Row): string =>
    row.budget === undefined
      ? ''
      : `${row.budget.kind === 'max' ? '≤' : '≥'} ${row.budget.value === undefined ? row.budget.ratio : `${row.budget.value} ${row.unit}`}`;
  const mark = (row: Row): string => ({ true: 'yes', false: '**no**', undefined: '' })[String(within(row)) as 'true'];
  return [
    `### ${r.bench}`,
    '',
    `${r.date} UTC, commit ${r.commit}, ${r.machine}, ${r.rounds} interleaved rounds; min / **median** / max, ratios within a round.`,
    '',
    '| case | value | ratio | to | budget | met | units | note |',
    '|---|---|---|---|---|---|---|---|',
    ...r.rows.map(
      (x) =>
        `| ${x.name} | ${cell(x.value)} ${x.unit} | ${x.ratio === undefined ? '' : cell(x.ratio)} | ${x.reference ?? ''} | ${budget(x)} | ${mark(x)} | ${x.units === undefined ? '' : cell(x.units)} | ${x.note ?? ''} |`,
    ),
    '',
    ...r.notes.map((n) => `- ${n}`),
    '',
  ].join('\n');
}

function commit(): string {
  try {
    return execFileSync('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD'], { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim();
  } catch {
    return 'unknown';
  }
}

function machine(): string {
  const all = cpus();
  return `${all.length} × ${(all[0]?.model ?? 'CPU').trim()}, Linux ${release()}, Node ${process.version}`;
}
