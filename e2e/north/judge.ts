// Asks the cells of the matrix, as many at once as their clients can, and says where an answer is not what the rule expects.
import { type Cell, cellText, type Expected, expectedOf, type NodePlace } from './rule.ts';
import type { Stage } from './stage.ts';
import type { Client, Nothing, WhoAnswer, WhoQuestion } from './who.ts';

const ANSWER_MS = 5000;
const SILENCE_MS = 700;
/** Lost datagrams of one cell: more is no accident. */
const LOST_MAX = 2;
/** By the number of backends: that many lots miss one of them less often than once in ten million. */
const lots = [2, 2, 26, 46];

export interface Asked {
  readonly cell: Cell;
  readonly expected: Expected;
  readonly answers: readonly (WhoAnswer | Nothing)[];
  /** Datagrams that had to be asked twice. */
  readonly twice: number;
}

/** Addresses that the world has by a route, not by the node that is asked. */
const isRouted = (c: Cell): boolean => c.asker.kind === 'outside' && (c.kind === 'LoadBalancer' || c.kind === 'ExternalIP');

const FIRST_PORT = 10_000;
const PORTS = 50_000;
const nextPorts = new Map<string, number>();

/**
 * A client outside uses a port once: the second of two connections with the same port at two addresses of a backend may be refused
 * (docs/critiques.md). Datagrams need not care (one-port.ts).
 */
function portOf(c: Cell): number {
  if (c.asker.kind !== 'outside') return 0;
  const key = `${c.family} ${c.protocol}`;
  const next = nextPorts.get(key) ?? 0;
  nextPorts.set(key, next + 1);
  return FIRST_PORT + (next % PORTS);
}

interface Manner {
  /** Questions of a cell; otherwise as many as show all of its backends. */
  readonly lots?: number;
  readonly patienceMs?: number;
  /** Datagrams without an answer are asked once more, as every client of UDP does. */
  readonly twice?: boolean;
}

type Answers = (WhoAnswer | Nothing)[];

/** Puts second answers in the place of silences; how many there were. */
async function askTwice(client: Client, questions: readonly WhoQuestion[], answers: Answers): Promise<number> {
  const lost = questions.flatMap((q, i) => (q.protocol === 'UDP' && typeof answers[i] === 'string' ? [i] : []));
  if (lost.length === 0 || lost.length > LOST_MAX) return 0;
  const second = await client.ask(lost.map((i) => ({ ...questions[i]!, sourcePort: 0 })));
  lost.forEach((i, n) => {
    answers[i] = second[n]!;
  });
  return lost.length;
}

async function askNow(s: Stage, cells: readonly Cell[], how: Manner): Promise<Asked[]> {
  const byClient = Map.groupBy(cells, (c) => c.asker);
  const asked = await Promise.all(
    [...byClient].map(async ([asker, list]): Promise<Asked[]> => {
      const plan = list.map((cell) => {
        const expected = expectedOf(s, cell);
        const size = expected === 'nothing' ? 0 : expected.size;
        const question = {
          protocol: cell.protocol,
          ...s.targetOf(cell),
          timeoutMs: size === 0 ? SILENCE_MS : (how.patienceMs ?? ANSWER_MS),
        };
        const questions = Array.from({ length: how.lots ?? lots[size] ?? 60 }, () => ({ ...question, sourcePort: portOf(cell) }));
        return { cell, expected, questions };
      });
      // silences together: they cost their patience once
      plan.sort((a, b) => Number(b.expected === 'nothing') - Number(a.expected === 'nothing'));
      const client = s.clientOf(asker);
      const all: Answers = [...(await client.ask(plan.flatMap((p) => p.questions)))];
      const cut = plan.map((p) => ({ ...p, answers: all.splice(0, p.questions.length) }));
      const out: Asked[] = [];
      for (const { cell, expected, questions, answers } of cut) {
        const twice = how.twice === true && expected !== 'nothing' ? await askTwice(client, questions, answers) : 0;
        out.push({ cell, expected, answers, twice });
      }
      return out;
    }),
  );
  return asked.flat();
}

/** Cells that need a route of the world are asked node by node. */
export async function askCells(s: Stage, cells: readonly Cell[], how: Manner = {}): Promise<Asked[]> {
  const routed = (n: NodePlace): Cell[] => cells.filter((c) => isRouted(c) && c.via === n);
  const out: Asked[] = [];
  let rest = cells.filter((c) => !isRouted(c));
  for (const n of s.nodes) {
    await s.routeBy(n);
    out.push(...(await askNow(s, [...routed(n), ...rest], how)));
    rest = [];
  }
  return out;
}

const show = (a: WhoAnswer | Nothing): string => (typeof a === 'string' ? a : `${a.backend} saw ${a.source}`);
const counted = (all: readonly string[]): string => [...Map.groupBy(all, (x) => x)].map(([x, l]) => `${l.length} × ${x}`).join(', ');

/** What is wrong with a cell, or nothing. */
export function faultOf({ cell, expected, answers }: Asked): string | undefined {
  if (expected === 'nothing') {
    if (answers.every((a) => typeof a === 'string')) return undefined;
    return `${cellText(cell)}: expected nobody to answer, got ${counted(answers.map(show))}`;
  }
  const good = answers.every((a) => typeof a !== 'string' && expected.get(a.backend)?.includes(a.source) === true);
  const seen = new Set(answers.map((a) => (typeof a === 'string' ? '' : a.backend)));
  if (good && [...expected.keys()].every((b) => seen.has(b))) return undefined;
  const wanted = [...expected].map(([b, sources]) => `${b} saw ${sources.join(' or ')}`).join(', ');
  return `${cellText(cell)}: expected ${wanted}; got ${counted(answers.map(show))}`;
}

/**
 * The kernel's own search for a UDP socket overlooks one in a million while others are bound and closed (docs/critiques.md): that few may have
 * been asked twice. Says which.
 */
export const askedTwice = (all: readonly Asked[]): string[] =>
  all.filter((a) => a.twice > 0).map((a) => `${a.twice} × ${cellText(a.cell)}`);
export const TWICE_MAX = 2;

const CONVERGE_MS = 20_000;
const PATIENCE_MS = 500;

/** Resolves when whoever must be answered has been answered once, or after a while: then the cells say what is wrong. */
export async function converge(s: Stage, cells: readonly Cell[]): Promise<void> {
  const end = performance.now() + CONVERGE_MS;
  let open = cells.filter((c) => expectedOf(s, c) !== 'nothing');
  while (open.length > 0 && performance.now() < end)
    open = (await askCells(s, open, { lots: 1, patienceMs: PATIENCE_MS }))
      .filter((a) => a.answers.some((x) => typeof x === 'string'))
      .map((a) => a.cell);
}
