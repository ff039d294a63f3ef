// The table of verdicts: every pair of actors × ports × protocols × families, asked at once, compared with what a case expects.
// A denied cell must also have been reported as dropped, with the reason that was expected.
import type { Fixture } from '../fixture.ts';
import { until } from '../fixture.ts';
import type { Cast } from './actors.ts';
import type { Api } from './api.ts';
import { type Cell, type Expect, ipOf, type Protocol } from './cell.ts';
import type { DropLog, FlowLine } from './drops.ts';
import type { AnswerLetter, Question } from './prober.ts';

export interface Table {
  readonly fixture: Fixture;
  readonly api: Api;
  readonly cast: Cast;
  /** Resolves when the table was as expected twice in a row, with every drop reported; the error shows the differences. */
  matches(expect: Expect, o?: MatchOptions): Promise<MatchReport>;
}

export interface MatchOptions {
  /** Ports asked beside the usual ones. */
  readonly ports?: readonly [Protocol, number][];
  /** Cells that are asked at all; default: all with a pod at one end. */
  readonly among?: (c: Cell) => boolean;
  readonly withinMs?: number;
  /** Nobody reports drops at the moment. */
  readonly silent?: boolean;
  /** How long a change may take that shows in the report only. */
  readonly reportWithinMs?: number;
  /** Asked about every cell with what was reported of it; an answer is what is wrong. The log must hold forwarded packets too. */
  readonly report?: (c: Cell, lines: readonly FlowLine[]) => string | undefined;
}

export interface MatchReport {
  readonly cells: number;
  readonly denied: number;
  readonly rounds: number;
  readonly ms: number;
}

const usualPorts: readonly [Protocol, number][] = [
  ['tcp', 80],
  ['tcp', 81],
  ['udp', 80],
  ['udp', 81],
  ['icmp', 0],
];

/** Silence is a verdict after this long while a change is awaited, … */
const HASTY_MS = 120;
/** … for what should be dropped, once the table is as expected, … */
const SILENCE_MS = 200;
/** … and for what should pass: a packet may be late on a busy machine. */
const PATIENT_MS = 3_000;
const WITHIN_MS = 10_000;
const SHOWN_MAX = 24;

export const isLocalHost = (c: Cell): boolean => c.from.kind === 'host' && c.to.kind === 'pod' && c.from.node === c.to.node;

export function cellText(c: Cell): string {
  const path = c.from.node !== '' && c.to.node !== '' ? (c.from.node === c.to.node ? ' same node' : ' other node') : '';
  return `${c.from.name} -> ${c.to.name} ${c.protocol}${c.protocol === 'icmp' ? '' : `/${c.port}`} v${c.family}${path}`;
}

/** Cells with a pod at one end at least: between the others no policy of pods has a say. */
const concernsPods = (c: Cell): boolean => c.from.kind === 'pod' || c.to.kind === 'pod';

export function cellsOf(cast: Cast, o: MatchOptions): Cell[] {
  const cells: Cell[] = [];
  for (const from of cast.actors.filter((a) => a.voice !== undefined)) {
    for (const to of cast.actors.filter((a) => a !== from)) {
      const ports: readonly (readonly [Protocol, number])[] =
        to.onlyPort === undefined ? [...usualPorts, ...(o.ports ?? [])] : [['tcp', to.onlyPort]];
      for (const family of [4, 6] as const)
        if (ipOf(to, family) !== '') for (const [protocol, port] of ports) cells.push({ from, to, protocol, port, family });
    }
  }
  return cells.filter(o.among ?? concernsPods);
}

async function ask(cells: readonly Cell[], timeoutOf: (c: Cell) => number): Promise<AnswerLetter[]> {
  const seen: AnswerLetter[] = cells.map(() => 'e');
  const speakers = [...new Set(cells.map((c) => c.from))];
  await Promise.all(
    speakers.map(async (speaker) => {
      const own = cells.flatMap((c, i) => (c.from === speaker ? [i] : []));
      const questions = own.map((i): Question => {
        const c = cells[i]!;
        return { protocol: c.protocol, address: ipOf(c.to, c.family), port: c.port, timeoutMs: timeoutOf(c) };
      });
      const letters = (await speaker.voice?.ask(questions)) ?? [];
      for (const [k, i] of own.entries()) seen[i] = letters[k] ?? 'e';
    }),
  );
  return seen;
}

