import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { LB_CONDITION, type LbPlan, planLbAddresses, readLbPool, readLbService } from '../src/index.ts';
import { sharingObstacle } from '../src/lb-sharing.ts';

type Json = Record<string, unknown>;
const at = (n: number): string => new Date(1_700_000_000_000 + n * 1000).toISOString();
const pool = (name: string, created: number, spec: Json): Json => ({ metadata: { name, creationTimestamp: at(created) }, spec });
const cidrs = (...list: string[]): Json => ({ blocks: list.map((cidr) => ({ cidr })) });

interface Svc {
  readonly created?: number;
  readonly ns?: string;
  readonly labels?: Json;
  readonly annotations?: Json;
  readonly spec?: Json;
  readonly held?: readonly string[];
  readonly marked?: boolean;
  readonly deleted?: boolean;
}
const service = (name: string, s: Svc = {}): Json => ({
  metadata: {
    name,
    namespace: s.ns ?? 'ns',
    creationTimestamp: at(s.created ?? 0),
    labels: s.labels,
    annotations: s.annotations,
    ...(s.deleted === true ? { deletionTimestamp: at(99) } : {}),
  },
  spec: { type: 'LoadBalancer', ipFamilies: ['IPv4'], ports: [{ port: 80, protocol: 'TCP' }], ...s.spec },
  status: {
    loadBalancer: { ingress: (s.held ?? []).map((ip) => ({ ip })) },
    ...(s.marked === true ? { conditions: [{ type: LB_CONDITION, status: 'True' }] } : {}),
  },
});
const plan = (pools: Json[], services: Json[], unclassed = true): LbPlan =>
  planLbAddresses(
    pools.map(readLbPool),
    services.flatMap((s) => readLbService(s, { unclassed }) ?? []),
  );
/** `name: addresses reason`, sorted by name. */
const told = (p: LbPlan): string[] =>
  [...p.services].map(([k, a]) => `${k}: ${a.addresses.join(',')} ${a.condition?.reason ?? '-'}`).sort();
const ips = (text: string): Json => ({ 'lbipam.cilium.io/ips': text });
const key = (text: string, more: Json = {}): Json => ({ 'lbipam.cilium.io/sharing-key': text, ...more });
const port = (n: number, protocol = 'TCP'): Json => ({ ports: [{ port: n, protocol }] });
const ten = pool('ten', 1, cidrs('10.0.0.0/30'));

