// A plan as text, Markdown and JSON. Called by `policy plan`.
import { isNothing, type ReachChange, reachText } from '@axoneme/policy';
import { flowText } from './flows.ts';
import type { BrokenInvariant, PlanReport } from './plan-report.ts';

/** Longer lists end in a count: a comment on a pull request has a limit. */
const linesMax = 200;
const namesMax = 4;

function names(all: readonly string[]): string {
  if (all.length <= namesMax + 1) return all.join(', ');
  return `${all.slice(0, namesMax).join(', ')} and ${all.length - namesMax} more`;
}

const familyText = (c: ReachChange): string => (c.families === 'both' ? '' : `  (IPv${c.families} only)`);

function changeLines(c: ReachChange): string[] {
  const who = `${names(c.from)} -> ${names(c.to)}`;
  // Where both ends are of one family anyway, there is nothing to add.
  const family = [...c.from, ...c.to].some((n) => /[.:]\d|IPv[46]/.test(n)) ? '' : familyText(c);
  return [
    ...(isNothing(c.removed) ? [] : [`- ${who}: ${reachText(c.removed)}${family}`]),
    ...(isNothing(c.added) ? [] : [`+ ${who}: ${reachText(c.added)}${family}`]),
  ];
}

const capped = (lines: readonly string[]): string[] =>
  lines.length <= linesMax ? [...lines] : [...lines.slice(0, linesMax), `  … and ${lines.length - linesMax} more`];

const plural = (n: number, one: string): string => `${n} ${n === 1 ? one : `${one}s`}`;

export interface PlanSummary {
  readonly added: number;
  readonly removed: number;
  readonly flips: number;
  readonly broken: number;
}

const changed = (r: PlanReport): readonly ReachChange[] => r.plan.changes.filter((c) => c.existence === 'changed');

export function summaryOf(r: PlanReport): PlanSummary {
  return {
    added: changed(r).filter((c) => !isNothing(c.added)).length,
    removed: changed(r).filter((c) => !isNothing(c.removed)).length,
    flips: r.flows?.flips.length ?? 0,
    broken: r.broken.filter((b) => b.isNew).length,
  };
}

function headline(r: PlanReport): string {
  const s = summaryOf(r);
  const reach = s.added + s.removed === 0 ? 'Reachability does not change' : `Reachability: ${s.added} added, ${s.removed} removed`;
  const flows = r.flows === undefined ? '' : `; ${plural(s.flips, 'recorded flow')} ${s.flips === 1 ? 'flips' : 'flip'}`;
  return `${reach}${flows}${s.broken === 0 ? '' : `; ${plural(s.broken, 'invariant')} newly broken`}.`;
}

interface Section {
  readonly title: string;
  readonly lines: readonly string[];
  /** Lines start with + and -. */
  readonly isDiff?: boolean;
}

const invariantLine = (b: BrokenInvariant): string =>
  `${b.name} (${b.expect}, ${b.action})${b.isNew ? '' : ', as before'}: ${plural(b.pairs, 'pair')}; ${b.example}`;

const tables = [
  ['policy', 'policy'],
  ['subject', 'subject'],
  ['addr_class', 'addressClasses'],
  ['ipcache', 'ipcache'],
] as const;

function sections(r: PlanReport): Section[] {
  const { base, head } = r.occupancy;
  const of = (existence: ReachChange['existence']): string[] =>
    r.plan.changes.filter((c) => c.existence === existence).flatMap(changeLines);
  const nodes = [
    ...(r.nodes.names.length > 0 ? [names(r.nodes.names)] : []),
    ...(r.nodes.unplaced.length > 0 ? [`unknown for ${names(r.nodes.unplaced)}: the input does not say where they run`] : []),
  ];
  const flows = r.flows?.flips ?? [];
  const all: Section[] = [
    { title: 'Reachability', lines: of('changed'), isDiff: true },
    { title: `New workloads: ${names(r.plan.created)}`, lines: of('new'), isDiff: true },
    { title: `Workloads that are gone: ${names(r.plan.deleted)}`, lines: of('gone'), isDiff: true },
    { title: 'Recorded flows that flip', lines: flows.map((f) => `${f.allowed ? '+' : '-'} ${flowText(f)}`), isDiff: true },
    { title: 'Broken invariants', lines: [...r.broken.map(invariantLine), ...r.repaired.map((n) => `${n}: no longer broken`)] },
    { title: 'Map rows', lines: tables.map(([name, key]) => `${name}: ${base[key]} -> ${head[key]}${difference(head[key] - base[key])}`) },
    { title: 'Nodes touched', lines: nodes.length === 0 ? ['none'] : nodes },
  ];
  return all.filter((s) => s.lines.length > 0);
}

const difference = (n: number): string => (n === 0 ? '' : ` (${n > 0 ? '+' : ''}${n})`);

const unreadText = (r: PlanReport): string =>
  r.flows === undefined || r.flows.unknown === 0
    ? ''
    : `${r.flows.unknown} of ${plural(r.flows.read, 'recorded flow')} could not be matched to the input.\n`;

export function planText(r: PlanReport): string {
  const body = sections(r).map(
    (s) =>
      `\n${s.title}\n${capped(s.lines)
        .map((l) => `  ${l}\n`)
        .join('')}`,
  );
  return `${headline(r)}\n${unreadText(r)}${body.join('')}`;
}

/** For a comment; the marker lets a pipeline find its own and replace it. */
export function planMarkdown(r: PlanReport): string {
  const body = sections(r).map((s) => {
    const lines = capped(s.lines);
    const text = s.isDiff === true ? `\`\`\`diff\n${lines.join('\n')}\n\`\`\`` : lines.map((l) => `* ${l}`).join('\n');
    return `\n### ${s.title}\n\n${text}\n`;
  });
  return `<!-- axoneme-policy-plan -->\n## Network policy plan\n\n${headline(r)}\n${unreadText(r)}${body.join('')}`;
}

export function planJson(r: PlanReport): object {
  return {
    summary: summaryOf(r),
    changes: r.plan.changes.map((c) => ({
      from: c.from,
      to: c.to,
      families: c.families === 'both' ? [4, 6] : [c.families],
      existence: c.existence,
      added: reachText(c.added),
      removed: reachText(c.removed),
    })),
    created: r.plan.created,
    deleted: r.plan.deleted,
    touched: r.plan.touched,
    flows: r.flows === undefined ? null : { read: r.flows.read, unknown: r.flows.unknown, flips: r.flows.flips },
    invariants: { broken: r.broken, repaired: r.repaired },
    rows: r.occupancy,
    nodes: r.nodes,
  };
}
