// Laws of the whole engine on random rules: what no policy may ever do.

import {
  type Cidr,
  cidrContainsIp,
  cidrLast,
  type IdentityId,
  type IpAddr,
  ipFamily,
  ipFromBigint,
  ipToBigint,
  parseCidr,
} from '@axoneme/model';
import { unwrap } from '@axoneme/std';
import { describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { lookup, parsePolicy, type Rule, rowsOf, type Tier } from '../src/index.ts';
import { labArb } from './arbitraries.ts';
import { checkWorld, configArb, type Probe, patience, probesArb, scaled, seed, wireOf } from './check.ts';
import { anyone, type EntrySpec, entryArb, everyPort, makeRule, nodes, pods, portName, rulesArb, selector, tcp } from './ir.ts';
import { type CompiledWorld, compileWorld, config, lab as fixedLab, identitiesOf, type Lab, pod } from './lab.ts';

jest.setTimeout(patience);
const a = 1001 as IdentityId;

function allows(w: CompiledWorld, lab: Lab, probe: Probe): boolean {
  const subjects = lab.pods.filter((p) => w.table.subjects.has(p.id));
  const wire = wireOf(probe, lab);
  const id = subjects[probe.subject % Math.max(1, subjects.length)]?.id ?? (5 as IdentityId);
  return lookup(w.table.subjects.get(id)!, { ...wire, peer: w.identity(wire.peer), cls: w.cls(wire.peer) }).allowed;
}

describe('union', () => {
  const oneActionArb = (action: 'allow' | 'deny'): fc.Arbitrary<Rule> =>
    fc
      .constantFrom<Tier>('admin', 'normal', 'baseline')
      .chain((tier) => fc.tuple(fc.constant(tier), fc.array(entryArb(tier), { minLength: 1, maxLength: 3 })))
      .map(([tier, entries]) => {
        const plain = entries.map(({ direction, peers, ports, priority = 0 }) => ({ direction, action, peers, ports, priority }));
        return makeRule({ name: 'more', tier, subject: selector({}), entries: plain });
      });
  const runs = scaled(400);
  const check = (action: 'allow' | 'deny') =>
    fc.assert(
      fc.property(rulesArb, oneActionArb(action), labArb, configArb, probesArb(30, 40), (rules, more, lab, cfg, probes) => {
        const [before, after] = [compileWorld(rules, lab, cfg), compileWorld([...rules, more], lab, cfg)];
        for (const p of probes)
          if (allows(before, lab, p) === (action === 'allow') && allows(after, lab, p) !== (action === 'allow'))
            throw new RangeError(`one more ${action} turned ${JSON.stringify(wireOf(p, lab))}`);
      }),
      { numRuns: runs, seed },
    );
  test(`an allow that isolates nothing never takes a pass away (seed ${seed}, ${runs} runs)`, () => check('allow'));
  test(`a deny never adds a pass (seed ${seed}, ${runs} runs)`, () => check('deny'));
});

/** Addresses on both sides of the borders of a prefix. */
function borders(c: Cidr): IpAddr[] {
  const family = c.includes(':') ? 6 : 4;
  const [first, last] = [ipToBigint(c.slice(0, c.indexOf('/')) as IpAddr), ipToBigint(cidrLast(c))];
  const max = family === 4 ? 2n ** 32n - 1n : 2n ** 128n - 1n;
  return [...new Set([first - 1n, first, first + 1n, last - 1n, last, last + 1n])]
    .filter((n) => n >= 0n && n <= max)
    .map((n) => ipFromBigint(family, n));
}

describe('deny', () => {
  // Prefixes nest, because few bits differ.
  const prefixArb = fc
    .tuple(fc.constantFrom(4, 6), fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 1, 8, 12, 16, 20, 24, 28, 31, 32))
    .map(([family, n, bits]) => {
      const size = family === 4 ? 32 : 128;
      const base = family === 4 ? (10n << 24n) | BigInt(((n & 0xf0) << 12) | ((n & 0x0f) << 4)) : (0x2001n << 112n) | (BigInt(n) << 80n);
      const length = family === 4 ? bits : bits * 2;
      const masked = length === 0 ? 0n : (base >> BigInt(size - length)) << BigInt(size - length);
      return unwrap(parseCidr(`${ipFromBigint(family as 4 | 6, masked)}/${length}`));
    });
  const addressesArb = (kind: 'cidr' | 'block') =>
    fc.array(prefixArb, { minLength: 1, maxLength: 5 }).map((l) => l.map((c) => ({ kind, cidr: c, except: [] })));
  const runs = scaled(300);

  test(`C5: a deny wins over a narrower allow for every address (seed ${seed}, ${runs} trees)`, () => {
    let denied = 0;
    fc.assert(
      fc.property(addressesArb('cidr'), addressesArb('block'), addressesArb('cidr'), addressesArb('block'), (ac, ab, dc, db) => {
        const rule = makeRule({
          name: 'tree',
          subject: selector({}),
          entries: [
            { direction: 'egress', action: 'allow', peers: [...ac, ...ab], ports: [everyPort, tcp(80)] },
            { direction: 'egress', action: 'deny', peers: [...dc, ...db], ports: [everyPort] },
          ],
          deny: { ingress: false, egress: true },
        });
        const w = compileWorld([rule], fixedLab, config);
        const set = w.table.subjects.get(a)!;
        const inside = fixedLab.pods.flatMap((p) => p.addresses);
        for (const ip of [...[...ac, ...ab, ...dc, ...db].flatMap((s) => borders(s.cidr)), ...inside]) {
          const isPod = inside.includes(ip);
          const within = (list: readonly { readonly cidr: Cidr }[]): boolean =>
            list.some((s) => (s.cidr.includes(':') ? 6 : 4) === ipFamily(ip) && cidrContainsIp(s.cidr, ip));
          const deny = within(db) || (!isPod && within(dc));
          const allow = within(ab) || (!isPod && within(ac));
          const got = lookup(set, { peer: w.identity(ip), cls: w.cls(ip), direction: 'egress', protocol: 6, port: 80 }).allowed;
          if (got !== (allow && !deny)) throw new RangeError(`${ip}: allowed ${got}, in an allow ${allow}, in a deny ${deny}`);
          if (deny && allow) denied++;
        }
      }),
      { numRuns: runs, seed },
    );
    expect(denied).toBeGreaterThan(runs);
  });
});

