import { labelsToMap } from '@axoneme/model';
import { AppError } from '@axoneme/std';
import { createRandom, runSeed } from '@axoneme/testkit';
import { describe, expect, test } from '@jest/globals';
import { createLab, keyOfPolicy, type Lab, labConfig } from './lab.ts';

/** Two nodes, two pods; the API server is outside, the operator runs on n2. */
function cluster(config: object = {}): Lab {
  const lab = createLab(labConfig(config));
  lab.node('n1', 1, { zone: 'a' });
  lab.node('n2', 2, { zone: 'b' });
  lab.pod('web', 'n1', 5, { app: 'web' });
  lab.pod('client', 'n2', 6, { app: 'client' });
  lab.identities();
  lab.world.set('slices', 'default/kubernetes', {
    metadata: { namespace: 'default', name: 'kubernetes', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    ports: [{ port: 6443 }],
    endpoints: [{ addresses: ['172.31.0.9'] }],
  });
  lab.world.set('pods', 'axoneme-system/operator', {
    namespace: 'axoneme-system',
    name: 'operator',
    uid: 'op',
    node: 'n2',
    hostNetwork: true,
    serviceAccount: 'axoneme-operator',
    labels: { 'app.kubernetes.io/component': 'operator' },
    addresses: ['172.30.0.2'],
    finished: false,
    namedPorts: [],
    audit: false,
  });
  return lab;
}

const ports = (n: number, from = 1000): object[] =>
  Array.from({ length: n }, (_, i) => ({ ports: [{ port: String(from + i * 2), protocol: 'TCP' }] }));
/** `n` rows for the node of `web`. */
const rows = (n: number, from?: number): object => ({
  endpointSelector: { matchLabels: { app: 'web' } },
  ingress: [{ fromEntities: ['world'], toPorts: ports(n, from) }],
});
const snapshot = (lab: Lab): unknown => [...lab.given].map(([node, names]) => [node, [...names].map(([n, d]) => `${n}=${d}`).sort()]);
const refusals = (lab: Lab): string[] => [...lab.gates.gatekeeper.refusals()].map(([key, r]) => `${key} ${r.reason}`);

describe('capacity', () => {
  test('an overflowing change is refused with map, node and numbers', () => {
    const lab = cluster({ mapSizes: { policy: 40 } });
    const small = lab.policy('CiliumNetworkPolicy', 'small', rows(2));
    expect(lab.decide().refusals.size).toBe(0);
    const before = snapshot(lab);
    const big = lab.policy('CiliumNetworkPolicy', 'big', rows(30, 3000));
    const refusal = lab.decide().refusals.get(big)!;
    expect(refusal.reason).toBe('CapacityExceeded');
    const [, needed] = /^map policy of node n1 needs (\d+) rows, it has room for 40$/.exec(refusal.message)!;
    expect(Number(needed)).toBeGreaterThan(40);
    expect(snapshot(lab)).toEqual(before);
    expect(lab.compiler.units.used(big)).toBeUndefined();
    expect(lab.compiler.units.used(small)).toBeDefined();
    // an update that is too large keeps the version of before
    lab.policy('CiliumNetworkPolicy', 'small', rows(30, 5000), { generation: 2 });
    expect(lab.decide().refusals.get(small)?.reason).toBe('CapacityExceeded');
    expect(snapshot(lab)).toEqual(before);
    // the smaller one of both passes
    lab.policy('CiliumNetworkPolicy', 'big', rows(3, 3000), { generation: 2 });
    const after = lab.decide();
    expect([...after.refusals.keys()]).toEqual([small]);
    expect(after.heldBack.size).toBe(0);
    expect(snapshot(lab)).not.toEqual(before);
  });

  test('what was refused is taken once there is room', () => {
    const lab = cluster({ mapSizes: { policy: 60 } });
    lab.policy('CiliumNetworkPolicy', 'one', rows(7));
    lab.decide();
    const two = lab.policy('CiliumNetworkPolicy', 'two', rows(9, 3000));
    expect(lab.decide().refusals.has(two)).toBe(true);
    lab.drop('CiliumNetworkPolicy', 'one');
    expect(lab.decide().refusals.size).toBe(0);
    expect(lab.compiler.units.used(two)).toBeDefined();
  });

  test('of a batch only those are refused that do not fit, the youngest first', () => {
    const lab = cluster({ mapSizes: { policy: 30 } });
    const at = (minute: number) => ({ created: `2026-01-01T00:0${minute}:00Z` });
    lab.policy('CiliumNetworkPolicy', 'c', rows(4, 3000), at(3));
    lab.policy('CiliumNetworkPolicy', 'a', rows(4, 1000), at(1));
    lab.policy('CiliumNetworkPolicy', 'd', rows(1, 4000), at(4));
    lab.policy('CiliumNetworkPolicy', 'b', rows(4, 2000), at(2));
    lab.decide();
    const first = refusals(lab);
    expect(first).toEqual(['CiliumNetworkPolicy:shop/c CapacityExceeded']);
    // an operator that starts anew decides alike
    const again = createLab(labConfig({ mapSizes: { policy: 30 } }), lab.world);
    again.decide();
    expect(refusals(again)).toEqual(first);
    expect(snapshot(again)).toEqual(snapshot(lab));
  });

  test('what pods alone need holds the node back and blames no policy', () => {
    const lab = cluster({ mapSizes: { subject: 3 } });
    const key = lab.policy('CiliumNetworkPolicy', 'web', rows(1));
    expect(lab.decide().heldBack.size).toBe(0);
    const before = snapshot(lab);
    for (const i of [11, 12, 13, 14]) lab.pod(`more-${i}`, 'n1', i, { app: `more-${i}` });
    lab.identities();
    const { heldBack, refusals: refused, breaches } = lab.decide();
    expect([...heldBack]).toEqual(['n1']);
    expect(refused.has(key)).toBe(false);
    expect(breaches[0]!.refusal.message).toBe('map subject of node n1 needs 6 rows, it has room for 3');
    expect(new Map(snapshot(lab) as [string, unknown][]).get('n1')).toEqual(new Map(before as [string, unknown][]).get('n1'));
    const [capacity] = lab.gates.components;
    expect(capacity!.health()).toMatchObject({ state: 'degraded', reason: expect.stringContaining('map subject of node n1') });
    for (const i of [11, 12, 13, 14]) lab.world.remove('pods', `shop/more-${i}`);
    expect(lab.decide().heldBack.size).toBe(0);
    expect(capacity!.health()).toEqual({ state: 'ok' });
  });
});

const host = (more: object): object => ({ nodeSelector: {}, ...more });
const cuts = (lab: Lab, name: string): string =>
  lab.gates.gatekeeper.refusals().get(keyOfPolicy('CiliumClusterwideNetworkPolicy', name))?.message ?? '';
const everything = [{ fromEntities: ['all'] }];

describe('host safety', () => {
  test('P5-b: a host policy that cuts a node off is refused and names node, connection and rule', () => {
    const lab = cluster({ hostFirewallAdminCidrs: ['203.0.113.0/24'] });
    lab.compile();
    const ccnp = (name: string, spec: object) => lab.policy('CiliumClusterwideNetworkPolicy', name, host(spec));
    const attempts: readonly (readonly [string, object, string])[] = [
      ['api', { egress: [{ toEntities: ['all'] }], egressDeny: [{ toEntities: ['kube-apiserver'] }] }, 'host → API server 172.31.0.9:6443'],
      ['closed', { egress: [{ toEntities: ['none'] }] }, 'host → API server 172.31.0.9:6443'],
      [
        'operator',
        {
          egress: [{ toEntities: ['all'] }],
          egressDeny: [{ toEntities: ['remote-node'], toPorts: [{ ports: [{ port: '9443', protocol: 'TCP' }] }] }],
        },
        'host → operator 172.30.0.2:9443',
      ],
      [
        'serve',
        {
          ingress: everything,
          ingressDeny: [{ fromEntities: ['remote-node'], toPorts: [{ ports: [{ port: '9444', protocol: 'TCP' }] }] }],
        },
        'node n1 → operator 172.30.0.2:9444',
      ],
      [
        'kubelet',
        {
          ingress: [
            { fromEntities: ['remote-node', 'world'], toPorts: [{ ports: [{ port: '22', protocol: 'TCP' }] }] },
            { fromEntities: ['cluster'], toPorts: [{ ports: [{ port: '9443' }, { port: '9444' }] }] },
          ],
        },
        'API server 172.31.0.9 → host:10250',
      ],
      [
        'webhook',
        {
          ingress: everything,
          ingressDeny: [{ fromEntities: ['kube-apiserver'], toPorts: [{ ports: [{ port: '9446', protocol: 'TCP' }] }] }],
        },
        'API server 172.31.0.9 → operator 172.30.0.2:9446',
      ],
      [
        'admins',
        { ingress: [{ fromEntities: ['cluster', 'kube-apiserver'] }, { fromCIDR: ['203.0.113.0/25'] }] },
        'administrators in 203.0.113.0/24 → host:22',
      ],
    ];
    for (const [name, spec, connection] of attempts) {
      ccnp(name, spec);
      const decision = lab.decide();
      const message = cuts(lab, name);
      expect([name, message]).toEqual([name, expect.stringContaining(connection)]);
      expect(message).toMatch(new RegExp(`^would cut off node n[12]: .* is dropped by CiliumClusterwideNetworkPolicy ${name} `));
      expect(refusals(lab)).toEqual([`CiliumClusterwideNetworkPolicy:${name} CutsOffNode`]);
      expect(decision.compiled.host('n1')).toBeUndefined();
      lab.drop('CiliumClusterwideNetworkPolicy', name);
      lab.decide();
      expect(refusals(lab)).toEqual([]);
    }
    ccnp('good', {
      ingress: [{ fromEntities: ['cluster', 'kube-apiserver'] }, { fromCIDR: ['203.0.113.0/24'] }],
      egress: [{ toEntities: ['all'] }],
    });
    expect(lab.decide().compiled.host('n1')).toBeDefined();
    expect(refusals(lab)).toEqual([]);
  });

  test('two policies that are safe only together are taken together, and one of them cannot go alone', () => {
    const lab = cluster();
    const spec = (more: object): object => ({ nodeSelector: { matchLabels: { zone: 'a' } }, ...more });
    lab.policy('CiliumClusterwideNetworkPolicy', 'close', spec({ ingress: [{ fromEntities: ['none'] }] }));
    lab.policy('CiliumClusterwideNetworkPolicy', 'open', spec({ ingress: everything }));
    lab.decide();
    expect(refusals(lab)).toEqual([]);
    lab.drop('CiliumClusterwideNetworkPolicy', 'open');
    const { compiled } = lab.decide();
    expect(compiled.host('n1')!.layers.normal.rows.count).toBe(1);
    expect(refusals(lab)).toEqual(['CiliumClusterwideNetworkPolicy:open CutsOffNode']);
    expect(lab.gates.components[1]!.health()).toMatchObject({ state: 'degraded', reason: expect.stringContaining('stays in force') });
    lab.drop('CiliumClusterwideNetworkPolicy', 'close');
    expect(lab.decide().compiled.host('n1')).toBeUndefined();
    expect(refusals(lab)).toEqual([]);
    expect(lab.gates.components[1]!.health()).toEqual({ state: 'ok' });
  });
});

const invariant = (lab: Lab, name: string, spec: object): void =>
  lab.world.set('invariants', name, {
    apiVersion: 'axoneme.io/v1alpha1',
    kind: 'ReachabilityInvariant',
    metadata: { name, uid: name },
    spec: {
      from: { podSelector: { matchLabels: { app: 'client' } } },
      to: { podSelector: { matchLabels: { app: 'web' } } },
      ports: [{ port: 80, protocol: 'TCP' }],
      ...spec,
    },
  });
const deny = { endpointSelector: { matchLabels: { app: 'web' } }, ingressDeny: [{ fromEntities: ['all'] }] };
const shut = { endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{ fromEntities: ['none'] }] };

