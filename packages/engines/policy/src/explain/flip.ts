// The smallest change that lets a dropped connection pass. Candidates are tried in order of their number of edits, and each is judged by the
// reference evaluator on the changed rules and labels. Called by `axoneme policy why`.
import { type LabelFilter, labelKeys, labelValue, matchesSelector } from '@axoneme/model';
import type { Judgement } from '../judge.ts';
import { type Direction, directions, type Rule } from '../rules.ts';
import { labelEdits, ruleEdits, selects } from './edit-space.ts';
import { applyEdits, type Edit, type Situation } from './edits.ts';
import { hopsOf, type Question, type Scene } from './scene.ts';
import { judgeHop } from './verdict.ts';

export interface Flip {
  /** Together they let it pass; what people do most lightly first. */
  readonly edits: readonly Edit[];
}

export interface FlipResult {
  /** All of the same, smallest size, the lightest first; empty if nothing was found or nothing is to be changed. */
  readonly flips: readonly Flip[];
  /** False: the search ended early; a smaller change may exist. */
  readonly proven: boolean;
}

export interface FlipOptions {
  readonly labelFilter?: LabelFilter | undefined;
  /** Verdicts the search may ask for; default 60,000. */
  readonly verdictsMax?: number | undefined;
  /** Flips that are returned; default 8. */
  readonly flipsMax?: number | undefined;
}

/** Of equal numbers of edits the lighter ones are shown first. */
const weights: Readonly<Record<Edit['kind'], number>> = {
  label: 0,
  'add-port': 1,
  'add-peer': 2,
  'namespace-label': 3,
  'add-exception': 4,
  'add-entry': 5,
  'add-policy': 6,
  'remove-entry': 7,
  'stop-isolating': 8,
};

/** How far from what was probably meant: a label that replaces another, and one by which the subject escapes its policies, are far. */
function weightIn(start: Situation, e: Edit): number {
  if (e.kind !== 'label' && e.kind !== 'namespace-label') return weights[e.kind];
  const after = applyEdits(start, [e]);
  const hops = hopsOf(start.question);
  const escapes = hopsOf(after.question).some((hop, i) =>
    start.rules.some((r) => selects(r, hops[i]!.subject) && !selects(r, hop.subject)),
  );
  const key = e.kind === 'label' ? e.key : labelKeys.namespaceLabelPrefix + e.key;
  const ends = [start.question.from, start.question.to].filter((end) => e.kind === 'namespace-label' || end.name === e.end);
  const replaces = ends.some((end) => end.kind === 'pod' && labelValue(end.labels, 'k8s', key) !== undefined);
  return weights[e.kind] + (escapes ? 9 : 0) + (replaces ? 4 : 0) + (e.value === undefined ? 1 : 0);
}

interface Search {
  readonly scene: Scene;
  readonly start: Situation;
  budget: number;
}

const verdictsDefault = 60_000;
/** Of more rules only those are searched that one edit could bring in. */
const rulesMax = 100;
/** More edits than this are no advice. */
const editsMax = 8;

export function findFlips(scene: Scene, question: Question, options: FlipOptions = {}): FlipResult {
  const isLarge = scene.rules.length > rulesMax;
  const kept = scene.rules.flatMap((r, i) => (!isLarge || isWithinReach(r, question) ? [i] : []));
  const near: Scene = { ...scene, rules: kept.map((i) => scene.rules[i]!) };
  const { flips, proven } = searchFlips(near, question, options);
  // Any set of two or more is smallest if no single edit does, and for those the rules left out do not count.
  const isExact = kept.length === scene.rules.length || (flips[0]?.edits.length ?? 0) <= 2;
  return { flips: flips.map(({ edits }) => ({ edits: edits.map((e) => renumbered(e, kept)) })), proven: proven && isExact };
}

/** A rule that is two labels away from both ends cannot be brought in by one edit. */
function isWithinReach(rule: Rule, q: Question): boolean {
  return [q.from, q.to].some((end) => {
    if (end.kind !== 'pod' || rule.subjectKind !== 'endpoints') return selects(rule, end);
    const failing = rule.subject.requirements.filter((r) => !matchesSelector({ requirements: [r], text: '' }, end.labels));
    return new Set(failing.map((r) => r.key)).size <= 1;
  });
}

function renumbered(e: Edit, kept: readonly number[]): Edit {
  if ('at' in e) return { ...e, at: { ...e.at, rule: kept[e.at.rule]! } };
  return 'rule' in e ? { ...e, rule: kept[e.rule]! } : e;
}

function searchFlips(scene: Scene, question: Question, options: FlipOptions): FlipResult {
  const start: Situation = { rules: scene.rules, question };
  const search: Search = { scene, start, budget: options.verdictsMax ?? verdictsDefault };
  const flipsMax = options.flipsMax ?? 8;
  if (blockedIn(search, []).length === 0) return { flips: [], proven: true };
  const labels = labelEdits(start, options.labelFilter);
  for (let size = 1; size <= editsMax; size++) {
    const found: Edit[][] = [];
    for (let n = 0; n <= size && search.budget > 0; n++) {
      for (const subset of subsets(labels, n)) {
        found.push(...completions(search, subset, size - n));
        if (search.budget <= 0) break;
      }
    }
    if (found.length > 0) {
      const unique = [...new Map(found.map((f) => [key(f), f])).values()];
      return {
        flips: lightestFirst(start, unique)
          .slice(0, flipsMax)
          .map((edits) => ({ edits })),
        proven: search.budget > 0,
      };
    }
    if (search.budget <= 0) break;
  }
  const greedy = greedyFlip(search);
  return { flips: greedy === undefined ? [] : [{ edits: greedy }], proven: false };
}

