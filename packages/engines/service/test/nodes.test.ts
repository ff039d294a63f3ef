import { describe, expect, test } from '@jest/globals';
import {
  compileAll,
  compileFor,
  createServiceCompiler,
  frontendFlags,
  type NodeInput,
  readHostPorts,
  type SliceInput,
  serviceDefaults,
} from '../src/index.ts';
import { key, type More, node, service, shown, slice } from './world.ts';

const nodes = [node('n1', 'a'), node('n2', 'a'), node('n3', 'b'), node('n4')];
const pods = slice([
  { ip: '10.0.1.1', node: 'n1', zones: ['a'] },
  { ip: '10.0.2.1', node: 'n2', zones: ['a'] },
  { ip: '10.0.3.1', node: 'n3', zones: ['b'] },
]);
const on = (spec: object, more: More = {}, slices: readonly SliceInput[] = [pods]) => {
  const t = compileAll({
    services: [service({ ports: [{ port: 80, nodePort: 30080 }], clusterIPs: ['10.96.0.1'], ...spec }, more)],
    slices,
    nodes,
  });
  return (name: string): string[] => shown(t, compileFor(t, nodes.find((n) => n.name === name)!).get(key('shop/web')));
};
const ALL = '10.0.1.1,10.0.2.1,10.0.3.1';
const flagsOf = (spec: object, more: More = {}, config = {}) =>
  [
    ...compileAll(
      { services: [service({ ports: [{ port: 80, nodePort: 30080 }], clusterIPs: ['10.96.0.1'], ...spec }, more)], slices: [pods] },
      { ...serviceDefaults, ...config },
    ).services.values(),
  ][0]!.frontends.map((f) => [f.kind, f.flags]);

describe('kinds', () => {
  test('all of a load balancer, both families', () => {
    const six = slice([{ ip: 'fd00::1' }], { name: 'six' });
    const spec = { type: 'LoadBalancer', clusterIPs: ['10.96.0.1', 'fd00:96::1'], externalIPs: ['198.51.100.1'] };
    expect(
      on(spec, { ingress: [{ ip: '203.0.113.1' }, { ip: '203.0.113.2', ipMode: 'Proxy' }, { hostname: 'x' }] }, [pods, six])('n1'),
    ).toEqual([
      `cluster-ip 10.96.0.1:80/TCP ${ALL}`,
      'cluster-ip fd00:96::1:80/TCP fd00::1',
      `node-port 0.0.0.0:30080/TCP ${ALL}`,
      'node-port :::30080/TCP fd00::1',
      `load-balancer 203.0.113.1:80/TCP ${ALL}`,
      'load-balancer 203.0.113.1:0/ANY -',
      `external-ip 198.51.100.1:80/TCP ${ALL}`,
    ]);
  });

  test('what the annotation names; external IPs are not limited by it', () => {
    const spec = { type: 'LoadBalancer', externalIPs: ['198.51.100.1'] };
    const kinds = (value: string) =>
      on(spec, { annotations: { 'service.cilium.io/type': value }, ingress: [{ ip: '203.0.113.1' }] })('n1').map((l) => l.split(' ')[0]);
    expect(kinds('NodePort')).toEqual(['node-port', 'external-ip']);
    expect(kinds('ClusterIP, LoadBalancer')).toEqual(['cluster-ip', 'load-balancer', 'load-balancer', 'external-ip']);
    expect(kinds('Nodeport')).toEqual(['external-ip']);
  });

  test.each<[string, object, More]>([
    ['headless', { clusterIP: 'None', clusterIPs: ['None'] }, {}],
    ['headless by label', {}, { labels: { 'service.kubernetes.io/headless': '' } }],
    ['of another proxy', {}, { labels: { 'service.kubernetes.io/service-proxy-name': 'other' } }],
    ['ExternalName', { type: 'ExternalName', externalName: 'example.com' }, {}],
  ])('%s: none', (_name, spec, more) => expect(on(spec, more)('n1')).toEqual([]));

  test('node ports that were not allocated have no frontend', () => {
    expect(on({ type: 'LoadBalancer', allocateLoadBalancerNodePorts: false, ports: [{ port: 80 }] })('n1')).toEqual([
      `cluster-ip 10.96.0.1:80/TCP ${ALL}`,
    ]);
  });

  test('a load balancer address that is a node keeps its other ports', () => {
    const s = service({ type: 'LoadBalancer', clusterIPs: [], ports: [{ port: 80 }] }, { ingress: [{ ip: '192.0.2.1' }] });
    const at = (addresses: string[]) =>
      compileAll({ services: [s], slices: [], nodes: [node('n1', '', { addresses: addresses as never })] })
        .services.get(s.key)!
        .frontends.map((f) => f.port);
    expect(at([])).toEqual([80, 0]);
    expect(at(['192.0.2.1'])).toEqual([80]);
  });

  test('flags', () => {
    const f = frontendFlags;
    expect(flagsOf({ type: 'NodePort' })).toEqual([
      ['cluster-ip', f.reject],
      ['node-port', f.nodePort | f.external | f.reject],
    ]);
    expect(flagsOf({ type: 'NodePort', externalTrafficPolicy: 'Local', sessionAffinity: 'ClientIP' }, {}, { noBackend: 'drop' })).toEqual([
      ['cluster-ip', f.affinity],
      ['node-port', f.nodePort | f.external | f.affinity | f.outLocal],
    ]);
    const ranged = { type: 'LoadBalancer', loadBalancerSourceRanges: ['192.0.2.0/24'], ports: [{ port: 80 }] };
    const deny = {
      annotations: { 'service.cilium.io/src-ranges-policy': 'deny', 'service.cilium.io/forwarding-mode': 'dsr' },
      ingress: [{ ip: '203.0.113.1' }],
    };
    expect(flagsOf(ranged, deny)).toEqual([
      ['cluster-ip', f.reject],
      ['load-balancer', f.loadBalancer | f.external | f.reject | f.sourceRanges | f.sourceRangesDeny | f.dsr],
      ['load-balancer', f.loadBalancer | f.external | f.blackhole],
    ]);
    const udp = {
      type: 'NodePort',
      ports: [
        { port: 80, nodePort: 30080 },
        { port: 53, protocol: 'UDP', nodePort: 30053 },
      ],
    };
    expect(flagsOf(udp, {}, { forwarding: 'hybrid' }).map(([, x]) => ((x as number) & f.dsr) !== 0)).toEqual([false, false, false, true]);
  });

  test('source ranges none of which can be read admit nobody', () => {
    const s = service(
      { type: 'LoadBalancer', clusterIPs: ['10.96.0.1'], loadBalancerSourceRanges: ['192.0.2.0/33'], ports: [{ port: 80 }] },
      { ingress: [{ ip: '203.0.113.1' }] },
    );
    const c = compileAll({ services: [s], slices: [] }).services.get(s.key)!;
    expect([c.sources, c.frontends.map((x) => x.sourceRanges)]).toEqual([[], [false, true, false]]);
    expect(c.remarks).toEqual(['spec.loadBalancerSourceRanges: "192.0.2.0/33" is not a prefix']);
  });
});