describe('addresses', () => {
  test('the oldest pool and its lowest addresses first, the oldest Service first', () => {
    const younger = pool('a', 2, cidrs('10.9.0.0/30'));
    expect(
      told(
        plan(
          [younger, pool('b', 1, cidrs('10.0.0.0/31'))],
          ['z', 'y', 'x'].map((n, i) => service(n, { created: i })),
        ),
      ),
    ).toEqual(['ns/x: 10.9.0.0 satisfied', 'ns/y: 10.0.0.1 satisfied', 'ns/z: 10.0.0.0 satisfied']);
  });

  test('first and last addresses are left out on demand, of prefixes of more than two', () => {
    const spec = (cidr: string): Json => ({ ...cidrs(cidr), allowFirstLastIPs: 'No' });
    const totals = ['10.0.0.0/30', '10.0.0.0/31', '10.0.0.0/32', 'fd00::/127', 'fd00::/126'].map(
      (c) => plan([pool('p', 1, spec(c))], []).pools[0]!.total,
    );
    expect(totals).toEqual([2n, 2n, 1n, 2n, 2n]);
    expect(told(plan([pool('p', 1, spec('10.0.0.0/30'))], [service('a')]))).toEqual(['ns/a: 10.0.0.1 satisfied']);
  });

  test('ranges, single addresses and wrong blocks', () => {
    const blocks = [
      { start: '10.0.0.7', stop: '10.0.0.8' },
      { start: '10.0.0.20' },
      { start: '10.0.0.9', stop: '10.0.0.1' },
      { cidr: 'x' },
      { start: '10.0.0.1', stop: 'fd00::1' },
      { cidr: '10.0.0.0/24', start: '10.0.0.1' },
    ];
    const p = plan(
      [pool('p', 1, { blocks })],
      ['a', 'b', 'c', 'd'].map((n) => service(n)),
    );
    expect(told(p)).toEqual(['ns/a: 10.0.0.7 satisfied', 'ns/b: 10.0.0.8 satisfied', 'ns/c: 10.0.0.20 satisfied', 'ns/d:  out_of_ips']);
    expect(p.pools[0]).toMatchObject({ total: 3n, used: 3n });
    expect(p.pools[0]!.problems.map((x) => x.slice(0, 14))).toEqual([
      'spec.blocks[2]',
      'spec.blocks[3]',
      'spec.blocks[4]',
      'spec.blocks[5]',
    ]);
  });

  test('selectors, with the pseudo labels', () => {
    const selecting = (matchLabels: Json): Json => pool('p', 1, { ...cidrs('10.0.0.0/30'), serviceSelector: { matchLabels } });
    const services = [service('a', { labels: { app: 'x' } }), service('b', { ns: 'other' })];
    expect(told(plan([selecting({ app: 'x' })], services))).toEqual(['ns/a: 10.0.0.0 satisfied', 'other/b:  no_pool']);
    expect(told(plan([selecting({ 'io.kubernetes.service.namespace': 'other' })], services))).toEqual([
      'ns/a:  no_pool',
      'other/b: 10.0.0.0 satisfied',
    ]);
    expect(told(plan([selecting({ 'io.kubernetes.service.name': 'a' })], services))).toEqual([
      'ns/a: 10.0.0.0 satisfied',
      'other/b:  no_pool',
    ]);
    const broken = pool('p', 1, { ...cidrs('10.0.0.0/30'), serviceSelector: { matchExpressions: [{ key: 'a', operator: 'Maybe' }] } });
    expect(told(plan([broken], services))).toEqual(['ns/a:  no_pool', 'other/b:  no_pool']);
  });

  test('families', () => {
    const both = pool('p', 1, cidrs('10.0.0.0/30', 'fd00::/126'));
    const of = (spec: Json): string[] => told(plan([both], [service('a', { spec })]));
    expect(of({ ipFamilies: ['IPv6', 'IPv4'], ipFamilyPolicy: 'PreferDualStack' })).toEqual(['ns/a: 10.0.0.0,fd00:: satisfied']);
    expect(of({ ipFamilies: ['IPv6'] })).toEqual(['ns/a: fd00:: satisfied']);
    expect(of({ ipFamilies: undefined, ipFamilyPolicy: 'RequireDualStack' })).toEqual(['ns/a: 10.0.0.0,fd00:: satisfied']);
    expect(of({ ipFamilies: undefined, clusterIPs: ['fd00::99'] })).toEqual(['ns/a: fd00:: satisfied']);
    expect(told(plan([ten], [service('a', { spec: { ipFamilies: ['IPv4', 'IPv6'] } })]))).toEqual(['ns/a: 10.0.0.0 no_pool']);
  });

  test('classes', () => {
    const of = (loadBalancerClass: string | undefined, unclassed: boolean): string[] =>
      told(plan([ten], [service('a', { spec: { loadBalancerClass } })], unclassed));
    expect(of(undefined, true)).toHaveLength(1);
    expect(of(undefined, false)).toEqual([]);
    expect(of('io.cilium/bgp-control-plane', false)).toHaveLength(1);
    expect(of('io.cilium/l2-announcer', false)).toHaveLength(1);
    expect(of('example.com/cloud', true)).toEqual([]);
  });

  test('what another class has is not given', () => {
    const foreign = service('f', { spec: { loadBalancerClass: 'example.com/cloud' }, held: ['10.0.0.0'] });
    expect(told(plan([ten], [foreign, service('a')]))).toEqual(['ns/a: 10.0.0.1 satisfied']);
    expect(told(plan([ten], [foreign, service('a', { annotations: ips('10.0.0.0') })]))).toEqual(['ns/a:  already_allocated']);
  });
});

