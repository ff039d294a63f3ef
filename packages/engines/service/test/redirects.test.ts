import { labelsFromMap, parseIp } from '@axoneme/model';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  compileAll,
  compileFor,
  createServiceCompiler,
  type Frontend,
  frontendFlags,
  type RedirectInput,
  type RedirectPod,
  readRedirect,
  type ServiceChanges,
  type ServiceSnapshot,
  type ServiceTable,
  serviceDefaults,
} from '../src/index.ts';
import { scaled } from './runs.ts';
import { key, node, plain, service, slice } from './world.ts';

interface Spec {
  readonly name?: string;
  readonly created?: number;
  readonly spec: object;
}
const tcp = (port: unknown, name?: string) => ({ port, protocol: 'TCP', ...(name === undefined ? {} : { name }) });
const udp = (port: unknown, name?: string) => ({ ...tcp(port, name), protocol: 'UDP' });
const backend = (toPorts: object[] = [tcp('8080')]) => ({ localEndpointSelector: { matchLabels: { app: 'cache' } }, toPorts });
const address = (ip: string, toPorts: object[] = [tcp('80')]) => ({ addressMatcher: { ip, toPorts } });
const redirect = ({ name = 'shop/r', created = 1000, spec }: Spec): RedirectInput =>
  readRedirect({
    metadata: { namespace: name.split('/')[0], name: name.split('/')[1], creationTimestamp: new Date(created).toISOString() },
    spec,
  });
const policy = (ip: string, more: Partial<Spec> & { ports?: object[]; skip?: boolean } = {}): RedirectInput =>
  redirect({
    ...more,
    spec: { redirectFrontend: address(ip, more.ports), redirectBackend: backend(), skipRedirectFromBackend: more.skip },
  });
const pod = (at: string, nodeName: string, more: Partial<RedirectPod> = {}): RedirectPod => ({
  key: key(at),
  namespace: at.split('/')[0]!,
  node: nodeName as never,
  labels: labelsFromMap({ app: 'cache' }),
  addresses: [],
  ready: true,
  ...more,
});
const ips = (...texts: string[]) =>
  texts.map((t) => {
    const ip = parseIp(t);
    if (!ip.ok) throw ip.error;
    return ip.value;
  });
const cacheOn1 = pod('shop/c1', 'n1', { addresses: ips('10.0.1.1', 'fd00::1:1') });
const cacheOn2 = pod('shop/c2', 'n2', { addresses: ips('10.0.2.1') });
const nodes = ['n1', 'n2', 'n3'].map((n) => node(n));

const rows = (t: ServiceTable, frontends: readonly Frontend[] = []): string[] =>
  frontends.map((f) => {
    const set = (id: bigint): string =>
      t.sets
        .get(id)
        ?.backends.map((b) => `${b.ip}:${b.port}`)
        .join(',') ?? '-';
    return `${f.kind} ${f.ip}:${f.port}/${f.protocol} ${set(f.setIn)} | ${set(f.setOut)} ${f.flags & (frontendFlags.localRedirect | frontendFlags.skipOwn)}`;
  });
const on = (t: ServiceTable, n: string, of = 'shop/r') => rows(t, t.redirects.get(key(of))?.byNode.get(n as never)?.frontends);
const compile = (more: Partial<ServiceSnapshot>, config = {}) =>
  compileAll({ services: [], slices: [], nodes, redirectPods: [cacheOn1, cacheOn2], ...more }, { ...serviceDefaults, ...config });

