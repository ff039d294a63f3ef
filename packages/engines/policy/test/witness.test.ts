// Compiled rows against the reference evaluator, on random policies, pods and packets.

import { ipFamily } from '@axoneme/model';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { cidrs, compileAll, judge, lookup, type PolicyConfig, parsePolicy, type RuleId } from '../src/index.ts';
import { labArb, outsideAddresses, policiesArb, probePorts, probeProtocols } from './arbitraries.ts';
import { cidrIdentitiesOf, identitiesOf, ipcache } from './lab.ts';

const runs = Number(process.env.AXONEME_RUNS ?? 2500);
const seed = Number(process.env.AXONEME_SEED ?? 0) || Math.floor(Math.random() * 0x7fff_ffff);
const configArb: fc.Arbitrary<PolicyConfig> = fc.record({
  mode: fc.constantFrom('default', 'default', 'default', 'always', 'never'),
  clusterName: fc.constant('main'),
  allowLocalhost: fc.constantFrom(true, true, false),
});
const probeArb = fc.record({
  subject: fc.nat(),
  peer: fc.nat(),
  direction: fc.constantFrom('ingress' as const, 'egress' as const),
  protocol: fc.constantFrom(6, 6, 6, 17, ...probeProtocols),
  port: fc.constantFrom(...probePorts),
});

test(`rows and rules agree on every packet (seed ${seed}, ${runs} runs)`, () => {
  let packets = 0;
  const outcomes = new Map<string, number>();
  fc.assert(
    fc.property(policiesArb, labArb, configArb, fc.array(probeArb, { minLength: 40, maxLength: 60 }), (objects, lab, cfg, probes) => {
      const parsed = objects.map((o) => parsePolicy(o, { clusterName: 'main' }));
      const rules = parsed.flatMap((p) => (p.ok ? p.value.rules : []));
      expect(parsed.flatMap((p) => (p.ok ? [] : p.error))).toEqual([]);
      const cidrIds = cidrIdentitiesOf(cidrs(rules));
      const table = compileAll({ rules, identities: identitiesOf(lab), cidrIdentities: cidrIds }, cfg);
      const resolve = ipcache(lab, cidrIds);
      const subjects = lab.pods.filter((p) => table.subjects.has(p.id));
      const addresses = [
        ...lab.pods.flatMap((p) => p.addresses),
        ...lab.world.hostAddresses,
        ...lab.world.nodes.flatMap((n) => n.addresses),
        ...outsideAddresses,
      ];
      for (const probe of subjects.length === 0 ? [] : probes) {
        const subject = subjects[probe.subject % subjects.length]!;
        const peer = addresses[probe.peer % addresses.length]!;
        const { direction, protocol } = probe;
        const port = protocol === 1 || protocol === 58 ? probe.port & 0xff : probe.port;
        const rows = lookup(table.subjects.get(subject.id)!, { peer: resolve(peer), direction, protocol, port });
        const truth = judge(rules, lab.world, { subject, direction, peer, protocol, port }, cfg);
        packets++;
        outcomes.set(truth.reason, (outcomes.get(truth.reason) ?? 0) + 1);
        const where = `${subject.name} ${direction} ${peer} (v${ipFamily(peer)}) proto ${protocol} port ${port}`;
        if (rows.allowed !== truth.allowed)
          throw new RangeError(`${where}: rows say ${JSON.stringify(rows)}, rules say ${JSON.stringify(truth)}`);
        checkProvenance(where, rows, truth.rules, table.origins);
      }
    }),
    { numRuns: runs, seed },
  );
  expect(packets).toBeGreaterThan(runs * 20);
  // Every kind of outcome has been met, so the vocabulary is not blind.
  expect([...outcomes.keys()].sort()).toEqual(['allow', 'blocked', 'default-deny', 'deny', 'local-host', 'open']);
}, 120_000);

type Origins = ReturnType<typeof compileAll>['origins'];

/** The named rule is one that really decides this packet. */
function checkProvenance(where: string, rows: ReturnType<typeof lookup>, rules: readonly RuleId[], origins: Origins): void {
  if (rows.reason === 'open' || rows.ruleId === 0) return;
  const origin = origins.get(rows.ruleId);
  if (origin === undefined) throw new RangeError(`${where}: rule ${rows.ruleId} has no origin`);
  if (rows.reason !== 'default-deny') {
    if (!rules.includes(rows.ruleId)) throw new RangeError(`${where}: ${origin.text} is named but does not match`);
    return;
  }
  if (rules.length === 0) return;
  const texts = [...new Set(rules)].map((r) => origins.get(r)!.text).sort();
  const named = origin.also === undefined ? [origin.text] : origin.text.split('+');
  if (texts.join() !== named.join()) throw new RangeError(`${where}: ${named.join()} is named, ${texts.join()} isolate`);
}