/** A refused port was reached: policies drop, they never refuse. */
const passed = (letter: AnswerLetter): boolean => letter === '1' || letter === 'r';

function differences(cells: readonly Cell[], expect: Expect, seen: readonly AnswerLetter[]): string[] {
  return cells.flatMap((c, i) => {
    const wanted = expect(c);
    const letter = seen[i]!;
    if (passed(letter) === (wanted === 'pass') && (letter === '0' || passed(letter))) return [];
    return [`${cellText(c)}: expected ${wanted}, seen ${passed(letter) ? 'pass' : letter === '0' ? 'silence' : `error ${letter}`}`];
  });
}

export function shorten(lines: readonly string[]): string {
  const rest = lines.length - SHOWN_MAX;
  return [...lines.slice(0, SHOWN_MAX), ...(rest > 0 ? [`… and ${rest} more`] : [])].join('\n');
}

/** Drops of the cells that should be dropped: each reported, with the reason that was expected. */
async function reasons(cells: readonly Cell[], expect: Expect, drops: DropLog, sinceMark: number): Promise<string[]> {
  const denied = cells.filter((c) => expect(c) !== 'pass');
  let missing: string[] = [];
  const look = (): string[] =>
    denied.flatMap((c) => {
      const seen = drops.reasonsOf(c, sinceMark);
      const wanted = expect(c);
      return seen.length > 0 && seen.every((r) => r === wanted)
        ? []
        : [`${cellText(c)}: expected drop ${wanted}, reported ${seen.join(' ') || 'nothing'}`];
    });
  await until('every drop is reported', 3_000, async () => {
    missing = look();
    return missing.length === 0 ? true : undefined;
  }).catch(() => undefined);
  return missing;
}

/** Whether everything is reported as `o.report` wants it; what differs otherwise. */
async function reported(cells: readonly Cell[], drops: DropLog, mark: number, o: MatchOptions): Promise<string[]> {
  let wrong: string[] = [];
  await until('everything is reported', 2_000, async () => {
    wrong = cells.flatMap((c) => {
      const problem = o.report?.(c, drops.linesOf(c, mark));
      return problem === undefined ? [] : [`${cellText(c)}: ${problem}`];
    });
    return wrong.length === 0 ? true : undefined;
  }).catch(() => undefined);
  return wrong;
}

export async function matchTable(cast: Cast, drops: DropLog, expect: Expect, o: MatchOptions): Promise<MatchReport> {
  const started = performance.now();
  const cells = cellsOf(cast, o);
  let rounds = 0;
  let last: string[] = [];
  const fail = (when: string, lines: readonly string[]): never => {
    throw new Error(`${lines.length} of ${cells.length} cells differ ${when}:\n${shorten(lines)}`);
  };
  const hasty = async (): Promise<true | undefined> => {
    rounds++;
    last = differences(cells, expect, await ask(cells, () => HASTY_MS));
    return last.length === 0 ? true : undefined;
  };
  await until('the table is as expected', o.withinMs ?? WITHIN_MS, hasty, 20).catch(() => fail(`after ${rounds} rounds`, last));
  const reportUntil = performance.now() + (o.reportWithinMs ?? 0);
  for (;;) {
    const mark = drops.mark();
    const again = differences(cells, expect, await ask(cells, (c) => (expect(c) === 'pass' ? PATIENT_MS : SILENCE_MS)));
    if (again.length > 0) fail('when asked again', again);
    const wrong = o.silent === true ? [] : await reasons(cells, expect, drops, mark);
    if (wrong.length === 0 && o.report !== undefined) wrong.push(...(await reported(cells, drops, mark, o)));
    if (wrong.length === 0) break;
    if (performance.now() > reportUntil) fail('in what is reported', wrong);
  }
  return { cells: cells.length, denied: cells.filter((c) => expect(c) !== 'pass').length, rounds, ms: performance.now() - started };
}