describe('nodes that differ', () => {
  test('externalTrafficPolicy Local: clients of the outside get backends of the node they came to, those of the cluster all', () => {
    const at = on({ type: 'NodePort', externalTrafficPolicy: 'Local' });
    expect(at('n1')).toEqual([`cluster-ip 10.96.0.1:80/TCP ${ALL}`, `node-port 0.0.0.0:30080/TCP ${ALL} | 10.0.1.1`]);
    expect(at('n4')).toEqual([`cluster-ip 10.96.0.1:80/TCP ${ALL}`, `node-port 0.0.0.0:30080/TCP ${ALL} | -`]);
  });

  test('internalTrafficPolicy Local', () => {
    const at = on({ type: 'NodePort', internalTrafficPolicy: 'Local' });
    expect(at('n3')).toEqual(['cluster-ip 10.96.0.1:80/TCP 10.0.3.1', `node-port 0.0.0.0:30080/TCP 10.0.3.1 | ${ALL}`]);
  });

  test("Local falls back to the node's own backend that terminates and serves", () => {
    const leaving = slice([
      { ip: '10.0.1.1', node: 'n1', ready: false, serving: true, terminating: true },
      { ip: '10.0.2.1', node: 'n2' },
    ]);
    expect(on({ internalTrafficPolicy: 'Local' }, {}, [leaving])('n1')).toEqual(['cluster-ip 10.96.0.1:80/TCP 10.0.1.1']);
  });

  test.each([
    [{ trafficDistribution: 'PreferClose' }, {}],
    [{ trafficDistribution: 'PreferSameZone' }, {}],
    [{}, { annotations: { 'service.kubernetes.io/topology-mode': 'Auto' } }],
    [{ trafficDistribution: 'PreferSameNode' }, {}],
  ])('zones: %j %j', (spec, more) => {
    const at = on(spec, more);
    expect(at('n1')).toEqual(['cluster-ip 10.96.0.1:80/TCP 10.0.1.1,10.0.2.1']);
    expect(at('n3')).toEqual(['cluster-ip 10.96.0.1:80/TCP 10.0.3.1']);
    expect(at('n4')).toEqual([`cluster-ip 10.96.0.1:80/TCP ${ALL}`]);
  });

  test('zones need the wish, and hints of every backend', () => {
    expect(on({})('n1')).toEqual([`cluster-ip 10.96.0.1:80/TCP ${ALL}`]);
    const some = slice([{ ip: '10.0.1.1', zones: ['a'] }, { ip: '10.0.2.1' }]);
    expect(on({ trafficDistribution: 'PreferClose' }, {}, [some])('n1')).toEqual(['cluster-ip 10.96.0.1:80/TCP 10.0.1.1,10.0.2.1']);
  });

  test('PreferSameNode: the node, else the zone, else all', () => {
    const hinted = slice([
      { ip: '10.0.1.1', zones: ['a'], nodes: ['n1'] },
      { ip: '10.0.2.1', zones: ['a'], nodes: ['n9'] },
      { ip: '10.0.3.1', zones: ['b'], nodes: ['n9'] },
    ]);
    const at = on({ trafficDistribution: 'PreferSameNode' }, {}, [hinted]);
    expect(['n1', 'n2', 'n4'].map((n) => at(n)[0]!.split(' ')[2])).toEqual(['10.0.1.1', '10.0.1.1,10.0.2.1', ALL]);
  });

  test('annotations choose nodes by name and by label', () => {
    const has = (annotations: object) => nodes.map((n) => n.name).filter((n) => on({}, { annotations })(n).length > 0);
    expect(has({ 'service.cilium.io/node': 'n1, n3' })).toEqual(['n1', 'n3']);
    expect(has({ 'service.cilium.io/node-selector': 'kubernetes.io/hostname in (n2,n3)' })).toEqual(['n2', 'n3']);
    expect(has({ 'service.cilium.io/node-selector': 'kubernetes.io/hostname!=n2' })).toEqual(['n1', 'n3', 'n4']);
    expect(has({ 'service.cilium.io/node-selector': 'in (' })).toEqual([]);
  });

  test('health: active backends of the node', () => {
    const s = service(
      {
        type: 'LoadBalancer',
        externalTrafficPolicy: 'Local',
        healthCheckNodePort: 32000,
        clusterIPs: ['10.96.0.1'],
        ports: [{ port: 80 }],
      },
      { ingress: [{ ip: '203.0.113.1' }] },
    );
    const t = compileAll({ services: [s], slices: [pods], nodes });
    expect(nodes.map((n) => t.services.get(s.key)!.contentOf(n).health)).toEqual([1, 1, 1, 0].map((local) => ({ port: 32000, local })));
  });

  test('a node that comes compiles nothing anew: only what it is told differs', () => {
    const compiler = createServiceCompiler();
    compiler.update({
      services: [service({ clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }], internalTrafficPolicy: 'Local' })],
      slices: [pods],
    });
    const delta = compiler.update({ nodes });
    expect([delta.changed, delta.addedSets]).toEqual([[], []]);
    expect([...delta.variants].map(([n, list]) => [n, [...list.keys()]])).toEqual(['n1', 'n2', 'n3'].map((n) => [n, ['shop/web']]));
  });

  test('ten thousand Services on a thousand nodes: a node costs what it differs in', () => {
    const many = Array.from({ length: 10_000 }, (_, i) =>
      service(
        {
          clusterIPs: [`10.${96 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`],
          ports: [{ port: 80 }],
          ...(i < 100 ? { internalTrafficPolicy: 'Local' } : {}),
        },
        { name: `shop/s${i}` },
      ),
    );
    const slices = many.slice(0, 100).map((s, i) => slice([{ ip: '10.0.0.1', node: `n${i}` }], { of: s.key }));
    const fleet: NodeInput[] = Array.from({ length: 1000 }, (_, i) => node(`n${i}`));
    const compiler = createServiceCompiler();
    const delta = compiler.update({ services: many, slices, nodes: fleet });
    expect(delta.changed).toHaveLength(10_000);
    expect(delta.variants.size).toBe(100);
    const moved = compiler.update({ slices: [slice([{ ip: '10.0.0.2', node: 'n7' }], { of: 'shop/s0' })] }).variants;
    expect([...moved].map(([n, list]) => [n, ...[...list].map(([k, c]) => [k, c !== undefined])])).toEqual([
      ['n0', ['shop/s0', false]],
      ['n7', ['shop/s0', true]],
    ]);
  });
});