describe('reachability invariants', () => {
  test('a change that breaks one is refused and says which pods and which rule', () => {
    const lab = cluster();
    invariant(lab, 'shop', { expect: 'MustReach', action: 'Refuse' });
    lab.decide();
    const key = lab.policy('CiliumNetworkPolicy', 'deny', deny);
    const refusal = lab.decide().refusals.get(key)!;
    expect(refusal).toEqual({
      reason: 'BreaksInvariant',
      message:
        'breaks ReachabilityInvariant shop (MustReach): shop/client → shop/web: 80/TCP is closed at ingress by CiliumNetworkPolicy shop/deny ingressDeny[0]',
    });
    expect(lab.gates.invariants().get('shop')).toEqual({ problems: [], broken: 0, examples: [] });
    lab.world.remove('invariants', 'shop');
    expect(lab.decide().refusals.size).toBe(0);
  });

  test('one that only flags refuses nothing and counts', () => {
    const lab = cluster();
    invariant(lab, 'shop', { expect: 'MustReach', action: 'Flag' });
    lab.policy('CiliumNetworkPolicy', 'deny', deny);
    expect(lab.decide().refusals.size).toBe(0);
    expect(lab.gates.invariants().get('shop')).toMatchObject({ broken: 1 });
  });

  test('one that never held is not held against unrelated changes', () => {
    const lab = cluster();
    lab.policy('CiliumNetworkPolicy', 'shut', shut);
    lab.decide();
    invariant(lab, 'shop', { expect: 'MustReach', action: 'Refuse' });
    lab.policy('CiliumNetworkPolicy', 'other', { endpointSelector: { matchLabels: { app: 'client' } }, ingress: [{}] });
    const { refusals: refused, breaches } = lab.decide();
    expect(refused.size).toBe(0);
    expect(breaches).toHaveLength(1);
    lab.policy('CiliumNetworkPolicy', 'shut', { ...shut, ingress: everything }, { generation: 2 });
    expect(lab.decide().breaches).toEqual([]);
  });

  test('after a restart the order of creation decides, though before it nothing was enforced', () => {
    const lab = cluster();
    invariant(lab, 'apart', { expect: 'MustNotReach', action: 'Refuse' });
    lab.policy('CiliumNetworkPolicy', 'shut', shut, { created: '2026-01-01T00:00:00Z' });
    lab.decide();
    const open = lab.policy('CiliumNetworkPolicy', 'open', { ...shut, ingress: everything }, { created: '2026-01-02T00:00:00Z' });
    lab.decide();
    expect(refusals(lab)).toEqual([`${open} BreaksInvariant`]);
    const again = createLab(labConfig(), lab.world);
    again.decide();
    expect(refusals(again)).toEqual([`${open} BreaksInvariant`]);
    expect(snapshot(again)).toEqual(snapshot(lab));
  });
});

