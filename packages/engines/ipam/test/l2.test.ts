import { type IpAddr, labelsFromMap } from '@axoneme/model';
import { describe, expect, test } from '@jest/globals';
import {
  chooseL2,
  createL2Fence,
  type L2Moment,
  type L2Node,
  type L2Record,
  type L2Service,
  planL2,
  readL2Policy,
  readL2Service,
  wantedL2,
} from '../src/index.ts';

type Json = Readonly<Record<string, unknown>>;
const policy = (name: string, spec: Json) => readL2Policy({ metadata: { name }, spec });
const service = (name: string, spec: Json, ingress: readonly string[] = [], more: Json = {}): L2Service | undefined =>
  readL2Service({
    metadata: { namespace: 'default', name, creationTimestamp: '2026-01-01T00:00:00Z', ...more },
    spec: { type: 'LoadBalancer', ...spec },
    status: { loadBalancer: { ingress: ingress.map((ip) => ({ ip })) } },
  });
const nodes = (...names: string[]): L2Node[] => names.map((name) => ({ name, labels: labelsFromMap({ 'kubernetes.io/hostname': name }) }));
const want = (
  policies: readonly ReturnType<typeof policy>[],
  services: readonly (L2Service | undefined)[],
  on: readonly L2Node[],
  backends: Readonly<Record<string, readonly string[]>> = {},
  taken: readonly string[] = [],
) =>
  wantedL2({
    policies,
    services: services.filter((s) => s !== undefined),
    nodes: on,
    backendNodes: (key) => new Set(backends[key]),
    taken: new Set(taken as readonly IpAddr[]),
  });
const shown = (w: ReturnType<typeof want>): unknown =>
  [...w.values()].map((x) => [x.address, x.services, Object.fromEntries(x.candidates)]);

describe('what is announced', () => {
  test('load balancer and external addresses, each if the policy says so, of Services without class or of ours', () => {
    const all = [
      service('a', {}, ['192.0.2.1', 'fd00::1']),
      service('b', { externalIPs: ['192.0.2.9'] }, ['192.0.2.2']),
      service('c', { loadBalancerClass: 'io.cilium/l2-announcer' }, ['192.0.2.3']),
      service('d', { loadBalancerClass: 'io.cilium/node' }, ['192.0.2.4']),
      service('e', { type: 'ClusterIP', externalIPs: ['192.0.2.10'] }, ['192.0.2.5']),
    ];
    const addresses = (spec: Json): string[] => [...want([policy('p', spec)], all, nodes('n1')).keys()];
    expect(addresses({ loadBalancerIPs: true })).toEqual(['192.0.2.1', 'fd00::1', '192.0.2.2', '192.0.2.3']);
    expect(addresses({ externalIPs: true })).toEqual(['192.0.2.9', '192.0.2.10']);
    expect(addresses({})).toEqual([]);
    const proxied = readL2Service({
      metadata: { namespace: 'x', name: 'y' },
      spec: { type: 'LoadBalancer' },
      status: { loadBalancer: { ingress: [{ ip: '192.0.2.7', ipMode: 'Proxy' }] } },
    });
    expect(proxied).toBeUndefined();
  });

  test('selectors choose Services, also by name and namespace, and nodes; devices of several policies add up', () => {
    const one = policy('one', {
      loadBalancerIPs: true,
      serviceSelector: { matchLabels: { 'io.kubernetes.service.name': 'a' } },
      nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'n1' } },
      interfaces: ['^eth0$'],
    });
    const two = policy('two', {
      loadBalancerIPs: true,
      serviceSelector: { matchExpressions: [{ key: 'tier', operator: 'In', values: ['x'] }] },
      interfaces: ['^eth1$'],
    });
    const all = [service('a', {}, ['192.0.2.1'], { labels: { tier: 'x' } }), service('b', {}, ['192.0.2.2'])];
    expect(shown(want([one], all, nodes('n1', 'n2')))).toEqual([['192.0.2.1', ['default/a'], { n1: ['^eth0$'] }]]);
    expect(shown(want([two, one], all, nodes('n1', 'n2')))).toEqual([
      ['192.0.2.1', ['default/a'], { n1: ['^eth0$', '^eth1$'], n2: ['^eth1$'] }],
    ]);
    const anywhere = policy('three', { loadBalancerIPs: true });
    expect(shown(want([one, anywhere], all.slice(0, 1), nodes('n1')))).toEqual([['192.0.2.1', ['default/a'], { n1: [] }]]);
  });

  test('policy Local: only nodes with a backend; an address of two Services where both may; addresses of nodes nowhere', () => {
    const p = policy('p', { loadBalancerIPs: true });
    const local = { externalTrafficPolicy: 'Local' };
    const all = [service('a', local, ['192.0.2.1']), service('b', local, ['192.0.2.1', '192.0.2.2']), service('c', {}, ['172.30.0.3'])];
    const backends = { 'default/a': ['n1', 'n2'], 'default/b': ['n2', 'n3'] };
    expect(shown(want([p], all, nodes('n1', 'n2', 'n3'), backends, ['172.30.0.3']))).toEqual([
      ['192.0.2.1', ['default/a', 'default/b'], { n2: [] }],
      ['192.0.2.2', ['default/b'], { n2: [], n3: [] }],
    ]);
  });

  test('a policy that cannot be read has no effect and says why', () => {
    const bad = policy('bad', {
      loadBalancerIPs: true,
      interfaces: ['^eth[0'],
      nodeSelector: { matchExpressions: [{ key: 'a', operator: 'Near' }] },
      serviceSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] },
    });
    expect([...bad.problems.keys()].sort()).toEqual([
      'io.cilium/bad-interface-regex',
      'io.cilium/bad-node-selector',
      'io.cilium/bad-service-selector',
    ]);
    expect(want([bad], [service('a', {}, ['192.0.2.1'])], nodes('n1')).size).toBe(0);
  });
});