describe('host ports', () => {
  const pod = (name: string, nodeName: string, ports: object[], ips = ['10.0.1.9', 'fd00::9']) =>
    readHostPorts({
      metadata: { namespace: 'shop', name },
      spec: { nodeName, containers: [{ ports }] },
      status: { phase: 'Running', podIPs: ips.map((ip) => ({ ip })) },
    })!;
  const text = (t: ReturnType<typeof compileAll>) => [...t.hostPorts.values()].map((h) => [h.key, h.node, ...shown(t, h)]);

  test("a frontend on the pod's node for every family, or on the address it names", () => {
    const p = pod('a', 'n1', [
      { containerPort: 8080, hostPort: 80 },
      { containerPort: 53, hostPort: 53, protocol: 'UDP', hostIP: '127.0.0.1' },
      { containerPort: 9 },
    ]);
    expect(text(compileAll({ services: [], slices: [], pods: [p] }))).toEqual([
      ['shop/a', 'n1', 'host-port 0.0.0.0:80/TCP 10.0.1.9', 'host-port :::80/TCP fd00::9', 'host-port 127.0.0.1:53/UDP 10.0.1.9'],
    ]);
  });

  test('one port of a node has one pod, and never is a port of a Service', () => {
    const [a, b, c] = [
      pod('a', 'n1', [{ containerPort: 1, hostPort: 80 }]),
      pod('b', 'n1', [{ containerPort: 2, hostPort: 80 }]),
      pod('c', 'n2', [{ containerPort: 3, hostPort: 30080 }]),
    ];
    const s = service({ type: 'NodePort', clusterIPs: ['10.96.0.1'], ports: [{ port: 80, nodePort: 30080 }] });
    const compiler = createServiceCompiler();
    compiler.update({ pods: [b!, c!] });
    expect(compiler.table().hostPorts.size).toBe(2);
    compiler.update({ pods: [a!], services: [s] });
    expect([...compiler.table().hostPorts.keys()]).toEqual(['shop/a']);
    compiler.update({ removedPods: [a!.key], removedServices: [s.key] });
    expect([...compiler.table().hostPorts.keys()].sort()).toEqual(['shop/b', 'shop/c']);
  });

  test('none for pods on the network of the host or that are finished', () => {
    const raw = (more: object, phase: string) => ({
      spec: { nodeName: 'n1', containers: [{ ports: [{ containerPort: 1, hostPort: 1 }] }], ...more },
      status: { phase },
    });
    expect([readHostPorts(raw({ hostNetwork: true }, 'Running')), readHostPorts(raw({}, 'Failed'))]).toEqual([undefined, undefined]);
  });
});

