// Shadow policies: what they report is what would happen, and nothing else changes.

import type { IdentityId } from '@axoneme/model';
import { expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { layersOf, lookup, lookupShadow, type PolicyObject, parsePolicy, type Rule } from '../src/index.ts';
import { labArb } from './arbitraries.ts';
import { configArb, type Probe, patience, probesArb, scaled, seed, wireOf } from './check.ts';
import { rulesArb } from './ir.ts';
import { networkPolicyArb, objectsArb } from './kinds.ts';
import { type CompiledWorld, compileWorld, config, lab as fixedLab, ip, type Lab } from './lab.ts';

jest.setTimeout(patience);

const rulesOf = (objects: Parameters<typeof parsePolicy>[0][]): Rule[] =>
  objects.flatMap((o) => {
    const parsed = parsePolicy(o, { clusterName: 'main' });
    return parsed.ok ? [...parsed.value.rules] : [];
  });
const mixedArb: fc.Arbitrary<Rule[]> = fc.oneof(objectsArb.map(rulesOf), rulesArb);
const enforcing = (rules: readonly Rule[]): Rule[] => rules.map((r) => ({ ...r, mode: 'enforce' }));

/** One packet of a trace as a node records it: both ends by number, as far as the datapath knows. */
function packetOf(w: CompiledWorld, lab: Lab, probe: Probe) {
  const subject = lab.pods[probe.subject % lab.pods.length]!.id;
  const wire = wireOf(probe, lab);
  return { set: w.table.subjects.get(subject), key: { ...wire, peer: w.identity(wire.peer), cls: w.cls(wire.peer) } };
}

const runs = scaled(500);
test(`P2-a: the drops a shadow reports on a trace are exactly the drops after it is enforced (seed ${seed}, ${runs} traces)`, () => {
  let reported = 0;
  let opened = 0;
  fc.assert(
    fc.property(mixedArb, labArb, configArb, probesArb(60, 80), (rules, lab, cfg, trace) => {
      const before = compileWorld(rules, lab, cfg);
      const after = compileWorld(enforcing(rules), lab, cfg);
      const shadowDrops = trace.map((p) => {
        const { set, key } = packetOf(before, lab, p);
        if (set === undefined) return undefined;
        const real = lookup(set, key);
        const would = lookupShadow(set, key) ?? real;
        if (real.allowed && !would.allowed) reported++;
        if (!real.allowed && would.allowed) opened++;
        return { drop: !would.allowed, rule: would.ruleId, reason: would.reason };
      });
      const realDrops = trace.map((p) => {
        const { set, key } = packetOf(after, lab, p);
        if (set === undefined) return undefined;
        const { allowed, ruleId, reason } = lookup(set, key);
        return { drop: !allowed, rule: ruleId, reason };
      });
      expect(shadowDrops).toEqual(realDrops);
    }),
    { numRuns: runs, seed },
  );
  // Drops and new passes have both been seen, so the trace is not blind.
  expect(reported).toBeGreaterThan(0);
  expect(opened).toBeGreaterThan(0);
});

const neighbours = scaled(400);
test(`P2-b: one shadow policy changes nothing that is enforced, and nothing at all in other namespaces (seed ${seed}, ${neighbours} runs)`, () => {
  let seen = 0;
  const shadowArb = networkPolicyArb('shadow').map((o) => ({
    ...o,
    metadata: { ...o.metadata, namespace: 'shop', annotations: { 'policy.axoneme.io/mode': 'shadow' } },
  }));
  fc.assert(
    fc.property(mixedArb, shadowArb, labArb, configArb, probesArb(30, 40), (some, shadow, lab, cfg, probes) => {
      const rules = enforcing(some);
      const before = compileWorld(rules, lab, cfg);
      const after = compileWorld([...rules, ...rulesOf([shadow])], lab, cfg);
      for (const probe of probes) {
        const was = packetOf(before, lab, probe);
        const is = packetOf(after, lab, probe);
        if (was.set === undefined || is.set === undefined) continue;
        expect(lookup(is.set, is.key)).toEqual(lookup(was.set, was.key));
        seen++;
      }
      for (const p of lab.pods) {
        const set = after.table.subjects.get(p.id as IdentityId);
        if (set !== undefined && !p.labels.text.includes('namespace=shop;'))
          expect(layersOf(set).filter(([name]) => name.startsWith('shadow'))).toEqual([]);
      }
    }),
    { numRuns: neighbours, seed },
  );
  expect(seen).toBeGreaterThan(neighbours * 25);
});

test('P2-c: a shadow reports what it would open as well as what it would drop', () => {
  const one: PolicyObject = {
    kind: 'NetworkPolicy',
    metadata: { name: 'closed', namespace: 'shop' },
    spec: {
      podSelector: { matchLabels: { app: 'a' } },
      policyTypes: ['Ingress'],
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'b' } } }] }],
    },
  };
  const two: PolicyObject = {
    kind: 'AdminNetworkPolicy',
    metadata: { name: 'admin', annotations: { 'policy.axoneme.io/mode': 'shadow' } },
    spec: {
      priority: 1,
      subject: { namespaces: {} },
      ingress: [
        { action: 'Deny', from: [{ pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: 'b' } } } }] },
        { action: 'Allow', from: [{ pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: 'c' } } } }] },
      ],
    },
  };
  const w = compileWorld(rulesOf([one, two]), fixedLab, config);
  const set = w.table.subjects.get(1001 as IdentityId)!;
  const both = (peer: string) => {
    const key = { peer: w.identity(ip(peer)), cls: w.cls(ip(peer)), direction: 'ingress', protocol: 6, port: 80 } as const;
    const shadow = lookupShadow(set, key)!;
    return [lookup(set, key).allowed, shadow.allowed, shadow.tier, w.table.origins.get(shadow.ruleId)?.text];
  };
  expect(both('10.1.1.1')).toEqual([true, false, 'admin', 'AdminNetworkPolicy//admin#ingress[0]']);
  expect(both('10.1.2.1')).toEqual([false, true, 'admin', 'AdminNetworkPolicy//admin#ingress[1]']);
});