const seed = runSeed();
test(`what is kept of invariants between checks equals a check from scratch (seed ${seed})`, () => {
  const random = createRandom(seed);
  const apps = ['web', 'client', 'db', 'cache'];
  const selector = (): object => ({ podSelector: random.bool(0.3) ? {} : { matchLabels: { app: random.pick(apps) } } });
  for (let round = 0; round < 12; round++) {
    const lab = cluster();
    const counts = (l: Lab): unknown => Object.fromEntries([...l.gates.invariants()].map(([name, s]) => [name, s.broken]));
    for (let step = 0; step < 14; step++) {
      const app = random.pick(apps);
      const subject = { endpointSelector: { matchLabels: { app } } };
      const peers = { matchLabels: { app: random.pick(apps) } };
      const toPorts = [{ ports: [{ port: '80', protocol: 'TCP' }] }];
      const block = { ipBlock: { cidr: `10.244.${random.int(1, 2)}.${random.int(4, 8)}/32` } };
      const to = random.bool(0.3) ? { cidr: random.pick(['198.51.0.0/16', '0.0.0.0/0']) } : selector();
      const spec = { from: selector(), to, expect: random.pick(['MustReach', 'MustNotReach']), action: 'Flag' };
      const generation = step + 2;
      random.pick([
        () => lab.policy('CiliumNetworkPolicy', app, { ...subject, ingress: [{ fromEndpoints: [peers], toPorts }] }, { generation }),
        () => lab.policy('CiliumNetworkPolicy', app, { ...subject, egressDeny: [{ toCIDR: ['198.51.100.0/24'] }] }, { generation }),
        () => lab.policy('NetworkPolicy', app, { podSelector: {}, ingress: [{ from: [block] }] }, { generation }),
        () => lab.drop('CiliumNetworkPolicy', app),
        () => lab.drop('NetworkPolicy', app),
        () => lab.pod(app, `n${random.int(1, 2)}`, random.int(4, 8), { app }),
        () => invariant(lab, `i${random.int(1, 4)}`, spec),
      ])();
      for (const v of lab.compiler.podViews(lab.world.tables)) {
        const id = 300 + apps.indexOf(v.row.name);
        lab.world.set('identities', String(id), { id, labels: labelsToMap(v.labels), createdMs: 1 });
      }
      lab.decide();
    }
    const fresh = createLab(labConfig(), lab.world);
    fresh.decide();
    expect(counts(lab)).toEqual(counts(fresh));
  }
});

test('a gate that fails stops nobody and says so', () => {
  const lab = cluster();
  // an object that no parser expects: the gate must not take the other changes with it
  lab.world.set(
    'invariants',
    'odd',
    new Proxy(
      {},
      {
        get: () => {
          throw new AppError({ code: 'test/odd', message: 'odd object' });
        },
      },
    ),
  );
  const key = lab.policy('CiliumNetworkPolicy', 'deny', deny);
  expect(lab.decide().refusals.size).toBe(0);
  expect(lab.compiler.units.used(key)).toBeDefined();
  expect(lab.gates.components[1]!.health()).toMatchObject({ state: 'degraded', reason: expect.stringContaining('gate invariants failed') });
  lab.world.remove('invariants', 'odd');
  lab.decide();
  expect(lab.gates.components[1]!.health()).toEqual({ state: 'ok' });
});