describe('Maglev', () => {
  const spec = { type: 'NodePort' };
  const sizes = (more: More = {}, config = {}, slices = [pods]) => {
    const t = compileAll(
      { services: [service({ clusterIPs: ['10.96.0.1'], ports: [{ port: 80, nodePort: 30080 }], ...spec }, more)], slices },
      { ...serviceDefaults, ...config },
    );
    return [[...t.services.values()][0]!.frontends.map((f) => f.maglevSize), t.tables.size];
  };
  test('for clients of the outside, where configured or annotated, of more than one backend', () => {
    expect(sizes()).toEqual([[0, 0], 0]);
    expect(sizes({}, { algorithm: 'maglev', maglevSize: 251 })).toEqual([[0, 251], 1]);
    expect(sizes({ annotations: { 'service.cilium.io/lb-algorithm': 'maglev' } })).toEqual([[0, 16381], 1]);
    expect(sizes({ annotations: { 'service.cilium.io/lb-algorithm': 'random' } }, { algorithm: 'maglev' })).toEqual([[0, 0], 0]);
    expect(sizes({}, { algorithm: 'maglev' }, [slice([{ ip: '10.0.0.1' }])])).toEqual([[0, 0], 0]);
  });

  test('L5-a: 400 ports over one backend set need one table', () => {
    const ports = Array.from({ length: 400 }, (_, i) => ({ name: 'p', port: 1000 + i, nodePort: 30_000 + i }));
    const s = service({ type: 'NodePort', clusterIPs: ['10.96.0.1'], ports });
    const t = compileAll(
      { services: [s], slices: [slice([{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }], { ports: [{ name: 'p', port: 80 }] })] },
      { ...serviceDefaults, algorithm: 'maglev' },
    );
    expect([t.services.get(s.key)!.frontends.length, t.tables.size, t.sets.size]).toEqual([800, 1, 1]);
  });
});
