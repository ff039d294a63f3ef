// Invariants against every packet they speak of, judged one by one.

import { createPrefixTable, type IdentityId, ipFamily, matchesSelector } from '@axoneme/model';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  addressIn,
  addressPieces,
  checkInvariants,
  cidrs,
  type Invariant,
  type InvariantInput,
  judge,
  type PolicyConfig,
  planAddressClasses,
  type Rule,
  violationText,
} from '../src/index.ts';
import { labArb } from './arbitraries.ts';
import { configArb, patience, scaled, seed } from './check.ts';
import { cidr, makeRule, outside, pods, rulesArb, selector, tcp } from './ir.ts';
import { compileWorld, config, identitiesOf, type Lab, lab, nodesOf } from './lab.ts';

function inputOf(rules: readonly Rule[], l: Lab, cfg: PolicyConfig, invariants: readonly Invariant[]): InvariantInput {
  const world = compileWorld(rules, l, cfg);
  const classRows = planAddressClasses({ rules, nodes: nodesOf(l) }).rows.map((r) => r.cidr);
  return {
    invariants,
    identities: identitiesOf(l),
    subject: (id) => world.table.subjects.get(id),
    classesOf: (id) => l.pods.find((p) => p.id === id)!.addresses.map((a) => ({ family: ipFamily(a), cls: world.cls(a) })),
    prefixes: [...cidrs(rules), ...classRows],
    lookOf(c) {
      // An address of the piece that no longer prefix holds.
      const [piece] = addressPieces([c], [...cidrs(rules), ...classRows]).filter((p) => p.cidr === c);
      const address = addressIn(piece!);
      return { peer: world.identity(address), cls: world.cls(address) };
    },
  };
}

const invariant = (over: Partial<Invariant>): Invariant => ({
  name: 'i',
  from: selector({ matchLabels: { app: 'a' } }),
  to: { kind: 'pods', selector: selector({ matchLabels: { app: 'b' } }) },
  ports: [{ kind: 'range', protocol: 6, first: 80, last: 80 }],
  expect: 'MustReach',
  action: 'Refuse',
  ...over,
});

describe('one world', () => {
  const onB = makeRule({
    name: 'b',
    subject: selector({ matchLabels: { app: 'b' } }),
    entries: [{ direction: 'ingress', action: 'allow', peers: [pods({ matchLabels: { app: 'c' } })], ports: [tcp(80)] }],
    deny: { ingress: true, egress: false },
  });

  test('MustReach names the pair, the port and the default deny that breaks it', () => {
    const { violations, broken } = checkInvariants(inputOf([onB], lab, config, [invariant({})]));
    const [first] = violations;
    expect(first).toMatchObject({
      from: 1001,
      to: { kind: 'pods', identity: 1002 },
      port: 80,
      direction: 'ingress',
      reason: 'default-deny',
    });
    expect(first!.rule).toBe(onB.defaultDenyIds.ingress);
    expect(violationText(first!)).toBe('80/TCP is closed at ingress');
    expect([...broken]).toEqual([['i', 1]]);
  });

  test('MustNotReach names the rule that lets it in', () => {
    const inv = invariant({ from: selector({ matchLabels: { app: 'c' } }), expect: 'MustNotReach' });
    const { violations } = checkInvariants({ ...inputOf([onB], lab, config, [inv]), touched: new Set([1002 as IdentityId]) });
    expect(violations.map((v) => [v.from, v.rule, violationText(v)])).toEqual([[1003, onB.entries[0]!.id, '80/TCP is open']]);
  });

  test('only pairs with a touched identity are looked at', () => {
    const input = inputOf([onB], lab, config, [invariant({})]);
    expect(checkInvariants({ ...input, touched: new Set([1003 as IdentityId]) }).violations).toEqual([]);
    expect(checkInvariants({ ...input, touched: new Set([1002 as IdentityId]) }).violations).toHaveLength(1);
  });

  test('of an address range the piece that breaks it is named', () => {
    const onA = makeRule({
      name: 'a',
      subject: selector({ matchLabels: { app: 'a' } }),
      entries: [{ direction: 'egress', action: 'allow', peers: [outside('10.0.0.0/8', '10.9.0.0/16')], ports: [tcp(1, 1023)] }],
      deny: { ingress: false, egress: true },
    });
    const to = { kind: 'cidr', cidr: cidr('10.0.0.0/8') } as const;
    const { violations } = checkInvariants(inputOf([onA], lab, config, [invariant({ to })]));
    expect(violations.map((v) => v.to)).toEqual([{ kind: 'cidr', cidr: '10.9.0.0/16' }]);
    const open = checkInvariants(inputOf([onA], lab, config, [invariant({ to, expect: 'MustNotReach' })]));
    expect(open.violations.map((v) => v.to)).toEqual([{ kind: 'cidr', cidr: '10.0.0.0/8' }]);
  });

  test('violations beyond the limit are counted', () => {
    const all = invariant({ from: selector({}), to: { kind: 'pods', selector: selector({}) }, expect: 'MustNotReach' });
    const { violations, broken } = checkInvariants({ ...inputOf([], lab, config, [all]), listedMax: 2 });
    expect([violations.length, broken.get('i')]).toEqual([2, 16]);
  });
});

