// Order of arrival never matters: every permutation of small sets of changes ends in the same bytes, through the incremental compiler.

import { noLabels } from '@axoneme/model';
import { expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import {
  cidrs,
  createLayeredCompiler,
  type LayerTable,
  layersOf,
  type PolicyChanges,
  type PolicyConfig,
  policyKey,
  type Rule,
  type Tier,
} from '../src/index.ts';
import { labArb } from './arbitraries.ts';
import { configArb, patience, scaled, seed } from './check.ts';
import { hostRuleArb, makeRule, nodes, selector, tcp, tierRuleArb } from './ir.ts';
import { cidrIdentitiesOf, classesOf, compileWorld, config, hostsOf, identitiesOf } from './lab.ts';

jest.setTimeout(patience);

const bytesOf = (t: LayerTable): string =>
  [...t.subjects.values()]
    .flatMap((s) =>
      layersOf(s).map(([name, l]) => {
        const flags = JSON.stringify([l.rows.peerMask, l.rows.anyMask, l.defaultDeny, l.denyRules, l.usesClasses]);
        return `${s.identity} ${name} ${l.rows.handle} ${l.rows.packed.toString('hex')} ${flags}`;
      }),
    )
    .sort()
    .join('\n');

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, i) => permutations(items.filter((_, j) => j !== i)).map((rest) => [item, ...rest]));
}

function compiledInOrder(order: readonly PolicyChanges[], cfg: PolicyConfig): string {
  const compiler = createLayeredCompiler(cfg);
  for (const changes of order) compiler.update(changes);
  return bytesOf(compiler.table());
}

const policyEvent = (r: Rule): PolicyChanges => ({ policies: [{ key: policyKey(r.source), rules: [r] }] });
const ruleArb = fc
  .constantFrom<Tier | 'host'>('admin', 'normal', 'baseline', 'host')
  .chain((t) => (t === 'host' ? hostRuleArb('r') : tierRuleArb('r', t)));

const sets = scaled(30);
test(`policies, identities, prefixes, classes and nodes in every order (seed ${seed}, ${sets} sets)`, () => {
  fc.assert(
    fc.property(fc.array(ruleArb, { minLength: 1, maxLength: 2 }), labArb, configArb, (list, lab, cfg) => {
      const rules = list.map((r, i) => ({ ...r, source: { ...r.source, name: `r${i}` } }));
      const events: PolicyChanges[] = [
        ...rules.map(policyEvent),
        { identities: identitiesOf(lab) },
        { cidrIdentities: cidrIdentitiesOf(cidrs(rules)) },
        { classes: classesOf(rules, lab).classes },
        { hosts: hostsOf(lab) },
      ];
      const truth = bytesOf(compileWorld(rules, lab, cfg).table);
      for (const order of permutations(events)) if (compiledInOrder(order, cfg) !== truth) throw new RangeError('the order matters');
    }),
    { numRuns: sets, seed },
  );
});

test(`four policies and the pods they are about in every order (seed ${seed})`, () => {
  const fourArb = fc.tuple(ruleArb, ruleArb, ruleArb, ruleArb);
  fc.assert(
    fc.property(fourArb, labArb, configArb, (list, lab, cfg) => {
      const rules = list.map((r, i) => ({ ...r, source: { ...r.source, name: `r${i}` } }));
      const peers = { cidrIdentities: cidrIdentitiesOf(cidrs(rules)), classes: classesOf(rules, lab).classes, hosts: hostsOf(lab) };
      const events = [...rules.map(policyEvent), { identities: identitiesOf(lab) }];
      const truth = bytesOf(compileWorld(rules, lab, cfg).table);
      for (const order of permutations(events))
        if (compiledInOrder([peers, ...order], cfg) !== truth) throw new RangeError('the order matters');
    }),
    { numRuns: scaled(15), seed },
  );
});

test('C11: node labels, host subject and host policy in any order end in the same artifact', () => {
  const rule = makeRule({
    name: 'host',
    subjectKind: 'nodes',
    subject: selector({ matchLabels: { zone: 'a' } }),
    entries: [{ direction: 'ingress', action: 'allow', peers: [nodes({ matchLabels: { zone: 'b' } })], ports: [tcp(22)] }],
    deny: { ingress: true, egress: false },
  });
  let enforced = 0;
  fc.assert(
    fc.property(labArb, (lab) => {
      const hosts = hostsOf(lab);
      // Nodes come without labels, then with those of another zone, then as they are; everything else arrives in between.
      const stages: PolicyChanges[] = [
        { hosts: hosts.map((h) => ({ id: h.id, labels: noLabels })) },
        { hosts: hosts.map((h) => ({ id: h.id, labels: hosts[2]!.labels })) },
        { hosts },
      ];
      const others = [policyEvent(rule), { classes: classesOf([rule], lab).classes }, { identities: identitiesOf(lab) }];
      const truth = bytesOf(compileWorld([rule], lab, config).table);
      for (const h of hosts) {
        const selected = h.labels.text.includes('zone=a');
        expect(truth.includes(`${h.id} normal`)).toBe(selected);
        if (selected) enforced++;
      }
      for (const order of permutations(others)) {
        for (let at = 0; at <= stages.length; at++)
          expect(compiledInOrder([...stages.slice(0, at), ...order, ...stages.slice(at)], config)).toBe(truth);
      }
    }),
    { numRuns: scaled(30), seed },
  );
  expect(enforced).toBeGreaterThan(0);
});