describe('kinds of peers', () => {
  test(`C9: a pod with all labels of a node matches no node and no host selector (seed ${seed})`, () => {
    const everything = { zone: 'a', role: 'control' };
    const rules = [
      makeRule({
        name: 'nodes',
        subject: selector({}),
        entries: [
          {
            direction: 'ingress',
            action: 'allow',
            peers: [nodes({ matchLabels: everything }), nodes({})],
            ports: [everyPort],
          },
        ],
        deny: { ingress: true, egress: false },
      }),
      makeRule({ name: 'host', subjectKind: 'nodes', subject: selector({}), entries: [], deny: { ingress: true, egress: true } }),
      makeRule({
        name: 'zone',
        subjectKind: 'nodes',
        subject: selector({ matchLabels: everything }),
        entries: [],
        deny: { ingress: true, egress: true },
      }),
    ];
    fc.assert(
      fc.property(labArb, (some) => {
        const posing = pod('posing', 'shop', 1900, ['10.1.0.99', 'fd00:1::99'], { labels: { app: 'a', ...everything } });
        const pods = [...some.pods, posing];
        const lab = { pods, world: { ...some.world, pods } };
        const w = compileWorld(rules, lab, config);
        for (const p of pods) {
          const set = w.table.subjects.get(p.id);
          if (set === undefined) continue;
          // Host policies are not about it.
          expect(set.layers.normal.defaultDeny).toEqual({ ingress: true, egress: false });
          for (const peer of posing.addresses) {
            const packet = { peer: w.identity(peer), cls: w.cls(peer), direction: 'ingress', protocol: 6, port: 80 } as const;
            expect(lookup(set, packet).allowed).toBe(false);
          }
        }
      }),
      { numRuns: scaled(60), seed },
    );
  });

  test('pods never see classes, nodes never see pods: named peers of each kind of selector', () => {
    const of = (peer: ReturnType<typeof pods>): number[] => {
      const rule = makeRule({
        name: 'x',
        subject: selector({}),
        entries: [{ direction: 'ingress', action: 'allow', peers: [peer], ports: [everyPort] }],
      });
      return rowsOf(compileWorld([rule, blocks], fixedLab, config).table.subjects.get(a)!.layers.normal.rows).map((r) => r.peer);
    };
    const blocks = makeRule({
      name: 'y',
      subject: selector({ matchLabels: { app: 'nobody' } }),
      entries: [
        {
          direction: 'ingress',
          action: 'allow',
          peers: [nodes({}), { kind: 'block', cidr: '10.0.0.0/8' as Cidr, except: [] }],
          ports: [everyPort],
        },
      ],
    });
    expect(of(pods({})).every((id) => id < 0x0100_0000)).toBe(true);
    expect(of(nodes({})).every((id) => id >= 0x0200_0000 && id < 0x0300_0000)).toBe(true);
    expect(of({ kind: 'block', cidr: '10.0.0.0/8' as Cidr, except: [] }).every((id) => id >= 0x0200_0000 && id < 0x0300_0000)).toBe(true);
    expect(of(anyone)).toEqual([0]);
  });
});