describe('what Services have', () => {
  test('is kept, also of disabled pools and those in conflict', () => {
    const held = service('a', { created: 5, held: ['10.0.0.2'], marked: true });
    expect(told(plan([ten], [held, service('b')]))).toEqual(['ns/a: 10.0.0.2 satisfied', 'ns/b: 10.0.0.0 satisfied']);
    expect(told(plan([pool('ten', 1, { ...cidrs('10.0.0.0/30'), disabled: true })], [held, service('b')]))).toEqual([
      'ns/a: 10.0.0.2 satisfied',
      'ns/b:  no_pool',
    ]);
    const p = plan(
      [pool('ten', 2, cidrs('10.0.0.0/30')), pool('old', 1, cidrs('10.0.0.0/31')), pool('third', 3, cidrs('10.0.0.2/31'))],
      [held],
    );
    expect(told(p)).toEqual(['ns/a: 10.0.0.2 satisfied']);
    expect(p.pools.map((x) => [x.name, x.conflict !== undefined])).toEqual([
      ['old', false],
      ['ten', true],
      ['third', false],
    ]);
  });

  test('goes with its range, its selector, its family or a new wish', () => {
    const held = (s: Svc = {}): Json => service('a', { held: ['10.0.0.2'], marked: true, ...s });
    const gone = pool('ten', 1, cidrs('10.5.0.0/30'));
    expect(told(plan([gone], [held()]))).toEqual(['ns/a: 10.5.0.0 satisfied']);
    expect(told(plan([], [held()]))).toEqual(['ns/a:  no_pool']);
    expect(told(plan([pool('ten', 1, { ...cidrs('10.0.0.0/30'), serviceSelector: { matchLabels: { x: 'y' } } })], [held()]))).toEqual([
      'ns/a:  no_pool',
    ]);
    expect(told(plan([ten], [held({ spec: { ipFamilies: ['IPv6'] } })]))).toEqual(['ns/a:  no_pool']);
    expect(told(plan([ten], [held({ annotations: ips('10.0.0.3') })]))).toEqual(['ns/a: 10.0.0.3 satisfied']);
  });

  test('of two that have one address the older keeps it', () => {
    const two = [service('a', { created: 2, held: ['10.0.0.0'] }), service('b', { created: 1, held: ['10.0.0.0'] })];
    expect(told(plan([ten], two))).toEqual(['ns/a: 10.0.0.1 satisfied', 'ns/b: 10.0.0.0 satisfied']);
  });

  test('is taken back when the Service is not ours any more, and held while it is being deleted', () => {
    expect(told(plan([ten], [service('a', { spec: { type: 'ClusterIP' }, held: ['10.0.0.0'], marked: true })]))).toEqual(['ns/a:  -']);
    expect(told(plan([ten], [service('a', { held: ['10.0.0.0'], marked: true }), service('b')], false))).toEqual(['ns/a:  -']);
    expect(told(plan([ten], [service('a', { held: ['10.0.0.0'], marked: true, deleted: true }), service('b')]))).toEqual([
      'ns/b: 10.0.0.1 satisfied',
    ]);
  });

  test('without any pool nobody is touched who was never given one', () => {
    expect(told(plan([], [service('a', { held: ['192.0.2.1'] }), service('b')]))).toEqual([]);
  });
});

describe('named addresses', () => {
  test.each([
    ['10.0.0.3', 'ns/a: 10.0.0.3 satisfied'],
    ['10.0.0.3, 10.0.0.1', 'ns/a: 10.0.0.3,10.0.0.1 satisfied'],
    ['10.0.9.9', 'ns/a:  no_pool'],
    ['fd00::1', 'ns/a:  family_not_requested'],
    ['nonsense', 'ns/a:  invalid_request'],
    ['10.0.0.3,nonsense', 'ns/a: 10.0.0.3 invalid_request'],
  ])('%s', (text, expected) => {
    expect(told(plan([ten], [service('a', { annotations: ips(text) })]))).toEqual([expected]);
    expect(told(plan([ten], [service('a', { annotations: { 'io.cilium/lb-ipam-ips': text } })]))).toEqual([expected]);
  });

  test('come before those of Services that name none; spec.loadBalancerIP counts if there is no annotation', () => {
    const services = [service('a'), service('b', { created: 9, spec: { loadBalancerIP: '10.0.0.0' } })];
    expect(told(plan([ten], services))).toEqual(['ns/a: 10.0.0.1 satisfied', 'ns/b: 10.0.0.0 satisfied']);
    expect(told(plan([ten], [service('b', { spec: { loadBalancerIP: '10.0.0.0' }, annotations: ips('10.0.0.2') })]))).toEqual([
      'ns/b: 10.0.0.2 satisfied',
    ]);
  });

  test('are not taken from who has them, nor from pools that do not select the Service', () => {
    expect(told(plan([ten], [service('a', { held: ['10.0.0.0'], created: 3 }), service('b', { annotations: ips('10.0.0.0') })]))).toEqual([
      'ns/a: 10.0.0.0 satisfied',
      'ns/b:  already_allocated',
    ]);
    const p = pool('p', 1, { ...cidrs('10.0.0.0/30'), serviceSelector: { matchLabels: { x: 'y' } } });
    expect(told(plan([p], [service('b', { annotations: ips('10.0.0.0') })]))).toEqual(['ns/b:  pool_selector_mismatch']);
  });
});

