// Compiled rows against the reference evaluator: random policies, pods, nodes and packets, in all layers.

import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parsePolicy } from '../src/index.ts';
import { labArb, policiesArb } from './arbitraries.ts';
import { checkWorld, configArb, type Outcomes, patience, probesArb, scaled, seed } from './check.ts';
import { rulesArb } from './ir.ts';

const objectRuns = scaled(1200);
const ruleRuns = scaled(1800);

test(
  `rows and rules agree on every packet: policy objects (seed ${seed}, ${objectRuns} runs)`,
  () => {
    const outcomes: Outcomes = new Map();
    let checked = 0;
    fc.assert(
      fc.property(policiesArb, labArb, configArb, probesArb(40, 60), (objects, lab, cfg, probes) => {
        const parsed = objects.map((o) => parsePolicy(o, { clusterName: 'main' }));
        expect(parsed.flatMap((p) => (p.ok ? [] : p.error))).toEqual([]);
        const rules = parsed.flatMap((p) => (p.ok ? p.value.rules : []));
        checked += checkWorld(rules, lab, cfg, probes, outcomes);
      }),
      { numRuns: objectRuns, seed },
    );
    expect(checked).toBeGreaterThan(objectRuns * 20);
    // Every kind of outcome has been met, so the vocabulary is not blind.
    for (const o of [' default-deny', ' open', ' local-host', 'normal allow', 'normal blocked', 'normal deny'])
      expect([...outcomes.keys()]).toContain(o);
  },
  patience,
);

test(
  `rows and rules agree on every packet: tiers, pass, blocks, nodes, shadows, hosts (seed ${seed}, ${ruleRuns} runs)`,
  () => {
    const outcomes: Outcomes = new Map();
    let checked = 0;
    fc.assert(
      fc.property(rulesArb, labArb, configArb, probesArb(40, 60), (rules, lab, cfg, probes) => {
        checked += checkWorld(rules, lab, cfg, probes, outcomes);
      }),
      { numRuns: ruleRuns, seed },
    );
    expect(checked).toBeGreaterThan(ruleRuns * 20);
    for (const tier of ['admin', 'normal', 'baseline'])
      for (const view of ['', 'shadow '])
        for (const reason of ['allow', 'deny']) expect([...outcomes.keys()]).toContain(`${view}${tier} ${reason}`);
  },
  patience,
);