describe('who announces it', () => {
  const p = policy('p', { loadBalancerIPs: true });
  const many = Array.from({ length: 300 }, (_, i) => `192.0.${i >> 8}.${i & 255}`);
  const names = ['n1', 'n2', 'n3', 'n4'];
  const moment = (alive: readonly string[], more: Partial<L2Moment> = {}): L2Moment => ({
    alive: (n) => alive.includes(n),
    stopped: () => false,
    lapsed: (n) => !alive.includes(n),
    certain: true,
    ...more,
  });
  const apply = (records: Map<IpAddr, L2Record>, plan: ReturnType<typeof planL2>): Map<IpAddr, L2Record> => {
    const out = new Map(records);
    for (const [a, r] of plan) {
      if (r === undefined) out.delete(a);
      else out.set(a, r);
    }
    return out;
  };

  test('addresses spread over nodes; a node less moves what it had and nothing else; a node more moves nothing', () => {
    const wants = want([p], [service('a', {}, many)], nodes(...names));
    const first = apply(new Map(), planL2(wants, new Map(), moment(names)));
    for (const n of names) expect([...first.values()].filter((r) => r.node === n).length).toBeGreaterThan(45);
    expect(planL2(wants, first, moment(names)).size).toBe(0);
    const without = planL2(wants, first, moment(['n1', 'n2', 'n3']));
    expect([...without.keys()].sort()).toEqual([...first.values()].flatMap((r) => (r.node === 'n4' ? [r.address] : [])).sort());
    expect([...without.values()].every((r) => r !== undefined && r.epoch === 2 && r.former.length === 0)).toBe(true);
    const more = want([p], [service('a', {}, many)], nodes(...names, 'n5'));
    expect(planL2(more, first, moment([...names, 'n5'])).size).toBe(0);
    expect(new Set(many.map((a) => chooseL2(more.get(a as IpAddr)!, () => true))).size).toBe(5);
  });

  test('who is silent keeps it until its time is over; a leader that has just begun gives nothing that has no record', () => {
    const wants = want([p], [service('a', {}, ['192.0.2.1'])], nodes('n1', 'n2'));
    expect(planL2(wants, new Map(), moment(names, { certain: false })).size).toBe(0);
    const [owner, other] = chooseL2(wants.values().next().value!, () => true) === 'n1' ? ['n1', 'n2'] : ['n2', 'n1'];
    const held = apply(new Map(), planL2(wants, new Map(), moment(['n1', 'n2'])));
    expect(planL2(wants, held, moment([other!], { lapsed: () => false })).size).toBe(0);
    expect(planL2(wants, held, moment([other!])).get('192.0.2.1' as IpAddr)).toMatchObject({ node: other, former: [], epoch: 2 });
    // nobody else is there: it stays its own
    expect(planL2(wants, held, moment([])).size).toBe(0);
    expect(owner).not.toBe(other);
  });

  test('who lives and may not any more says that it stopped before another has it', () => {
    const before = want([p], [service('a', {}, ['192.0.2.1'])], nodes('n1'));
    const held = apply(new Map(), planL2(before, new Map(), moment(names)));
    const after = want([p], [service('a', {}, ['192.0.2.1'])], nodes('n2'));
    const leaving = apply(held, planL2(after, held, moment(names)));
    expect([...leaving.values()]).toEqual([{ address: '192.0.2.1', node: 'n2', former: ['n1'], epoch: 2 }]);
    expect(planL2(after, leaving, moment(names)).size).toBe(0);
    const done = planL2(after, leaving, moment(names, { stopped: (n) => n === 'n1' }));
    expect([...done.values()]).toEqual([{ address: '192.0.2.1', node: 'n2', former: [], epoch: 2 }]);
    // and back to the first one: it need not stop first
    expect([...planL2(before, leaving, moment(names)).values()]).toMatchObject([{ node: 'n1', former: [] }]);
  });

  test('what nobody wants any more is forgotten when nobody can have it', () => {
    const wants = want([p], [service('a', {}, ['192.0.2.1'])], nodes('n1'));
    const held = apply(new Map(), planL2(wants, new Map(), moment(names)));
    const leaving = apply(held, planL2(new Map(), held, moment(names)));
    expect([...leaving.values()]).toMatchObject([{ node: '', former: ['n1'] }]);
    expect(apply(leaving, planL2(new Map(), leaving, moment([]))).size).toBe(0);
    expect(planL2(new Map(), held, moment([])).get('192.0.2.1' as IpAddr)).toBeUndefined();
  });
});