describe('an address', () => {
  test('leads to the pods of the node, and only where there are any', () => {
    const t = compile({ redirects: [policy('169.254.169.254')] });
    expect(on(t, 'n1')).toEqual(['local-redirect 169.254.169.254:80/TCP 10.0.1.1:8080 | - 16']);
    expect(on(t, 'n2')).toEqual(['local-redirect 169.254.169.254:80/TCP 10.0.2.1:8080 | - 16']);
    expect(on(t, 'n3')).toEqual([]);
    expect(t.redirects.get(key('shop/r'))).toMatchObject({ problems: [], nodes: ['n1', 'n2'] });
  });

  test('pods that are not ready, of other labels or of another namespace are nobody', () => {
    const strangers = [
      pod('shop/c', 'n1', { addresses: ips('10.0.1.2'), ready: false }),
      pod('shop/d', 'n1', { addresses: ips('10.0.1.3'), labels: labelsFromMap({ app: 'web' }) }),
      pod('evil/c', 'n1', { addresses: ips('10.0.1.4') }),
    ];
    expect(on(compile({ redirects: [policy('169.254.169.254')], redirectPods: strangers }), 'n1')).toEqual([]);
  });

  test('ports pair by name; a family without backend stays as it is', () => {
    const spec = {
      redirectFrontend: address('fd00:ec2::254', [tcp('80', 'a'), udp('53', 'b')]),
      redirectBackend: backend([udp('1053', 'b'), tcp('8080', 'a')]),
    };
    const t = compile({ redirects: [redirect({ spec })] });
    expect(on(t, 'n1')).toEqual([
      'local-redirect fd00:ec2::254:80/TCP fd00::1:1:8080 | - 16',
      'local-redirect fd00:ec2::254:53/UDP fd00::1:1:1053 | - 16',
    ]);
    expect(on(t, 'n2')).toEqual([]);
  });

  test.each([
    ['10.96.0.10', 'is an address of Service bank/web (use serviceMatcher, in its namespace)'],
    ['203.0.113.1', 'is an address of Service bank/web (use serviceMatcher, in its namespace)'],
    ['192.0.2.1', 'is an address of Service bank/web (use serviceMatcher, in its namespace)'],
    ['192.0.2.7', 'is an address of a node'],
    ['10.244.1.9', "is inside of the cluster's own prefixes"],
    ['10.97.0.1', "is inside of the cluster's own prefixes"],
    ['198.51.100.1', 'is an address of the API server'],
    ['127.0.0.1', 'is no address of anybody'],
    ['::', 'is no address of anybody'],
    ['224.0.0.1', 'is no address of anybody'],
    ['::ffff:10.96.0.10', 'is no address of anybody'],
  ])('C10: %s cannot be taken: it %s', (ip, why) => {
    const bank = service(
      { type: 'LoadBalancer', clusterIPs: ['10.96.0.10'], externalIPs: ['192.0.2.1'], ports: [{ port: 443 }] },
      { name: 'bank/web', created: 9000, ingress: [{ ip: '203.0.113.1' }] },
    );
    const world = {
      services: [bank],
      slices: [slice([{ ip: '198.51.100.1' }], { of: 'default/kubernetes' })],
      nodes: [node('n1', '', { addresses: ips('192.0.2.7'), podCidrs: ['10.244.1.0/24' as never] })],
      redirects: [policy(ip)],
    };
    const t = compile(world, { clusterCidrs: ['10.96.0.0/12'] });
    expect(t.redirects.get(key('shop/r'))!.byNode.size).toBe(0);
    expect(t.redirects.get(key('shop/r'))!.problems[0]).toMatch(
      new RegExp(`^spec.redirectFrontend.addressMatcher.ip: .* ${why.replace(/[().]/g, '.')}`),
    );
  });

  test('C30: with prefixes configured nothing outside of them is redirected', () => {
    const config = { redirectCidrs: ['169.254.0.0/16'] };
    expect(on(compile({ redirects: [policy('169.254.169.254')] }, config), 'n1')).toHaveLength(1);
    const t = compile({ redirects: [policy('1.1.1.1')] }, config);
    expect(on(t, 'n1')).toEqual([]);
    expect(t.redirects.get(key('shop/r'))!.problems).toEqual([
      'spec.redirectFrontend.addressMatcher.ip: 1.1.1.1 is outside of localRedirectPolicies.addressMatcherCIDRs',
    ]);
  });

  test('C10: of two policies the older has a port, in every order of arrival, and the other gets it when it goes', () => {
    const first = policy('169.254.169.254', { name: 'shop/z', created: 1 });
    const second = policy('169.254.169.254', { name: 'evil/a', created: 2 });
    const thief = pod('evil/c', 'n1', { addresses: ips('10.0.1.66') });
    for (const order of [
      [first, second],
      [second, first],
    ]) {
      const compiler = createServiceCompiler();
      compiler.update({ nodes, redirectPods: [cacheOn1, thief] });
      for (const r of order) compiler.update({ redirects: [r] });
      const t = compiler.table();
      expect([on(t, 'n1', 'shop/z').length, on(t, 'n1', 'evil/a').length]).toEqual([1, 0]);
      expect(t.redirects.get(key('evil/a'))!.problems[0]).toContain('169.254.169.254 80/TCP belongs to the older policy shop/z');
      const gone = compiler.update({ removedRedirects: [first.key] });
      expect(on(compiler.table(), 'n1', 'evil/a')).toHaveLength(1);
      expect([...gone.redirects.get('n1' as never)!].map(([k, c]) => [k, c?.frontends.length])).toEqual([
        ['evil/a', 1],
        ['shop/z', undefined],
      ]);
    }
  });
});

