// The smallest change, against a search of all changes.

import { type IpFamily, ipFamily, protocolNumbers } from '@axoneme/model';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  applyEdits,
  connectionAllowed,
  type Edit,
  findFlips,
  labelEdits,
  type PolicyConfig,
  parsePolicy,
  type Question,
  type Rule,
  ruleEdits,
  type Scene,
  type SceneEnd,
  type Situation,
  verdictsOn,
} from '../src/index.ts';
import { labArb, outsideAddresses, policiesArb } from './arbitraries.ts';
import { patience, scaled, seed } from './check.ts';
import { makeRule, outside, pods, rulesArb, selector, tcp } from './ir.ts';
import { config, type Lab, lab, nodesOf } from './lab.ts';

const podEnd = (l: Lab, i: number): SceneEnd => {
  const p = l.pods[i % l.pods.length]!;
  return { kind: 'pod', name: p.name, labels: p.labels, namedPorts: p.namedPorts, addresses: p.addresses, node: 'n1' };
};

/** Pods are on n1, so that is their host. */
function endOf(l: Lab, kind: number, i: number): SceneEnd {
  if (kind < 5) return podEnd(l, i);
  if (kind < 6) {
    const node = nodesOf(l)[i % 3]!;
    return { kind: 'node', name: node.name, node, local: node.name === 'n1' };
  }
  const address = outsideAddresses[i % outsideAddresses.length]!;
  return { kind: 'outside', name: address, addresses: [address] };
}

const sceneOf = (rules: readonly Rule[], l: Lab, cfg: PolicyConfig): Scene => ({ rules, nodes: nodesOf(l), config: cfg });
const passes = (scene: Scene, s: Situation): boolean => connectionAllowed(scene, s.rules, s.question);

/** All sets of `size` edits: label edits first, then rule edits of the situation they lead to. */
function* allChanges(start: Situation, size: number): Generator<Edit[]> {
  for (let n = 0; n <= size; n++) {
    for (const labels of subsets(labelEdits(start), n)) {
      const s = applyEdits(start, labels);
      const rules = [...ruleEdits(s, 'egress'), ...ruleEdits(s, 'ingress')];
      for (const more of subsets(rules, size - n)) yield [...labels, ...more];
    }
  }
}

function* subsets<T>(items: readonly T[], size: number, from = 0): Generator<T[]> {
  if (size === 0) yield [];
  else for (let i = from; i <= items.length - size; i++) for (const rest of subsets(items, size - 1, i + 1)) yield [items[i]!, ...rest];
}

const onB = (over: object = {}): Rule =>
  makeRule({
    name: 'b',
    subject: selector({ matchLabels: { app: 'b' } }),
    entries: [{ direction: 'ingress', action: 'allow', peers: [pods({ matchLabels: { app: 'a', tier: 'web' } })], ports: [tcp(80)] }],
    deny: { ingress: true, egress: false },
    ...over,
  });
const ask = (from: SceneEnd, to: SceneEnd, port: number, family: IpFamily = 4): Question => ({
  from,
  to,
  protocol: protocolNumbers.TCP,
  port,
  family,
});

test('one label is missing', () => {
  const { flips, proven } = findFlips(sceneOf([onB()], lab, config), ask(podEnd(lab, 0), podEnd(lab, 1), 80));
  expect(flips[0]).toEqual({ edits: [{ kind: 'label', end: 'a', key: 'tier', value: 'web' }] });
  expect(proven).toBe(true);
});

test('a port is missing: it is added to the entry that fits otherwise', () => {
  const rule = onB({
    entries: [{ direction: 'ingress', action: 'allow', peers: [pods({ matchLabels: { app: 'a' } })], ports: [tcp(80), tcp(443)] }],
  });
  const { flips } = findFlips(sceneOf([rule], lab, config), ask(podEnd(lab, 0), podEnd(lab, 1), 8080));
  expect(flips[0]).toEqual({ edits: [{ kind: 'add-port', at: { rule: 0, entry: 0 }, protocol: 6, port: 8080 }] });
});

test('an address is added to the peers, or taken out of a deny', () => {
  const from: SceneEnd = { kind: 'outside', name: '203.0.113.9', addresses: [outsideAddresses.find((a) => a === '203.0.113.9')!] };
  const rule = onB({ entries: [{ direction: 'ingress', action: 'allow', peers: [outside('10.0.0.0/8')], ports: [tcp(80)] }] });
  const { flips } = findFlips(sceneOf([rule], lab, config), ask(from, podEnd(lab, 1), 80));
  expect(flips[0]).toEqual({ edits: [{ kind: 'add-peer', at: { rule: 0, entry: 0 }, peer: outside('203.0.113.9/32') }] });
  const deny = onB({
    deny: { ingress: false, egress: false },
    entries: [{ direction: 'ingress', action: 'deny', peers: [outside('203.0.113.0/24')], ports: [tcp(80)] }],
  });
  const other = findFlips(sceneOf([deny], lab, config), ask(from, podEnd(lab, 1), 80));
  expect(other.flips[0]).toEqual({ edits: [{ kind: 'add-exception', at: { rule: 0, entry: 0 }, address: '203.0.113.9' }] });
});