const key = (edits: readonly Edit[]): string =>
  edits
    .map((e) => JSON.stringify(e))
    .sort()
    .join();

function lightestFirst(start: Situation, sets: readonly Edit[][]): Edit[][] {
  const memo = new Map<string, number>();
  const weightOf = (e: Edit): number => {
    const text = JSON.stringify(e);
    const weight = memo.get(text) ?? weightIn(start, e);
    memo.set(text, weight);
    return weight;
  };
  const weighed = sets.map((edits) => ({ edits, weight: edits.reduce((sum, e) => sum + weightOf(e), 0), name: key(edits) }));
  return weighed.sort((a, b) => a.weight - b.weight || (a.name < b.name ? -1 : 1)).map((w) => w.edits);
}

function* subsets<T>(items: readonly T[], size: number, from = 0): Generator<T[]> {
  if (size === 0) {
    yield [];
    return;
  }
  for (let i = from; i <= items.length - size; i++) for (const rest of subsets(items, size - 1, i + 1)) yield [items[i]!, ...rest];
}

function judgementOf(search: Search, edits: readonly Edit[], direction: Direction): Judgement | undefined {
  search.budget--;
  const { rules, question } = applyEdits(search.start, edits);
  return judgeHop(search.scene, rules, question, hopsOf(question).find((h) => h.direction === direction)!);
}

const blockedIn = (search: Search, edits: readonly Edit[]): Direction[] =>
  directions.filter((d) => judgementOf(search, edits, d)?.allowed === false);

/** Label edits fixed, the directions are independent: each gets its own smallest set of rule edits. Sets of exactly `size` in total. */
function completions(search: Search, labels: readonly Edit[], size: number): Edit[][] {
  const blocked = blockedIn(search, labels);
  const [first, second] = blocked;
  if (first === undefined) return size === 0 ? [[...labels]] : [];
  if (size < blocked.length) return [];
  const ofFirst = smallest(search, labels, first, size - blocked.length + 1);
  if (second === undefined) return ofFirst.filter((f) => f.length === size).map((f) => [...labels, ...f]);
  if (ofFirst.length === 0) return [];
  const left = size - ofFirst[0]!.length;
  const ofSecond = smallest(search, labels, second, left).filter((f) => f.length === left);
  return ofFirst.flatMap((a) => ofSecond.map((b) => [...labels, ...a, ...b]));
}

const widthMax = 64;

/** Smallest sets of rule edits for one direction, of at most `sizeMax`; empty if there are none. */
function smallest(search: Search, labels: readonly Edit[], direction: Direction, sizeMax: number): Edit[][] {
  const moves = movesOf(search, labels, direction);
  for (let size = 1; size <= sizeMax; size++) {
    const found: Edit[][] = [];
    descend(search, labels, direction, moves, [], size, found);
    if (found.length > 0) return found.slice(0, widthMax);
  }
  return [];
}

/** Steps of the search: single edits, and groups that show an effect only together. */
function movesOf(search: Search, labels: readonly Edit[], direction: Direction): Edit[][] {
  const edits = ruleEdits(applyEdits(search.start, labels), direction);
  const groups: Edit[][] = [];
  const peers = edits.filter((e) => e.kind === 'add-peer');
  for (const e of edits) {
    if (e.kind !== 'add-port') continue;
    const both = peers.find((p) => p.at.rule === e.at.rule && p.at.entry === e.at.entry);
    if (both !== undefined) groups.push([e, both]);
  }
  const stops = edits.filter((e) => e.kind === 'stop-isolating');
  if (stops.length > 1) groups.push(stops);
  return [...edits.map((e) => [e]), ...groups];
}

/** Depth first over moves that change the judgement; a move that changes nothing can come later in the same set. */
function descend(
  search: Search,
  labels: readonly Edit[],
  direction: Direction,
  moves: readonly Edit[][],
  taken: readonly Edit[],
  left: number,
  found: Edit[][],
): void {
  if (search.budget <= 0) return;
  const now = JSON.stringify(judgementOf(search, [...labels, ...taken], direction));
  for (const move of moves) {
    if (move.length > left || move.some((e) => taken.includes(e))) continue;
    const next = [...taken, ...move];
    const judgement = judgementOf(search, [...labels, ...next], direction);
    if (judgement?.allowed !== false) {
      if (move.length === left) found.push(next);
    } else if (move.length < left && JSON.stringify(judgement) !== now) {
      descend(search, labels, direction, moves, next, left - move.length, found);
    }
  }
}

/** Takes whatever is in the way out of it, one by one: never smallest for sure, but always something. */
function greedyFlip(search: Search): Edit[] | undefined {
  search.budget = 10_000;
  const out: Edit[] = [];
  for (const direction of directions) {
    const moves = movesOf(search, [], direction);
    for (let round = 0; round < 64; round++) {
      const now = judgementOf(search, out, direction);
      if (now?.allowed !== false) break;
      const next =
        moves.find((m) => judgementOf(search, [...out, ...m], direction)?.allowed !== false) ??
        moves.find(
          (m) => !m.some((e) => out.includes(e)) && JSON.stringify(judgementOf(search, [...out, ...m], direction)) !== JSON.stringify(now),
        );
      if (next === undefined) return undefined;
      out.push(...next);
    }
    if (judgementOf(search, out, direction)?.allowed === false) return undefined;
  }
  return out;
}