describe('a Service', () => {
  const dns = service(
    {
      clusterIPs: ['10.96.0.53'],
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'metrics', port: 9153 },
      ],
    },
    { name: 'shop/dns' },
  );
  const ports = [
    { name: 'dns', port: 53, protocol: 'UDP' },
    { name: 'metrics', port: 9153 },
  ];
  const far = slice([{ ip: '10.0.3.3', node: 'n3' }], { of: 'shop/dns', ports });
  const spec = (skip = false, toPorts?: object[]) => ({
    redirectFrontend: { serviceMatcher: { serviceName: 'dns', namespace: 'shop', toPorts } },
    redirectBackend: backend([udp('1053', 'dns')]),
    skipRedirectFromBackend: skip,
  });
  const at = (t: ServiceTable, n: string) => rows(t, compileFor(t, node(n)).get(key('shop/dns'))?.frontends);
  const metrics = 'cluster-ip 10.96.0.53:9153/TCP 10.0.3.3:9153 | 10.0.3.3:9153 0';
  const untouched = ['cluster-ip 10.96.0.53:53/UDP 10.0.3.3:53 | 10.0.3.3:53 0', metrics];

  test('is served by the pods of the node; other nodes and other ports have the original backends', () => {
    const t = compile({ services: [dns], slices: [far], redirects: [redirect({ spec: spec() })] });
    expect(at(t, 'n1')).toEqual(['cluster-ip 10.96.0.53:53/UDP 10.0.1.1:1053 | 10.0.1.1:1053 16', metrics]);
    expect(at(t, 'n2')).toEqual(['cluster-ip 10.96.0.53:53/UDP 10.0.2.1:1053 | 10.0.2.1:1053 16', metrics]);
    expect(at(t, 'n3')).toEqual(untouched);
  });

  test('the pods themselves have the original backends if the policy says so', () => {
    const t = compile({ services: [dns], slices: [far], redirects: [redirect({ spec: spec(true) })] });
    expect(at(t, 'n1')[0]).toBe('cluster-ip 10.96.0.53:53/UDP 10.0.1.1:1053 | 10.0.3.3:53 8208');
  });

  test('a matcher may name some ports', () => {
    const t = compile({ services: [dns], slices: [far], redirects: [redirect({ spec: spec(false, [udp('53', 'any')]) })] });
    expect(at(t, 'n1')[0]).toBe('cluster-ip 10.96.0.53:53/UDP 10.0.1.1:1053 | 10.0.1.1:1053 16');
    const other = compile({ services: [dns], slices: [far], redirects: [redirect({ spec: spec(false, [udp('54', 'any')]) })] });
    expect(at(other, 'n1')).toEqual(untouched);
    expect(other.redirects.get(key('shop/r'))!.problems[0]).toContain('no port of Service shop/dns pairs');
  });

  test('C30: of another namespace is refused', () => {
    const r = redirect({ name: 'evil/r', spec: spec() });
    expect(r.problems).toEqual([
      'spec.redirectFrontend.serviceMatcher.namespace: "shop" is not the namespace of the policy (write "evil", or make the policy there)',
    ]);
    const t = compile({
      services: [dns],
      slices: [far],
      redirects: [r],
      redirectPods: [pod('evil/c', 'n1', { addresses: ips('10.0.1.9') })],
    });
    expect(at(t, 'n1')).toEqual(untouched);
  });

  test('the last pod of a node goes: what was there before is there again', () => {
    const compiler = createServiceCompiler();
    compiler.update({ nodes, services: [dns], slices: [far], redirects: [redirect({ spec: spec() })], redirectPods: [cacheOn1] });
    expect(at(compiler.table(), 'n1')[0]).toContain('10.0.1.1:1053');
    const delta = compiler.update({ removedRedirectPods: [cacheOn1.key] });
    expect(at(compiler.table(), 'n1')).toEqual(untouched);
    expect(delta.variants.get('n1' as never)).toEqual(new Map([[key('shop/dns'), undefined]]));
  });
});