describe('named ports', () => {
  const namedRuleArb = (i: number): fc.Arbitrary<Rule> =>
    fc
      .record({
        direction: fc.constantFrom('ingress' as const, 'egress' as const),
        action: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const, 'redirect' as const),
        peers: fc.array(
          fc.constantFrom(anyone, pods({}), pods({ matchLabels: { app: 'a' } }), pods({ matchLabels: { app: 'b' } }), nodes({})),
          { minLength: 1, maxLength: 2 },
        ),
        ports: fc.array(
          fc.constantFrom(portName('web'), portName('web', 6), portName('web', 17), portName('dns', 17), portName('nobody'), tcp(80)),
          { minLength: 1, maxLength: 2 },
        ),
        deny: fc.boolean(),
      })
      .map(({ deny, ...e }) =>
        makeRule({
          name: `n${i}`,
          subject: selector({}),
          entries: [{ ...e, ...(e.action === 'redirect' ? { condition: 'other' as const } : {}) }],
          deny: { ingress: deny, egress: deny },
        }),
      );
  test('P6-a: two pods with one port name and two numbers: both are allowed, neither with the number of the other', () => {
    const web = (direction: 'ingress' | 'egress'): EntrySpec => ({
      direction,
      action: 'allow',
      peers: [anyone],
      ports: [portName('web', 6)],
    });
    const deny = { ingress: true, egress: true };
    const rule = makeRule({ name: 'web', subject: selector({}), entries: [web('ingress'), web('egress')], deny });
    const w = compileWorld([rule], fixedLab, { ...config, allowLocalhost: false });
    const allowed = (subject: number, direction: 'ingress' | 'egress', peer: number, port: number): boolean =>
      lookup(w.table.subjects.get(subject as IdentityId)!, { peer: peer as IdentityId, direction, protocol: 6, port }).allowed;
    // b has web 80, c has web 8088, a has none.
    const seen = [1001, 1002, 1003].map((pod) =>
      [80, 8088].map((port) => [allowed(pod, 'ingress', 1001, port), allowed(1001, 'egress', pod, port)]),
    );
    expect(seen).toEqual([
      [
        [false, false],
        [false, false],
      ],
      [
        [true, true],
        [false, false],
      ],
      [
        [false, false],
        [true, true],
      ],
    ]);
  });

  const runs = scaled(250);
  test(`P6-b: 10000 random named-port cases equal the reference (seed ${seed})`, () => {
    let checked = 0;
    const named = probesArb(40, 60).map((l) =>
      l.map((p) => ({ ...p, protocol: p.subject % 3 === 0 ? 17 : 6, port: [80, 8000, 53, 443, 81][p.peer % 5]! })),
    );
    fc.assert(
      fc.property(fc.tuple(namedRuleArb(0), namedRuleArb(1), namedRuleArb(2)), labArb, configArb, named, (rules, lab, cfg, probes) => {
        checked += checkWorld(rules, lab, cfg, probes, new Map());
      }),
      { numRuns: runs, seed },
    );
    expect(checked).toBeGreaterThan(runs * 40);
  });
});