const selectors = [
  { matchLabels: { app: 'a' } },
  { matchLabels: { app: 'b' } },
  { matchExpressions: [{ key: 'app', operator: 'Exists' }] },
].map(selector);
const portSets: Invariant['ports'][] = [
  [{ kind: 'range', protocol: 6, first: 80, last: 80 }],
  [
    { kind: 'range', protocol: 6, first: 443, last: 443 },
    { kind: 'range', protocol: 17, first: 53, last: 53 },
  ],
];
const invariantArb: fc.Arbitrary<Invariant> = fc.record({
  name: fc.constant('i'),
  from: fc.constantFrom(...selectors),
  to: fc.oneof(
    fc.constantFrom(...selectors).map((s) => ({ kind: 'pods' as const, selector: s })),
    fc.constantFrom('10.0.0.0/8', '10.9.9.0/24', '0.0.0.0/0', '2001:db8::/32').map((c) => ({ kind: 'cidr' as const, cidr: cidr(c) })),
  ),
  ports: fc.constantFrom(...portSets),
  expect: fc.constantFrom('MustReach', 'MustNotReach'),
  action: fc.constant('Flag'),
});

const runs = scaled(400);

test(
  `a pair is broken exactly if some packet of it is (seed ${seed}, ${runs} runs)`,
  () => {
    const seen = { broken: 0, kept: 0 };
    fc.assert(
      fc.property(rulesArb, labArb, configArb, invariantArb, (rules, l, cfg, inv) => {
        const report = checkInvariants({ ...inputOf(rules, l, cfg, [inv]), listedMax: 1000 });
        const found = report.violations.map((v) => `${v.from} ${v.to.kind === 'pods' ? v.to.identity : 'cidr'}`).sort();
        const expected = brokenPairs(rules, l, cfg, inv).sort();
        expect(found).toEqual(expected);
        seen[expected.length > 0 ? 'broken' : 'kept']++;
      }),
      { numRuns: runs, seed },
    );
    expect(Math.min(seen.broken, seen.kept)).toBeGreaterThan(runs / 50);
  },
  patience,
);

/** By brute force; pods of other clusters are nobody's subject here. */
function brokenPairs(rules: readonly Rule[], l: Lab, cfg: PolicyConfig, inv: Invariant): string[] {
  const isOwn = (p: Lab['pods'][number]): boolean => p.labels.text.includes('policy.cluster=main;');
  const passes = (
    subject: Lab['pods'][number],
    peer: Lab['pods'][number]['addresses'][number],
    direction: 'ingress' | 'egress',
    port: { protocol: number; first: number },
  ): boolean =>
    !isOwn(subject) || judge(rules, l.world, { subject, direction, peer, protocol: port.protocol, port: port.first }, cfg).allowed;
  const isBroken = (states: readonly boolean[]): boolean => (inv.expect === 'MustReach' ? states.includes(false) : states.includes(true));
  const sources = l.pods.filter((p) => matchesSelector(inv.from, p.labels));
  const { to } = inv;
  if (to.kind === 'cidr') {
    const mentioned = [...cidrs(rules), ...planAddressClasses({ rules, nodes: nodesOf(l) }).rows.map((r) => r.cidr)];
    const own = createPrefixTable<true>();
    for (const c of mentioned) own.set(c, true);
    const addresses = addressPieces([to.cidr], mentioned).map(addressIn);
    return sources.flatMap((s) =>
      isBroken(addresses.flatMap((a) => inv.ports.map((p) => passes(s, a, 'egress', p)))) ? [`${s.id} cidr`] : [],
    );
  }
  const pairs = sources.flatMap((s) => l.pods.filter((t) => matchesSelector(to.selector, t.labels)).map((t) => [s, t] as const));
  return pairs.flatMap(([s, t]) => {
    const states = s.addresses.flatMap((from) =>
      t.addresses.flatMap((at) =>
        ipFamily(from) !== ipFamily(at) ? [] : inv.ports.map((p) => passes(s, at, 'egress', p) && passes(t, from, 'ingress', p)),
      ),
    );
    return isBroken(states) ? [`${s.id} ${t.id}`] : [];
  });
}