describe('reading', () => {
  test.each(['1', '80', '9999', '59999', '60000', '60999', '64999', '65000', '65099', '65500', '65509', '65530', '65535'])(
    'port %s',
    (port) => {
      expect(policy('169.254.0.1', { ports: [tcp(port)] }).problems).toEqual([]);
    },
  );

  test.each(['0', '00', '000', '0000', '080', '65536', '99999', '-1', 'http', '', ' 80'])('no port: "%s"', (port) => {
    expect(policy('169.254.0.1', { ports: [tcp(port)] }).problems).toEqual([
      `spec.redirectFrontend.addressMatcher.toPorts[0].port: "${port}" is not a port ("1" to "65535")`,
    ]);
  });

  test.each<[object, string]>([
    [{}, 'spec.redirectFrontend: one of addressMatcher and serviceMatcher is needed'],
    [{ redirectFrontend: { ...address('1.1.1.1'), serviceMatcher: {} } }, 'write exactly one of them'],
    [{ redirectFrontend: address('metadata') }, 'spec.redirectFrontend.addressMatcher.ip: "metadata" is not an address'],
    [{ redirectFrontend: address('1.1.1.1', []) }, 'spec.redirectFrontend.addressMatcher.toPorts: is required'],
    [{ redirectFrontend: address('1.1.1.1', [tcp('1', 'a'), tcp('2')]) }, 'toPorts[1].name: is required where there are several ports'],
    [{ redirectFrontend: address('1.1.1.1', [udp('1')]) }, 'protocol UDP (ports are paired by name)'],
    [{ redirectBackend: { toPorts: [tcp('1')] } }, 'spec.redirectBackend.localEndpointSelector: is required'],
    [{ redirectBackend: backend([]) }, 'spec.redirectBackend.toPorts: is required'],
    [{ redirectBackend: backend([{ port: '1', protocol: 'SCTP' }]) }, 'toPorts[0].protocol: "SCTP" cannot be redirected (TCP or UDP)'],
  ])('%j', (spec, problem) => {
    const complete = {
      ...(problem.includes('redirectFrontend: one of') ? {} : { redirectFrontend: address('1.1.1.1') }),
      redirectBackend: backend(),
    };
    const r = redirect({ spec: { ...complete, ...spec } });
    expect(r.problems.join('\n')).toContain(problem);
    expect(compile({ redirects: [r] }).redirects.get(r.key)!.byNode.size).toBe(0);
  });
});