describe('sharing', () => {
  const pair = (a: Svc, b: Svc): string[] =>
    told(plan([ten], [service('a', { ...a }), service('b', { created: 1, ...b })])).map((t) => t.split(' ')[1]!);
  test.each<[string, Svc, Svc, boolean]>([
    ['equal keys, other ports', { annotations: key('k') }, { annotations: key('k'), spec: port(443) }, true],
    ['equal ports of other protocols', { annotations: key('k') }, { annotations: key('k'), spec: port(80, 'UDP') }, true],
    ['equal ports', { annotations: key('k') }, { annotations: key('k') }, false],
    ['other keys', { annotations: key('k') }, { annotations: key('l'), spec: port(443) }, false],
    ['no keys', {}, { spec: port(443) }, false],
    ['other namespaces', { annotations: key('k') }, { ns: 'm', annotations: key('k'), spec: port(443) }, false],
    [
      'one side admits',
      { annotations: key('k', { 'lbipam.cilium.io/sharing-cross-namespace': '*' }) },
      { ns: 'm', annotations: key('k'), spec: port(443) },
      false,
    ],
    [
      'both sides admit',
      { annotations: key('k', { 'lbipam.cilium.io/sharing-cross-namespace': '*' }) },
      { ns: 'm', annotations: key('k', { 'lbipam.cilium.io/sharing-cross-namespace': 'x, ns' }), spec: port(443) },
      true,
    ],
    ['other policies', { annotations: key('k') }, { annotations: key('k'), spec: { ...port(443), externalTrafficPolicy: 'Local' } }, false],
    [
      'Local, other selectors',
      { annotations: key('k'), spec: { externalTrafficPolicy: 'Local', selector: { a: 'b' } } },
      { annotations: key('k'), spec: { ...port(443), externalTrafficPolicy: 'Local', selector: { a: 'c' } } },
      false,
    ],
    [
      'Local, equal selectors',
      { annotations: key('k'), spec: { externalTrafficPolicy: 'Local', selector: { a: 'b', c: 'd' } } },
      { annotations: key('k'), spec: { ...port(443), externalTrafficPolicy: 'Local', selector: { c: 'd', a: 'b' } } },
      true,
    ],
  ])('%s', (_name, a, b, together) => {
    const [x, y] = pair(a, b);
    expect([x !== '', y !== '', x === y]).toEqual([true, true, together]);
  });

  test('who stops to be compatible gets an address of its own; who names a shared one is told why not', () => {
    const a = service('a', { annotations: key('k'), held: ['10.0.0.0'] });
    expect(told(plan([ten], [a, service('b', { created: 1, annotations: key('k'), held: ['10.0.0.0'] })]))).toEqual([
      'ns/a: 10.0.0.0 satisfied',
      'ns/b: 10.0.0.1 satisfied',
    ]);
    const wish = service('b', { created: 1, annotations: key('k', ips('10.0.0.0')) });
    const p = plan([ten], [a, wish]);
    expect(p.services.get('ns/b')!.condition).toEqual({
      satisfied: false,
      reason: 'already_allocated_incompatible_service',
      message: '10.0.0.0 is the address of ns/a: both have port 80/TCP',
    });
  });

  test('one that is being deleted does not take the address from its companions', () => {
    const a = service('a', { annotations: key('k'), held: ['10.0.0.0'], deleted: true });
    expect(told(plan([ten], [a, service('b', { annotations: key('k'), spec: port(443), held: ['10.0.0.0'] })]))).toEqual([
      'ns/b: 10.0.0.0 satisfied',
    ]);
  });
});

const arbitraryService = fc.record({
  created: fc.integer({ min: 0, max: 3 }),
  ns: fc.constantFrom('m', 'n'),
  labels: fc.constantFrom<Json>({}, { app: 'x' }),
  annotations: fc.constantFrom<Json>(
    {},
    {},
    key('k'),
    key('k', { 'lbipam.cilium.io/sharing-cross-namespace': '*' }),
    ips('10.0.0.1'),
    ips('10.0.0.2,fd00::2'),
    key('k', ips('10.0.0.1')),
    ips('bad'),
  ),
  spec: fc.record({
    ipFamilies: fc.constantFrom(['IPv4'], ['IPv6'], ['IPv4', 'IPv6']),
    ports: fc.constantFrom([{ port: 80 }], [{ port: 443 }], [{ port: 80, protocol: 'UDP' }]),
    externalTrafficPolicy: fc.constantFrom('Cluster', 'Cluster', 'Local'),
    loadBalancerClass: fc.constantFrom(undefined, undefined, 'io.cilium/l2-announcer', 'example.com/x'),
  }),
  held: fc.subarray(['10.0.0.0', '10.0.0.1', '10.0.0.2', '192.0.2.9', 'fd00::', 'fd00::2'], { maxLength: 3 }),
  marked: fc.boolean(),
});
const arbitraryServices = fc.array(arbitraryService, { maxLength: 9 }).map((l) => l.map((s, i) => ({ name: `s${i}`, s: s as Svc })));
const arbitraryPools = fc
  .array(
    fc.record({
      created: fc.integer({ min: 0, max: 2 }),
      blocks: fc.subarray(['10.0.0.0/31', '10.0.0.0/30', '10.0.0.4/31', 'fd00::/127', 'fd00::/126'], { minLength: 1 }),
      serviceSelector: fc.constantFrom(undefined, undefined, { matchLabels: { app: 'x' } }),
      disabled: fc.constantFrom(false, false, false, true),
    }),
    { maxLength: 3 },
  )
  .map((l) => l.map(({ created, blocks, ...spec }, i) => pool(`p${i}`, created, { ...cidrs(...blocks), ...spec })));
