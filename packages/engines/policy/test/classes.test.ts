// Address classes: the plan, spelled out, and what happens where a class is missing.

import type { IdentityId, IpAddr } from '@axoneme/model';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type AddressClass, classFirst, compileLayers, lookup, planAddressClasses, type Rule } from '../src/index.ts';
import { outsideAddresses } from './arbitraries.ts';
import { scaled, seed } from './check.ts';
import { block, cidr, everyPort, makeRule, nodes, rulesArb, selector } from './ir.ts';
import { classesOf, compileWorld, config, identitiesOf, ip, lab, nodesOf } from './lab.ts';

const a = 1001 as IdentityId;
const rule = (...peers: Parameters<typeof makeRule>[0]['entries'][number]['peers'][number][]): Rule =>
  makeRule({
    name: 'x',
    subject: selector({}),
    entries: [{ direction: 'egress', action: 'allow', peers, ports: [everyPort] }],
    deny: { ingress: false, egress: true },
  });

test('a row for each prefix, one for each address of a node that a selector names, and no class without a row', () => {
  const inZoneB = nodes({ matchLabels: { zone: 'b' } });
  const plan = planAddressClasses({
    rules: [rule(block('192.168.0.0/16', '192.168.0.3/32'), block('0.0.0.0/0'), inZoneB)],
    nodes: nodesOf(lab),
  });
  const text = inZoneB.kind === 'nodes' ? inZoneB.selector.text : '';
  const shown = plan.rows.map((r) => {
    const c = plan.classes.find((x) => x.key === r.key)!;
    return [r.cidr, c.block, c.nodes.length];
  });
  expect(shown).toEqual([
    ['0.0.0.0/0', '0.0.0.0/0', 0],
    ['192.168.0.0/16', '192.168.0.0/16', 0],
    ['192.168.0.2/32', '192.168.0.0/16', 1],
    ['192.168.0.3/32', '192.168.0.3/32', 1],
  ]);
  expect(plan.classes.filter((c) => c.nodes.length > 0).every((c) => c.nodes[0] === text)).toBe(true);
  expect(plan.classes.map((c) => c.key).sort()).toEqual([...new Set(plan.rows.map((r) => r.key))].sort());
  expect(planAddressClasses({ rules: [rule()], nodes: nodesOf(lab) })).toEqual({ classes: [], rows: [] });
});

test(`the plan knows no order, keys name classes, and every class has a row (seed ${seed})`, () => {
  fc.assert(
    fc.property(rulesArb, (rules) => {
      const plan = planAddressClasses({ rules, nodes: nodesOf(lab) });
      expect(planAddressClasses({ rules: [...rules].reverse(), nodes: [...nodesOf(lab)].reverse() })).toEqual(plan);
      expect(new Set(plan.classes.map((c) => JSON.stringify([c.block, c.nodes]))).size).toBe(plan.classes.length);
      expect(new Set(plan.rows.map((r) => r.key))).toEqual(new Set(plan.classes.map((c) => c.key)));
    }),
    { numRuns: scaled(200), seed },
  );
});

test('two nodes that claim one address: it is what either of them is, so that no deny misses it', () => {
  const [one, two] = nodesOf(lab);
  const both = [one!, { ...two!, addresses: one!.addresses }];
  const plan = planAddressClasses({
    rules: [rule(nodes({ matchLabels: { zone: 'a' } }), nodes({ matchLabels: { zone: 'b' } }))],
    nodes: both,
  });
  expect(plan.classes.map((c) => c.nodes.length)).toEqual([2]);
});

test('a prefix without class: allows shrink, denies grow', () => {
  const within = block('10.0.0.0/8', '10.9.0.0/16');
  const deny = makeRule({
    name: 'deny',
    subject: selector({}),
    entries: [
      { direction: 'egress', action: 'allow', peers: [block('10.0.0.0/8')], ports: [everyPort] },
      { direction: 'egress', action: 'deny', peers: [block('10.9.0.0/16')], ports: [everyPort] },
    ],
  });
  const only: AddressClass[] = [{ id: (classFirst + 1) as IdentityId, block: cidr('10.0.0.0/8'), nodes: [] }];
  const to = (rules: Rule[]): boolean => {
    const { subjects } = compileLayers({ rules, identities: identitiesOf(lab), cidrIdentities: [], classes: only }, config);
    return lookup(subjects.get(a)!, { peer: 9 as IdentityId, cls: only[0]!.id, direction: 'egress', protocol: 6, port: 80 }).allowed;
  };
  expect(to([rule(within)])).toBe(false);
  expect(to([rule(block('10.0.0.0/8'))])).toBe(true);
  expect(to([deny])).toBe(false);
});

test('classes are asked for only where rows name them', () => {
  const w = compileWorld([rule(block('10.0.0.0/8'))], lab, config);
  expect(w.table.subjects.get(a)!.layers.normal.usesClasses).toBe(true);
  expect(w.table.subjects.get(5 as IdentityId)!.layers.normal.usesClasses).toBe(true);
  const none = compileWorld([rule()], lab, config);
  expect(none.table.subjects.get(a)!.layers.normal.usesClasses).toBe(false);
  const { resolve } = classesOf([rule(block('10.0.0.0/8'))], lab);
  const known: IpAddr[] = outsideAddresses.filter((x) => resolve(x) !== undefined);
  expect(known).toEqual(outsideAddresses.filter((x) => x.startsWith('10.')));
  expect(resolve(ip('11.0.0.0'))).toBeUndefined();
});