test('C10: any history of policies, pods, Services and nodes ends in what the objects alone say', () => {
  const policies = fc
    .record({
      name: fc.constantFrom('shop/r', 'shop/s', 'evil/r'),
      created: fc.constantFrom(1, 2),
      ip: fc.constantFrom('169.254.1.1', '192.0.2.1', '10.96.0.1', ''),
      toPorts: fc.option(fc.constant([tcp('80', 'x')]), { nil: undefined }),
      skip: fc.boolean(),
    })
    .map(({ name, created, ip, toPorts, skip }) =>
      redirect({
        name,
        created,
        spec: {
          redirectFrontend:
            ip === '' ? { serviceMatcher: { serviceName: 'web', namespace: name.split('/')[0], toPorts } } : address(ip, [tcp('80', 'x')]),
          redirectBackend: backend([tcp('8080', 'x')]),
          skipRedirectFromBackend: skip,
        },
      }),
    );
  const pods = fc
    .record({
      at: fc.constantFrom('shop/p', 'shop/q', 'evil/p'),
      n: fc.constantFrom('n1', 'n2'),
      ready: fc.boolean(),
      ip: fc.constantFrom('10.0.0.1', '10.0.0.2', 'fd00::9'),
    })
    .map(({ at, n, ready, ip }) => pod(at, n, { ready, addresses: ips(ip) }));
  const services = fc
    .record({
      name: fc.constantFrom('shop/web', 'evil/web'),
      cluster: fc.constantFrom('10.96.0.1', '10.96.0.2'),
      externalIPs: fc.subarray(['192.0.2.1']),
      two: fc.boolean(),
    })
    .map(({ name, cluster, externalIPs, two }) =>
      service(
        { clusterIPs: [cluster], externalIPs, ports: [{ name: 'x', port: 80 }, ...(two ? [{ name: 'y', port: 81 }] : [])] },
        { name },
      ),
    );
  const slices = fc
    .constantFrom('shop/web', 'evil/web', 'default/kubernetes')
    .map((of) => slice([{ ip: '169.254.1.1', node: 'n1' }], { of, ports: [{ name: 'x', port: 80 }] }));
  const machines = fc
    .constantFrom('n1', 'n2', 'n3')
    .chain((n) => fc.subarray(['192.0.2.1', '169.254.1.1']).map((a) => node(n, '', { addresses: ips(...a) })));
  const step = fc.oneof(
    policies.map((p) => ['redirects', p.key, p] as const),
    pods.map((p) => ['redirectPods', p.key, p] as const),
    services.map((p) => ['services', p.key, p] as const),
    slices.map((p) => ['slices', p.key, p] as const),
    machines.map((p) => ['nodes', p.name, p] as const),
  );
  const removal = {
    redirects: 'removedRedirects',
    redirectPods: 'removedRedirectPods',
    services: 'removedServices',
    slices: 'removedSlices',
    nodes: 'removedNodes',
  } as const;
  fc.assert(
    fc.property(fc.array(fc.tuple(step, fc.boolean()), { maxLength: 25 }), (steps) => {
      const compiler = createServiceCompiler();
      const world = { redirects: new Map(), redirectPods: new Map(), services: new Map(), slices: new Map(), nodes: new Map() };
      /** What nodes were told of addresses. */
      const told = new Map<string, Map<string, unknown>>();
      for (const [[table, at, value], gone] of steps) {
        if (gone) world[table].delete(at);
        else (world[table] as Map<unknown, unknown>).set(at, value);
        const delta = compiler.update({ [gone ? removal[table] : table]: [gone ? at : value] } as ServiceChanges);
        if (table === 'nodes' && gone) told.delete(String(at));
        for (const [n, contents] of delta.redirects)
          for (const [k, c] of contents) {
            const list = told.get(n) ?? new Map();
            if (c === undefined) list.delete(k);
            else list.set(k, c.hash);
            told.set(n, list);
          }
      }
      const all = (t: ServiceTable) => [plain(t, nodes), [...t.redirects].sort(([a], [b]) => (a < b ? -1 : 1))];
      const truth = compileAll(
        Object.fromEntries(Object.entries(world).map(([k, m]) => [k, [...m.values()]])) as unknown as ServiceSnapshot,
      );
      expect(all(compiler.table())).toEqual(all(truth));
      for (const n of world.nodes.keys()) {
        const wanted = [...truth.redirects].flatMap(([k, r]) => (r.byNode.has(n) ? [[k, r.byNode.get(n)!.hash] as const] : []));
        expect(told.get(n) ?? new Map()).toEqual(new Map(wanted));
      }
    }),
    { numRuns: scaled(300) },
  );
});