describe('leave to announce', () => {
  const config = { validMs: 3000, marginMs: 100, findMs: 6000 };

  test('a chain of answers goes on without proof, a broken one needs it', () => {
    const f = createL2Fence(config, 0);
    expect(f.ask('n', true, 0)).toBe(0);
    f.connected('n', 0);
    expect(f.ask('n', false, 10)).toBe(0);
    expect(f.ask('n', true, 20)).toBe(3000);
    expect(f.ask('n', false, 2900)).toBe(3000);
    f.disconnected('n');
    f.connected('n', 3000);
    expect(f.ask('n', false, 3100)).toBe(0);
    expect(f.ask('n', true, 3200)).toBe(3000);
    expect(f.lapsed('n', 6300)).toBe(false);
    expect(f.lapsed('n', 6301)).toBe(true);
    expect(f.ask('n', false, 6400)).toBe(0);
  });

  test('nothing has lapsed for a leader that has just begun', () => {
    const f = createL2Fence(config, 1000);
    f.sign('n', 1500);
    expect([f.certain(4100), f.lapsed('n', 4100), f.certain(4101), f.lapsed('n', 4101)]).toEqual([false, false, true, true]);
    // who was not heard has time to find out who leads
    expect([f.lapsed('m', 7000), f.lapsed('m', 7001)]).toEqual([false, true]);
    f.connected('m', 4200);
    expect(f.lapsed('m', 4201)).toBe(true);
  });

  test('who should ask and does not is given up until it says something', () => {
    const f = createL2Fence(config, 0);
    expect(f.alive('n', false, 0)).toBe(false);
    f.connected('n', 0);
    expect(f.alive('n', false, 60_000)).toBe(true);
    expect([f.alive('n', true, 60_000), f.alive('n', true, 63_100), f.alive('n', true, 63_101)]).toEqual([true, true, false]);
    expect(f.alive('n', false, 63_200)).toBe(false);
    f.sign('n', 63_300);
    expect(f.alive('n', false, 63_400)).toBe(true);
  });
});
