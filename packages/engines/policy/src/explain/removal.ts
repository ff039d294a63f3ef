// What would have to go for an allowed connection to be denied. Called by `axoneme policy why`.
import { type Direction, directions } from '../rules.ts';
import { applyEdits, type Edit, type Situation } from './edits.ts';
import { hopsOf, type Question, type Scene } from './scene.ts';
import { judgeHop } from './verdict.ts';

const roundsMax = 16;

/** The fewest entries whose removal denies it; empty if no removal does: nothing isolates, or the host may always pass. */
export function removalsThatDeny(scene: Scene, question: Question): Edit[] {
  const ways = directions.flatMap((d) => {
    const way = removalsAt(scene, question, d);
    return way === undefined ? [] : [way];
  });
  return ways.length === 0 ? [] : ways.reduce((least, w) => (w.length < least.length ? w : least));
}

/** All that allow stand together: each of them alone would still let it pass. */
function removalsAt(scene: Scene, question: Question, direction: Direction): Edit[] | undefined {
  const start: Situation = { rules: scene.rules, question };
  const removed: Edit[] = [];
  for (let round = 0; round < roundsMax; round++) {
    const { rules } = applyEdits(start, removed);
    const verdict = judgeHop(scene, rules, question, hopsOf(question).find((h) => h.direction === direction)!);
    if (verdict === undefined) return undefined;
    if (!verdict.allowed) return removed;
    if (verdict.rules.length === 0) return undefined;
    for (const id of new Set(verdict.rules)) {
      const rule = scene.rules.findIndex((r) => r.entries.some((e) => e.id === id));
      if (rule < 0) return undefined;
      removed.push({ kind: 'remove-entry', rule, id });
    }
  }
  return undefined;
}
