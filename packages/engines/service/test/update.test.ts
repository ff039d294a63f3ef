import type { ObjectKey } from '@axoneme/model';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  compileAll,
  compileFor,
  createServiceCompiler,
  type HostPortPod,
  type NodeInput,
  readHostPorts,
  type ServiceChanges,
  type ServiceConfig,
  type ServiceContent,
  type ServiceDelta,
  type ServiceInput,
  type SliceInput,
  serviceDefaults,
} from '../src/index.ts';
import { scaled } from './runs.ts';
import { key, node, plain, service, slice } from './world.ts';

const names = ['shop/a', 'shop/b', 'bank/c'];
const nodeNames = ['n1', 'n2', 'n3'];
const port = fc.constantFrom(
  { port: 80, nodePort: 30080 },
  { name: 'u', protocol: 'UDP', port: 53, nodePort: 30053 },
  { name: 'v', port: 81, nodePort: 30080 },
  { name: 'w', port: 443 },
);
const some = <T>(...values: T[]) => fc.option(fc.constantFrom(...values), { nil: undefined });
const serviceArb: fc.Arbitrary<ServiceInput> = fc
  .record({
    name: fc.constantFrom(...names),
    created: fc.constantFrom(1, 2),
    type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer'),
    clusterIPs: fc.subarray(['10.96.0.1', 'fd00::1', '203.0.113.9']),
    externalIPs: fc.subarray(['198.51.100.1', '192.0.2.1', '10.96.0.1', '203.0.113.1']),
    ingress: fc.subarray([{ ip: '203.0.113.1' }, { ip: '203.0.113.9' }, { ip: '192.0.2.1' }]),
    ports: fc.uniqueArray(port, { selector: (p) => p.port }),
    sessionAffinity: some('ClientIP'),
    externalTrafficPolicy: some('Local'),
    internalTrafficPolicy: some('Local'),
    trafficDistribution: some('PreferClose', 'PreferSameNode'),
    loadBalancerSourceRanges: some(['192.0.2.0/24']),
    healthCheckNodePort: some(32000),
    annotations: some(
      { 'service.cilium.io/node': 'n1,n2' },
      { 'service.cilium.io/node-selector': 'big' },
      { 'service.cilium.io/lb-algorithm': 'maglev' },
    ),
  })
  .map(({ name, created, ingress, annotations, ...spec }) =>
    service(spec, { name, created, ingress, ...(annotations === undefined ? {} : { annotations }) }),
  );
const podArb = fc.record({
  ip: fc.constantFrom('10.0.0.1', '10.0.0.2', 'fd00::2'),
  node: fc.constantFrom(...nodeNames),
  zones: fc.subarray(['a', 'b']),
  nodes: fc.subarray(nodeNames),
  ready: fc.boolean(),
  serving: fc.boolean(),
  terminating: fc.boolean(),
});
const sliceNames = ['s1', 's2', 's3', 's4'];
const sliceArb: fc.Arbitrary<SliceInput> = fc
  .record({
    name: fc.constantFrom(...sliceNames),
    of: fc.constantFrom(...names),
    pods: fc.array(podArb, { maxLength: 3 }),
    ports: fc.uniqueArray(port, { selector: (p) => p.port }),
  })
  .map(({ pods, ...more }) => slice(pods, more));
const nodeArb: fc.Arbitrary<NodeInput> = fc
  .record({
    name: fc.constantFrom(...nodeNames),
    zone: fc.constantFrom('', 'a', 'b'),
    big: fc.boolean(),
    addresses: fc.subarray(['192.0.2.1']),
  })
  .map(({ name, zone, big, addresses }) => node(name, zone, { labels: big ? { big: '' } : {}, addresses: addresses as never }));
const hostPodArb: fc.Arbitrary<HostPortPod> = fc
  .record({
    name: fc.constantFrom('p1', 'p2'),
    nodeName: fc.constantFrom(...nodeNames),
    hostPort: fc.constantFrom(80, 30080),
    ip: fc.constantFrom('10.0.0.1', 'fd00::2'),
  })
  .map(
    (p) =>
      readHostPorts({
        metadata: { namespace: 'shop', name: p.name },
        spec: { nodeName: p.nodeName, containers: [{ ports: [{ containerPort: 8, hostPort: p.hostPort }] }] },
        status: { podIPs: [{ ip: p.ip }] },
      })!,
  );
