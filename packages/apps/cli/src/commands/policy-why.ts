// `axoneme policy why`: which rule decides a connection, what it is short of, and the smallest change that decides it the other way.
import {
  type ConnectionVerdict,
  type Edit,
  editText,
  type FlipResult,
  findFlips,
  type NearMiss,
  nearMisses,
  originText,
  type Question,
  removalsThatDeny,
  verdictsOn,
} from '@axoneme/policy';
import { json, type Output } from '../output.ts';
import type { Model } from '../policy/model.ts';
import { askQuestions, mergeFamilies, renderHops, type VerdictQuery, verdictCodes, verdictJson, verdictTitle } from './policy-verdict.ts';

interface Explanation {
  readonly question: Question;
  readonly verdict: ConnectionVerdict;
  /** Of the directions that deny. */
  readonly near: readonly NearMiss[];
  readonly flips: FlipResult;
  /** Entries that would have to go for an allowed connection to be denied. */
  readonly removals: readonly Edit[];
}

/** Alternatives that are shown; the lightest come first. */
const alternativesMax = 3;

function explain(model: Model, question: Question): Explanation {
  const { scene } = model;
  const verdict = verdictsOn(scene, [question])[0]!;
  const denied = verdict.hops.filter((h) => !h.allowed);
  return {
    question,
    verdict,
    near: denied.flatMap((h) => (h.reason === 'default-deny' ? nearMisses(scene, question, h.direction) : [])),
    flips: verdict.allowed ? { flips: [], proven: true } : findFlips(scene, question, { flipsMax: alternativesMax }),
    removals: verdict.allowed ? removalsThatDeny(scene, question) : [],
  };
}

function renderFlips(e: Explanation, model: Model): string {
  const { flips, proven } = e.flips;
  const [first] = flips;
  if (first === undefined) return '  no change was found that lets it pass\n';
  const n = first.edits.length;
  const size = n === 1 ? '1 edit' : `${n} edits${proven ? '; fewer do not' : ''}`;
  const lines = [`  ${proven ? 'smallest change' : 'a change'} that lets it pass (${size}):`];
  flips.forEach((f, i) => {
    f.edits.forEach((edit, j) => {
      const lead = j > 0 ? 'and ' : i > 0 ? 'or  ' : '    ';
      lines.push(`    ${lead}${editText(edit, model.scene.rules)}`);
    });
  });
  return `${lines.join('\n')}\n`;
}

function renderRemovals(e: Explanation, model: Model): string {
  if (e.removals.length === 0) return '  removing rules would not deny it\n';
  return `  it would be denied without:\n${e.removals.map((r) => `    ${editText(r, model.scene.rules).replace(/^remove /, '')}\n`).join('')}`;
}

function renderNear(near: readonly NearMiss[]): string {
  if (near.length === 0) return '';
  const lines = near.map((n) => `    ${originText(n.origin)}: ${n.missing.join('; ')}\n`);
  return `  nearest rules that allow:\n${lines.join('')}`;
}

const renderExplanation = (e: Explanation, model: Model): string =>
  `${renderHops(e.verdict)}${e.verdict.allowed ? renderRemovals(e, model) : `${renderNear(e.near)}${renderFlips(e, model)}`}`;

const explanationJson = (e: Explanation, model: Model): object => ({
  ...verdictJson(e.verdict),
  near: e.near.map((n) => ({ rule: n.origin.text, tier: n.tier, missing: n.missing })),
  changes: e.flips.flips.map((f) => f.edits.map((edit) => ({ kind: edit.kind, text: editText(edit, model.scene.rules) }))),
  smallest: e.flips.proven,
  deniedWithout: e.removals.map((r) => editText(r, model.scene.rules).replace(/^remove /, '')),
});

export function policyWhy(model: Model, q: VerdictQuery, asJson: boolean, out: Output): number {
  const all = askQuestions(model, q).map((question) => explain(model, question));
  if (asJson) {
    const { from, to } = all[0]!.question;
    const allowed = all.every((e) => e.verdict.allowed);
    out.write(json({ from: from.name, to: to.name, allowed, explanations: all.map((e) => explanationJson(e, model)) }));
  } else {
    const blocks = all.map((e) => ({
      family: e.question.family,
      title: verdictTitle(e.verdict, e.question),
      body: renderExplanation(e, model),
    }));
    out.write(mergeFamilies(blocks));
  }
  return all.every((e) => e.verdict.allowed) ? verdictCodes.allowed : verdictCodes.denied;
}
