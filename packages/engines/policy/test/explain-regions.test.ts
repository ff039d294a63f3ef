// Decision regions against lookups, and the algebra of reaches against its definition.

import { cidrContainsIp } from '@axoneme/model';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  addressIn,
  addressPieces,
  createReach,
  createRegions,
  decisionAt,
  everything,
  hostFirst,
  intersect,
  lookup,
  nothing,
  type PortRange,
  type Reach,
  reachAllows,
  reachOf,
  reachText,
  regionOf,
  subtract,
} from '../src/index.ts';
import { labArb, outsideAddresses, probePorts } from './arbitraries.ts';
import { configArb, patience, probesArb, scaled, seed, wireOf } from './check.ts';
import { cidr, rulesArb } from './ir.ts';
import { compileWorld } from './lab.ts';

const runs = scaled(300);

test(
  `a region says of every port what a lookup says (seed ${seed}, ${runs} runs)`,
  () => {
    let checked = 0;
    fc.assert(
      fc.property(rulesArb, labArb, configArb, probesArb(30, 40), (rules, lab, cfg, probes) => {
        const world = compileWorld(rules, lab, cfg);
        const regions = createRegions();
        const subjects = [...world.table.subjects.values()];
        for (const probe of probes) {
          const subject = subjects[probe.subject % subjects.length]!;
          const wire = wireOf(probe, lab);
          const key = { peer: world.identity(wire.peer), cls: world.cls(wire.peer), direction: wire.direction };
          const region = regionOf(subject, key);
          const shared = reachOf(regions.of(subject, key));
          expect(shared.text).toBe(reachOf(region).text);
          for (const protocol of [wire.protocol, 6, 17, 1]) {
            for (const port of protocol === wire.protocol ? [wire.port, ...probePorts] : [wire.port]) {
              const expected = lookup(subject, { ...key, protocol, port });
              const actual = decisionAt(region, protocol, port);
              // A matcher for each would take most of the time.
              if (JSON.stringify(actual) !== JSON.stringify(expected) || reachAllows(shared, protocol, port) !== expected.allowed)
                expect({ protocol, port, ...actual }).toEqual({ protocol, port, ...expected });
              checked++;
            }
          }
        }
        expect(subjects.every((s) => s.identity < hostFirst || s.layers.normal.identity === s.identity)).toBe(true);
      }),
      { numRuns: runs, seed },
    );
    expect(checked).toBeGreaterThan(runs * 100);
  },
  patience,
);

const rangesArb: fc.Arbitrary<PortRange[]> = fc
  .array(fc.constantFrom(...probePorts), { maxLength: 6 })
  .map((l) => [...new Set(l)].sort((a, b) => a - b))
  .map((l) => l.flatMap((first, i) => (i % 2 === 0 && l[i + 1] !== undefined ? [{ first, last: l[i + 1]! }] : [])));
const reachArb: fc.Arbitrary<Reach> = fc
  .record({ tcp: fc.option(rangesArb), udp: fc.option(rangesArb), others: fc.boolean() })
  .map(({ tcp, udp, others }) =>
    createReach([...(tcp === null ? [] : [[6, tcp] as const]), ...(udp === null ? [] : [[17, udp] as const])], others),
  );

test('intersection and difference hold for every port', () => {
  fc.assert(
    fc.property(reachArb, reachArb, (a, b) => {
      for (const protocol of [6, 17, 132])
        for (const port of probePorts) {
          const [inA, inB] = [reachAllows(a, protocol, port), reachAllows(b, protocol, port)];
          if (
            reachAllows(intersect(a, b), protocol, port) !== (inA && inB) ||
            reachAllows(subtract(a, b), protocol, port) !== (inA && !inB)
          )
            expect([a.text, b.text, protocol, port]).toBeUndefined();
        }
      expect(subtract(a, a).text).toBe(nothing.text);
      expect(intersect(a, a).text).toBe(a.text);
    }),
    { seed, numRuns: scaled(300) },
  );
});

test('reaches in words', () => {
  const tcp = createReach(
    [
      [
        6,
        [
          { first: 80, last: 80 },
          { first: 443, last: 444 },
        ],
      ],
    ],
    false,
  );
  expect(reachText(tcp)).toBe('TCP 80,443-444');
  expect(reachText(subtract(everything, tcp))).toBe('everything but TCP 80,443-444');
  expect(
    reachText(
      createReach(
        [
          [1, [{ first: 8, last: 8 }]],
          [17, [{ first: 0, last: 65_535 }]],
        ],
        false,
      ),
    ),
  ).toBe('ICMP type 8; all UDP');
  expect([reachText(everything), reachText(nothing)]).toEqual(['everything', 'nothing']);
});

test('pieces of the address space cover every address once, and each has an address', () => {
  const mentioned = ['10.0.0.0/8', '10.9.0.0/16', '10.9.9.0/24', '10.9.9.0/25', '10.9.9.128/25', '203.0.113.9/32', '2001:db8::/32'].map(
    cidr,
  );
  const pieces = addressPieces([cidr('0.0.0.0/0'), cidr('::/0')], mentioned);
  // Two halves leave nothing of 10.9.9.0/24.
  expect(pieces.map((p) => p.cidr)).not.toContain('10.9.9.0/24');
  const holds = (p: (typeof pieces)[number], ip: (typeof outsideAddresses)[number]): boolean =>
    cidrContainsIp(p.cidr, ip) && !p.without.some((c) => cidrContainsIp(c, ip));
  for (const ip of outsideAddresses) expect(pieces.filter((p) => holds(p, ip))).toHaveLength(1);
  for (const p of pieces) expect(holds(p, addressIn(p))).toBe(true);
});