const sliceKeys = names.flatMap((n) => sliceNames.map((s) => key(`${n.split('/')[0]}/${s}`)));
const changesArb: fc.Arbitrary<ServiceChanges> = fc.record(
  {
    services: fc.uniqueArray(serviceArb, { selector: (s) => s.key, maxLength: 2 }),
    removedServices: fc.subarray(names.map(key)),
    slices: fc.uniqueArray(sliceArb, { selector: (s) => s.key, maxLength: 3 }),
    removedSlices: fc.subarray(sliceKeys),
    nodes: fc.uniqueArray(nodeArb, { selector: (n) => n.name }),
    removedNodes: fc.subarray(nodeNames as never[]),
    pods: fc.uniqueArray(hostPodArb, { selector: (p) => p.key, maxLength: 2 }),
    removedPods: fc.subarray([key('shop/p1'), key('shop/p2')]),
    pathMtu: fc.constantFrom(0, 580, 1300, 1450),
  },
  { requiredKeys: [] },
);

/** What somebody has who only hears of differences. */
function createFollower() {
  const services = new Map<ObjectKey, ServiceContent>();
  const variants = new Map<string, Map<ObjectKey, ServiceContent>>();
  const ids = { sets: new Set<bigint>(), tables: new Set<bigint>() };
  const pods = new Map<string, bigint>();
  return {
    ids,
    pods,
    take(d: ServiceDelta) {
      for (const s of d.addedSets) ids.sets.add(s.id);
      for (const s of d.addedTables) ids.tables.add(s.id);
      for (const id of d.removedSets) ids.sets.delete(id);
      for (const id of d.removedTables) ids.tables.delete(id);
      for (const s of d.changed) services.set(s.key, s);
      for (const k of d.removed) services.delete(k);
      for (const p of d.removedHostPorts) pods.delete(`${p.node} ${p.key}`);
      for (const p of d.changedHostPorts) pods.set(`${p.node} ${p.key}`, p.hash);
      for (const [name, list] of d.variants) {
        const own = variants.get(name) ?? new Map<ObjectKey, ServiceContent>();
        variants.set(name, own);
        for (const [k, content] of list) {
          if (content === undefined) own.delete(k);
          else own.set(k, content);
        }
      }
    },
    forget: (name: string) => void variants.delete(name),
    at(name: string): Map<ObjectKey, bigint> {
      const all = new Map([...services, ...(variants.get(name) ?? [])]);
      return new Map([...all].filter(([, c]) => c.frontends.length > 0).map(([k, c]) => [k, c.hash]));
    },
  };
}

const sorted = <K, V>(m: Iterable<readonly [K, V]>) => [...m].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));

test.each<ServiceConfig>([serviceDefaults, { ...serviceDefaults, algorithm: 'maglev', noBackend: 'drop', forwarding: 'dsr' }])(
  'after any history the table equals compileAll, and the deltas add up to it on every node (%#)',
  (config) => {
    fc.assert(
      fc.property(fc.array(changesArb, { maxLength: 10 }), (history) => {
        const compiler = createServiceCompiler(config);
        const follower = createFollower();
        const all = {
          services: new Map<string, ServiceInput>(),
          slices: new Map<string, SliceInput>(),
          nodes: new Map<string, NodeInput>(),
          pods: new Map<string, HostPortPod>(),
        };
        let pathMtu = 0;
        for (const c of history) {
          for (const k of c.removedServices ?? []) all.services.delete(k);
          for (const k of c.removedSlices ?? []) all.slices.delete(k);
          for (const k of c.removedPods ?? []) all.pods.delete(k);
          for (const n of c.removedNodes ?? []) {
            all.nodes.delete(n);
            if (c.nodes?.some((x) => x.name === n) !== true) follower.forget(n);
          }
          for (const s of c.services ?? []) all.services.set(s.key, s);
          for (const s of c.slices ?? []) all.slices.set(s.key, s);
          for (const n of c.nodes ?? []) all.nodes.set(n.name, n);
          for (const p of c.pods ?? []) all.pods.set(p.key, p);
          pathMtu = c.pathMtu ?? pathMtu;
          follower.take(compiler.update(c));
          const nodes = [...all.nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
          const truth = compileAll(
            {
              services: [...all.services.values()].reverse(),
              slices: [...all.slices.values()].reverse(),
              nodes,
              pods: [...all.pods.values()].reverse(),
              pathMtu,
            },
            config,
          );
          expect(plain(compiler.table(), nodes)).toEqual(plain(truth, nodes));
          expect(follower.ids.sets).toEqual(new Set(truth.sets.keys()));
          expect(follower.ids.tables).toEqual(new Set(truth.tables.keys()));
          expect(sorted(follower.pods)).toEqual(sorted([...truth.hostPorts.values()].map((p) => [`${p.node} ${p.key}`, p.hash] as const)));
          for (const n of nodes)
            expect(sorted(follower.at(n.name))).toEqual(
              sorted([...compileFor(truth, n)].map(([k, content]) => [k, content.hash] as const)),
            );
        }
      }),
      { numRuns: scaled(80) },
    );
  },
);