const objects = (list: { name: string; s: Svc }[]): Json[] => list.map(({ name, s }) => service(name, s));
/** The Services after somebody has written what the plan says. */
const applied = (list: { name: string; s: Svc }[], p: LbPlan): { name: string; s: Svc }[] =>
  list.map(({ name, s }) => {
    const a = p.services.get(`${s.ns}/${name}`);
    return a === undefined ? { name, s } : { name, s: { ...s, held: a.addresses, marked: a.condition !== undefined } };
  });
const runs = { numRuns: 400 };

describe('whatever the objects', () => {
  test('no address has two owners that do not share it, and every address is of a pool that selects the Service', () => {
    fc.assert(
      fc.property(arbitraryPools, arbitraryServices, (pools, list) => {
        const after = applied(list, plan(pools, objects(list)));
        const read = objects(after).flatMap((o) => readLbService(o, { unclassed: true }) ?? []);
        for (const [i, a] of read.entries()) {
          if (a.standing !== 'ours' || !a.marked) continue;
          for (const b of read.slice(0, i)) {
            if (b.standing !== 'other' && !b.marked) continue;
            if (a.held.some((ip) => b.held.includes(ip))) expect([a.key, b.key, sharingObstacle(a, b)]).toEqual([a.key, b.key, undefined]);
          }
          expect(new Set(a.held).size).toBe(a.held.length);
        }
      }),
      runs,
    );
  });

  test('a plan that was carried out changes nothing, and the order of the objects does not count', () => {
    fc.assert(
      fc.property(arbitraryPools, arbitraryServices, (pools, list) => {
        const first = plan(pools, objects(list));
        const second = plan(pools, objects(applied(list, first)));
        if (pools.length > 0) expect(told(second)).toEqual(told(first).filter((t) => !t.endsWith(' -')));
        expect(told(plan([...pools].reverse(), objects([...list].reverse())))).toEqual(told(first));
      }),
      runs,
    );
  });

  test('a newcomer takes nothing from anybody', () => {
    fc.assert(
      fc.property(arbitraryPools, arbitraryServices, arbitraryService, (pools, list, newcomer) => {
        const settled = applied(list, plan(pools, objects(list)));
        const before = plan(pools, objects(settled));
        const after = plan(pools, [...objects(settled), service('new', { ...(newcomer as Svc), held: [], marked: false })]);
        for (const [k, a] of before.services) expect([k, after.services.get(k)?.addresses]).toEqual([k, a.addresses]);
      }),
      runs,
    );
  });

  test('addresses are said to be out only when they are', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 9 }), fc.subarray(['10.0.0.0', '10.0.0.1', '10.0.0.3']), (n, held) => {
        const list = Array.from({ length: n }, (_, i) => service(`s${i}`, { held: held.slice(i, i + 1) }));
        const p = plan([ten], list);
        const got = [...p.services.values()].flatMap((a) => a.addresses);
        expect(new Set(got).size).toBe(Math.min(n, 4));
        expect(p.pools[0]!.used).toBe(BigInt(Math.min(n, 4)));
        expect([...p.services.values()].filter((a) => a.condition?.reason === 'out_of_ips')).toHaveLength(Math.max(0, n - 4));
      }),
    );
  });
});

test('ten thousand Services of one pool are planned at once', () => {
  const list = Array.from({ length: 10_000 }, (_, i) => service(`s${i}`));
  const p = plan([pool('p', 1, cidrs('10.0.0.0/16'))], list);
  expect(new Set([...p.services.values()].flatMap((a) => a.addresses)).size).toBe(10_000);
});
