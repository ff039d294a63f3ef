// What the admin service says of Services.
import type { ListServicesRequest, ServiceState } from '@axoneme/proto';
import { expect, test } from '@jest/globals';
import { listServices } from '../src/serve/services.ts';
import { addNode, createLab, labConfig } from './lab.ts';

function createCluster() {
  const lab = createLab(labConfig({ loadBalancerAlgorithm: 'maglev', maglevTableSize: 251 }));
  addNode(lab.world, 'node-1', 1, { 'topology.kubernetes.io/zone': 'a' });
  addNode(lab.world, 'node-2', 2, { 'topology.kubernetes.io/zone': 'b' });
  const put = (name: string, spec: object): void =>
    lab.world.set('services', `shop/${name}`, {
      metadata: { namespace: 'shop', name, creationTimestamp: '2026-01-01T00:00:00Z' },
      spec: { ports: [{ name: 'http', port: 80 }], ...spec },
    } as never);
  const local = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 31_000 };
  put('web', { ...local, clusterIPs: ['10.96.0.1'], ports: [{ name: 'http', port: 80, nodePort: 30080 }], externalIPs: ['172.30.0.1'] });
  put('quiet', { clusterIPs: ['10.96.0.2'] });
  put('names', { type: 'ExternalName' });
  lab.world.set('slices', 'shop/web-1', {
    metadata: { namespace: 'shop', name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    endpoints: [
      { addresses: ['10.244.1.5'], nodeName: 'node-1' },
      { addresses: ['10.244.2.5'], nodeName: 'node-2' },
      { addresses: ['10.244.2.6'], nodeName: 'node-2', conditions: { ready: false, serving: true, terminating: true } },
      { addresses: ['10.244.2.7'], nodeName: 'node-2', conditions: { ready: false } },
    ],
  } as never);
  const compiled = lab.compile();
  const problems = new Map([['shop/web', ['node node-1: health check port 31000 cannot be had']]]);
  return async (q: Partial<ListServicesRequest> = {}): Promise<ServiceState[]> => {
    const out: ServiceState[] = [];
    const request = { namespace: '', name: '', node: '', serviceId: 0, ...q };
    for await (const a of listServices({ world: lab.world, compiled: () => compiled, problems: () => problems }, request))
      out.push(a.service!);
    return out;
  };
}

test('all Services, those of a namespace, and the one with a number', async () => {
  const list = createCluster();
  const all = await list();
  expect(all.map((s) => [s.name, s.type, s.frontends.length, s.backends.length])).toEqual([
    ['names', 'ExternalName', 0, 0],
    ['quiet', 'ClusterIP', 1, 0],
    ['web', 'LoadBalancer', 2, 0],
  ]);
  expect(await list({ namespace: 'other' })).toEqual([]);
  const { serviceId } = all[2]!.frontends[0]!;
  expect((await list({ serviceId })).map((s) => s.name)).toEqual(['web']);
  expect(all[2]).toMatchObject({
    states: { active: 2, 'terminating-serving': 1, 'not-ready': 1 },
    remarks: ['external IP refused: 172.30.0.1 is an address of a node', 'node node-1: health check port 31000 cannot be had'],
    externalLocal: true,
    internalLocal: false,
    healthCheckPort: 31_000,
    differs: true,
  });
});

test('one Service with its backends, in general and as a node has it', async () => {
  const list = createCluster();
  const [web] = await list({ namespace: 'shop', name: 'web' });
  expect(web!.frontends.map((f) => [f.kind, f.address, f.port, f.countOut, f.countIn, f.drainingIn])).toEqual([
    ['cluster-ip', '10.96.0.1', 80, 2, 2, 1],
    ['node-port', '0.0.0.0', 30080, 0, 2, 1],
  ]);
  expect(web!.backends.map((b) => [b.address, b.port, b.portName, b.node, b.zone, b.state, b.weight])).toEqual([
    ['10.244.1.5', 8080, 'http', 'node-1', 'a', 'active', 100],
    ['10.244.2.5', 8080, 'http', 'node-2', 'b', 'active', 100],
    ['10.244.2.6', 8080, 'http', 'node-2', 'b', 'terminating-serving', 100],
    ['10.244.2.7', 8080, 'http', 'node-2', 'b', 'not-ready', 100],
  ]);
  const [there] = await list({ namespace: 'shop', name: 'web', node: 'node-2' });
  expect(there!.frontends[1]).toMatchObject({ countOut: 1, countIn: 2, drainingOut: 1, setOut: expect.stringMatching(/^[0-9a-f]{16}$/) });
  expect(web!.frontends[1]!.setOut).toBe('');
});

test('what is not there is said', async () => {
  const list = createCluster();
  await expect(list({ namespace: 'shop', name: 'no' })).rejects.toThrow('there is no Service shop/no');
  await expect(list({ namespace: 'shop', name: 'web', node: 'n9' })).rejects.toThrow('there is no node "n9"');
});

test('what a fleet has for Services is there under its name, as its nodes have it', async () => {
  const lab = createLab(labConfig());
  addNode(lab.world, 'node-1', 1);
  addNode(lab.world, 'node-2', 2, { role: 'lb' });
  const services = [
    {
      name: 'web',
      vips: [{ address: '192.0.2.10', port: 80 }],
      backends: [{ address: '10.9.0.1' }, { address: '10.9.0.2', state: 'maintenance' }],
    },
  ];
  const metadata = { name: 'edge', uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z' };
  lab.world.set('fleets', 'edge', { metadata, spec: { nodeSelector: { matchLabels: { role: 'lb' } }, services } });
  const compiled = lab.compile();
  const list = async (q: Partial<ListServicesRequest> = {}): Promise<ServiceState[]> => {
    const out: ServiceState[] = [];
    const request = { namespace: '', name: '', node: '', serviceId: 0, ...q };
    for await (const a of listServices({ world: lab.world, compiled: () => compiled, problems: () => new Map() }, request))
      out.push(a.service!);
    return out;
  };
  const [web, ...more] = await list();
  expect(more).toEqual([]);
  expect(web).toMatchObject({
    namespace: 'fleet',
    name: 'edge.web-80-tcp',
    type: 'Fleet',
    states: { active: 1, maintenance: 1 },
    differs: true,
  });
  expect(web!.frontends.map((f) => `${f.address} ${f.port} ${f.countOut}`)).toEqual(['192.0.2.10 80 1', '192.0.2.10 0 0']);
  expect(await list({ serviceId: web!.frontends[0]!.serviceId })).toHaveLength(1);
  const one = { namespace: 'fleet', name: 'edge.web-80-tcp' };
  expect((await list(one))[0]!.backends.map((b) => [b.address, b.state])).toEqual([
    ['10.9.0.1', 'active'],
    ['10.9.0.2', 'maintenance'],
  ]);
  expect((await list({ ...one, node: 'node-1' }))[0]!.frontends).toEqual([]);
  await expect(list({ namespace: 'fleet', name: 'edge.nothing' })).rejects.toThrow('there is no Service fleet/edge.nothing');
});