test('both ends are in the way: one edit for each', () => {
  const egress = makeRule({
    name: 'a',
    subject: selector({ matchLabels: { app: 'a' } }),
    entries: [{ direction: 'egress', action: 'allow', peers: [pods({ matchLabels: { app: 'b' } })], ports: [tcp(443)] }],
    deny: { ingress: false, egress: true },
  });
  const { flips } = findFlips(sceneOf([onB(), egress], lab, config), ask(podEnd(lab, 0), podEnd(lab, 1), 80));
  expect(flips[0]!.edits.map((e) => e.kind)).toEqual(['label', 'add-port']);
});

const runs = scaled(140);
/** Sets beyond this many are not searched by brute force; so large a change is rare. */
const setsMax = 40_000;

test(
  `P1-b: for every drop the suggested change lets the packet pass, and no smaller one does (seed ${seed}, ${runs} runs)`,
  () => {
    const bySize = new Map<string, number>();
    const reasons = new Map<string, number>();
    let unsearched = 0;
    const rules = fc.oneof(
      rulesArb,
      policiesArb.map((objects) =>
        objects.flatMap((o) => {
          const p = parsePolicy(o, { clusterName: 'main' });
          return p.ok ? p.value.rules : [];
        }),
      ),
    );
    const questionArb = fc.record({
      from: fc.tuple(fc.nat(7), fc.nat(50)),
      to: fc.tuple(fc.nat(7), fc.nat(50)),
      port: fc.constantFrom(80, 443, 8080),
      protocol: fc.constantFrom(6, 6, 17),
    });
    fc.assert(
      fc.property(
        rules,
        labArb,
        fc.array(questionArb, { minLength: 6, maxLength: 10 }),
        fc.constantFrom('default' as const, 'always' as const),
        (all, l, questions, mode) => {
          const scene = sceneOf(all, l, { ...config, mode });
          for (const q of questions) {
            const [from, to] = [endOf(l, ...q.from), endOf(l, ...q.to)];
            const question: Question = {
              from,
              to,
              protocol: q.protocol,
              port: q.port,
              family: from.kind === 'outside' ? ipFamily(from.addresses[0]!) : 4,
            };
            const [verdict] = verdictsOn(scene, [question]);
            if (from.name === to.name || verdict!.allowed) continue;
            const start: Situation = { rules: all, question };
            const { flips, proven } = findFlips(scene, question, { verdictsMax: 1_000_000 });
            expect(proven).toBe(true);
            expect(flips.length).toBeGreaterThan(0);
            const size = flips[0]!.edits.length;
            for (const f of flips) {
              expect(f.edits).toHaveLength(size);
              expect(passes(scene, applyEdits(start, f.edits))).toBe(true);
            }
            let sets = 0;
            for (let smaller = 0; smaller < size; smaller++) {
              for (const edits of allChanges(start, smaller)) {
                if (++sets > setsMax) break;
                if (passes(scene, applyEdits(start, edits))) expect({ smaller: edits, found: flips[0] }).toBeUndefined();
              }
            }
            if (sets > setsMax) unsearched++;
            for (const h of verdict!.hops) if (!h.allowed) reasons.set(h.reason, (reasons.get(h.reason) ?? 0) + 1);
            bySize.set(String(size), (bySize.get(String(size)) ?? 0) + 1);
          }
        },
      ),
      { numRuns: runs, seed },
    );
    const drops = [...bySize.values()].reduce((a, b) => a + b, 0);
    if (process.env.DEBUG_FLIP) console.log(bySize, reasons, unsearched);
    expect(drops).toBeGreaterThan(runs);
    expect(unsearched).toBeLessThan(drops / 20);
    for (const reason of ['deny', 'blocked', 'default-deny']) expect([...reasons.keys()]).toContain(reason);
    expect([...bySize.keys()]).toEqual(expect.arrayContaining(['1', '2']));
  },
  patience,
);

test('among thousands of policies an answer takes seconds at most', () => {
  const limitMs = 10_000;
  const many = Array.from({ length: 3000 }, (_, i) =>
    makeRule({
      name: `p${i}`,
      subject: selector({ matchLabels: { app: `w${i}`, 'io.kubernetes.pod.namespace': `ns${i % 100}` } }),
      entries: [
        { direction: 'ingress', action: 'allow', peers: [pods({ matchLabels: { app: `w${i + 1}`, tier: `t${i}` } })], ports: [tcp(80)] },
      ],
      deny: { ingress: true, egress: true },
    }),
  );
  const egress = makeRule({
    name: 'a',
    subject: selector({ matchLabels: { app: 'a' } }),
    entries: [{ direction: 'egress', action: 'deny', peers: [pods({})], ports: [tcp(80)] }],
  });
  const started = process.cpuUsage().user;
  const { flips, proven } = findFlips(sceneOf([...many, onB(), egress], lab, config), ask(podEnd(lab, 0), podEnd(lab, 1), 80));
  expect((process.cpuUsage().user - started) / 1000).toBeLessThan(limitMs);
  expect(proven).toBe(true);
  // Numbers are those of the whole list.
  expect(flips[0]!.edits).toEqual([
    { kind: 'label', end: 'a', key: 'tier', value: 'web' },
    { kind: 'remove-entry', rule: 3001, id: egress.entries[0]!.id },
  ]);
});