describe('namespaces', () => {
  const keys = [
    'app',
    'k8s:app',
    'io.kubernetes.pod.namespace',
    'k8s:io.kubernetes.pod.namespace',
    'any:io.kubernetes.pod.namespace',
    'reserved:init',
    'reserved:host',
    'reserved:health',
    'any:init',
    'io.cilium.k8s.policy.cluster',
    'io.cilium.k8s.namespace.labels.team',
    'k8s:io.cilium.k8s.policy.serviceaccount',
    'cidr:10.0.0.0-8',
  ];
  const valueArb = fc.constantFrom('shop', 'blog', 'a', 'b', 'main', 'other', '', 'default');
  const selectorObjectArb = fc.record(
    {
      matchLabels: fc.dictionary(fc.constantFrom(...keys), valueArb, { maxKeys: 3 }),
      matchExpressions: fc.array(
        fc.oneof(
          fc.record({
            key: fc.constantFrom(...keys),
            operator: fc.constantFrom('In', 'NotIn'),
            values: fc.array(valueArb, { minLength: 1, maxLength: 2 }),
          }),
          fc.record({ key: fc.constantFrom(...keys), operator: fc.constantFrom('Exists', 'DoesNotExist') }),
          fc.record({ key: fc.constantFrom(...keys), operator: fc.constantFrom('Gt', 'in', 'Equals', '') }),
        ),
        { maxLength: 3 },
      ),
    },
    { requiredKeys: [] },
  );
  const runs = scaled(4000);

  test(`C6: a namespaced policy selects in its namespace only, whatever operators and reserved keys it names (seed ${seed}, ${runs} runs)`, () => {
    let selected = 0;
    fc.assert(
      fc.property(selectorObjectArb, fc.constantFrom('CiliumNetworkPolicy', 'NetworkPolicy'), fc.boolean(), (raw, kind, wrap) => {
        const cilium = { endpointSelector: raw, ingress: [{}], egress: [{}] };
        const spec = kind === 'NetworkPolicy' ? { podSelector: raw, policyTypes: ['Ingress', 'Egress'] } : cilium;
        const object = {
          kind,
          metadata: { name: 'p', namespace: 'shop' },
          ...(wrap && kind !== 'NetworkPolicy' ? { specs: [spec] } : { spec }),
        };
        const parsed = parsePolicy(object, { clusterName: 'main' });
        if (!parsed.ok) return;
        const { table } = compileWorld(parsed.value.rules, fixedLab, config);
        for (const [id, set] of table.subjects) {
          // Init is closed by itself.
          if (id === 5 || !set.layers.normal.defaultDeny.ingress) continue;
          selected++;
          const own = identitiesOf(fixedLab).find((i) => i.id === id);
          if (own === undefined || !own.labels.text.includes('k8s:io.kubernetes.pod.namespace=shop;'))
            throw new RangeError(`selects ${id}`);
        }
        const init = table.subjects.get(5 as IdentityId)!.layers.normal;
        if (init.rows.count > 0 || table.origins.get(init.denyRules[0])?.kind !== 'Config') throw new RangeError('selects init');
      }),
      { numRuns: runs, seed },
    );
    expect(selected).toBeGreaterThan(0);
  });
});
