// Compiled rows against the reference evaluator: random policies, pods, nodes and packets, in all layers.

import { expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { parsePolicy } from '../src/index.ts';
import { labArb } from './arbitraries.ts';
import { checkWorld, configArb, type Outcomes, patience, probesArb, scaled, seed } from './check.ts';
import { rulesArb } from './ir.ts';
import { objectsArb } from './kinds.ts';

jest.setTimeout(patience);
const decided = ['admin', 'normal', 'baseline'].flatMap((tier) => ['allow', 'deny'].map((reason) => `${tier} ${reason}`));
/** Every kind of outcome must be met, or the vocabulary is blind. */
const expected = [' default-deny', ' open', ' local-host', 'normal blocked', ...decided, ...decided.map((d) => `shadow ${d}`)];

const objectRuns = scaled(1200);
test(`rows and rules agree on every packet: policy objects (seed ${seed}, ${objectRuns} runs)`, () => {
  const outcomes: Outcomes = new Map();
  let checked = 0;
  fc.assert(
    fc.property(objectsArb, labArb, configArb, probesArb(40, 60), (objects, lab, cfg, probes) => {
      const parsed = objects.map((o) => parsePolicy(o, { clusterName: 'main' }));
      expect(parsed.flatMap((p) => (p.ok ? [] : p.error))).toEqual([]);
      const rules = parsed.flatMap((p) => (p.ok ? p.value.rules : []));
      checked += checkWorld(rules, lab, cfg, probes, outcomes);
    }),
    { numRuns: objectRuns, seed },
  );
  expect(checked).toBeGreaterThan(objectRuns * 40);
  expect([...outcomes.keys()]).toEqual(expect.arrayContaining(expected));
});

const ruleRuns = scaled(1800);
test(`rows and rules agree on every packet: tiers, pass, blocks, nodes, shadows, hosts (seed ${seed}, ${ruleRuns} runs)`, () => {
  const outcomes: Outcomes = new Map();
  let checked = 0;
  fc.assert(
    fc.property(rulesArb, labArb, configArb, probesArb(40, 60), (rules, lab, cfg, probes) => {
      checked += checkWorld(rules, lab, cfg, probes, outcomes);
    }),
    { numRuns: ruleRuns, seed },
  );
  expect(checked).toBeGreaterThan(ruleRuns * 40);
  expect([...outcomes.keys()]).toEqual(expect.arrayContaining(expected));
});

const reasonRuns = scaled(300);
test(`P1-a: the reported rule and reason are those of the reference, 100 % of 10000 random packets (seed ${seed})`, () => {
  let checked = 0;
  fc.assert(
    fc.property(fc.oneof(objectsArb.map(rulesOf), rulesArb), labArb, configArb, probesArb(40, 60), (rules, lab, cfg, probes) => {
      // Verdict, tier, reason and named rule; differences throw.
      checked += checkWorld(rules, lab, cfg, probes, new Map());
    }),
    { numRuns: reasonRuns, seed: seed + 1 },
  );
  expect(checked).toBeGreaterThan(reasonRuns * 34);
});

function rulesOf(objects: Parameters<typeof parsePolicy>[0][]) {
  return objects.flatMap((o) => {
    const parsed = parsePolicy(o, { clusterName: 'main' });
    return parsed.ok ? [...parsed.value.rules] : [];
  });
}
