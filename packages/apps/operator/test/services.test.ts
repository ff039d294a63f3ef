// What nodes are given of Services: the same for all where nothing differs, their own where something does.
import { type Row, type TableName, unpackRows } from '@axoneme/datapath';
import { ipFromBytes } from '@axoneme/model';
import { HealthCheck } from '@axoneme/proto';
import { describe, expect, test } from '@jest/globals';
import { projectPod } from '../src/world/project.ts';
import { addNode, createLab, type Lab, labConfig } from './lab.ts';

const meta = (name: string, more: object = {}) => ({ namespace: 'shop', name, creationTimestamp: '2026-01-01T00:00:00Z', ...more });

function put(lab: Lab, spec: object, more: { ingress?: object[]; annotations?: object } = {}): void {
  const object = {
    metadata: meta('web', { annotations: more.annotations }),
    spec: { clusterIPs: ['10.96.0.1'], ports: [{ port: 80, nodePort: 30080 }], ...spec },
    status: { loadBalancer: { ingress: more.ingress } },
  };
  lab.world.set('services', 'shop/web', object);
}

function putSlice(lab: Lab, pods: Readonly<Record<string, string>>): void {
  lab.world.set('slices', 'shop/web-1', {
    metadata: meta('web-1', { labels: { 'kubernetes.io/service-name': 'web' } }),
    addressType: 'IPv4',
    ports: [{ name: '', protocol: 'TCP', port: 8080 }],
    endpoints: Object.entries(pods).map(([ip, nodeName]) => ({ addresses: [ip], nodeName })),
  });
}

function rowsOn<N extends TableName>(lab: Lab, node: string, table: N): Row<N>[] {
  return [...lab.given.get(node)!].flatMap(([name, digest]) => {
    const body = lab.compiler.body(name, digest as never);
    if (body === undefined) throw new TypeError(`${node} was given ${name}, which nobody has`);
    return body.table === table ? [...unpackRows(table, body.keys, body.values)] : [];
  });
}

/** `address:port in>backends out>backends` as the kernel of the node would find them. */
function frontends(lab: Lab, node: string): string[] {
  const slots = rowsOn(lab, node, 'lb_slot');
  const set = (id: bigint, count: number): string =>
    Array.from({ length: count }, (_, index) => slots.find(([k]) => k.set === id && k.index === index)!)
      .map(([, v]) => ipFromBytes(v.family as 4, v.addr))
      .join(',') || '-';
  return rowsOn(lab, node, 'lb_frontend')
    .map(([k, v]) => `${ipFromBytes(k.family as 4, k.addr)}:${k.port} ${set(v.setIn, v.countIn)} ${set(v.setOut, v.countOut)}`)
    .sort();
}

function createCluster(config: object = {}): Lab {
  const lab = createLab(labConfig(config));
  addNode(lab.world, 'node-1', 1, { 'topology.kubernetes.io/zone': 'a' });
  addNode(lab.world, 'node-2', 2, { 'topology.kubernetes.io/zone': 'b' });
  putSlice(lab, { '10.244.1.5': 'node-1', '10.244.2.5': 'node-2' });
  return lab;
}
const both = '10.244.1.5,10.244.2.5';

describe('health checks', () => {
  const answers = (lab: Lab): Record<string, number | undefined> =>
    Object.fromEntries(
      [...lab.given].map(([node, names]) => {
        const digest = names.get('health/shop/web');
        const body = digest === undefined ? undefined : lab.compiler.body('health/shop/web', digest as never);
        return [node, body && HealthCheck.decode(body.blob).localEndpoints];
      }),
    );
  const balanced = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 31_000 };

  test('every node is told what it has of a Service that load balancers ask for, and follows pods', () => {
    const lab = createCluster();
    addNode(lab.world, 'node-3', 3);
    put(lab, balanced);
    lab.compile();
    expect(answers(lab)).toEqual({ 'node-1': 1, 'node-2': 1, 'node-3': 0 });
    putSlice(lab, { '10.244.1.5': 'node-1', '10.244.1.6': 'node-1', '10.244.3.5': 'node-3' });
    lab.compile();
    expect(answers(lab)).toEqual({ 'node-1': 2, 'node-2': 0, 'node-3': 1 });
    const { blob } = lab.compiler.body('health/shop/web', lab.given.get('node-1')!.get('health/shop/web') as never)!;
    expect(HealthCheck.decode(blob)).toEqual({ namespace: 'shop', service: 'web', port: 31_000, localEndpoints: 2 });
    put(lab, { ...balanced, externalTrafficPolicy: 'Cluster' });
    lab.compile();
    expect(answers(lab)).toEqual({ 'node-1': undefined, 'node-2': undefined, 'node-3': undefined });
    put(lab, balanced);
    lab.compile();
    lab.world.remove('services', 'shop/web');
    lab.compile();
    expect(answers(lab)).toEqual({ 'node-1': undefined, 'node-2': undefined, 'node-3': undefined });
  });

  test('a node whose last backend terminates gets traffic and is not asked for more', () => {
    const lab = createCluster();
    put(lab, balanced);
    lab.world.set('slices', 'shop/web-1', {
      metadata: meta('web-1', { labels: { 'kubernetes.io/service-name': 'web' } }),
      addressType: 'IPv4',
      ports: [{ name: '', protocol: 'TCP', port: 8080 }],
      endpoints: [
        { addresses: ['10.244.1.5'], nodeName: 'node-1', conditions: { ready: false, serving: true, terminating: true } },
        { addresses: ['10.244.2.5'], nodeName: 'node-2' },
      ],
    });
    lab.compile();
    expect(frontends(lab, 'node-1')[0]).toBe('0.0.0.0:30080 10.244.2.5 10.244.1.5');
    expect(answers(lab)).toEqual({ 'node-1': 0, 'node-2': 1 });
  });
});

describe('nodes', () => {
  test('a plain Service is one artifact for all', () => {
    const lab = createCluster();
    put(lab, { type: 'NodePort' });
    lab.compile();
    for (const n of ['node-1', 'node-2'])
      expect(frontends(lab, n)).toEqual([`0.0.0.0:30080 ${both} ${both}`, `10.96.0.1:80 ${both} ${both}`]);
    expect(lab.given.get('node-1')!.get('service/shop/web')).toBe(lab.given.get('node-2')!.get('service/shop/web'));
  });

  test('externalTrafficPolicy Local: own content under the same name, which follows pods, and is gone with the policy', () => {
    const lab = createCluster();
    put(lab, { type: 'NodePort', externalTrafficPolicy: 'Local' });
    lab.compile();
    expect(frontends(lab, 'node-1')[0]).toBe(`0.0.0.0:30080 ${both} 10.244.1.5`);
    expect(frontends(lab, 'node-2')[0]).toBe(`0.0.0.0:30080 ${both} 10.244.2.5`);
    addNode(lab.world, 'node-3', 3);
    lab.compile();
    expect(frontends(lab, 'node-3')[0]).toBe(`0.0.0.0:30080 ${both} -`);
    putSlice(lab, { '10.244.1.5': 'node-1', '10.244.3.5': 'node-3' });
    lab.compile();
    expect(frontends(lab, 'node-2')[0]).toBe('0.0.0.0:30080 10.244.1.5,10.244.3.5 -');
    expect(frontends(lab, 'node-3')[0]).toBe('0.0.0.0:30080 10.244.1.5,10.244.3.5 10.244.3.5');
    put(lab, { type: 'NodePort' });
    lab.compile();
    expect(new Set(['node-1', 'node-2', 'node-3'].map((n) => lab.given.get(n)!.get('service/shop/web'))).size).toBe(1);
    lab.world.remove('services', 'shop/web');
    lab.compile();
    for (const n of ['node-1', 'node-2', 'node-3']) expect(frontends(lab, n)).toEqual([]);
  });

  test('a node that moves to another zone gets the backends of that zone', () => {
    const lab = createCluster();
    put(lab, { trafficDistribution: 'PreferClose' });
    lab.world.set('slices', 'shop/web-1', {
      ...lab.world.tables.slices.get('shop/web-1')!,
      endpoints: ['a', 'b'].map((zone, i) => ({ addresses: [`10.244.${i + 1}.5`], hints: { forZones: [{ name: zone }] } })),
    });
    lab.compile();
    expect(frontends(lab, 'node-1')).toEqual(['10.96.0.1:80 10.244.1.5 10.244.1.5']);
    addNode(lab.world, 'node-1', 1, { 'topology.kubernetes.io/zone': 'b' });
    lab.compile();
    expect(frontends(lab, 'node-1')).toEqual(['10.96.0.1:80 10.244.2.5 10.244.2.5']);
  });

  test('annotated nodes only', () => {
    const lab = createCluster();
    put(lab, {}, { annotations: { 'service.cilium.io/node': 'node-2' } });
    lab.compile();
    expect([frontends(lab, 'node-1'), frontends(lab, 'node-2')]).toEqual([[], [`10.96.0.1:80 ${both} ${both}`]]);
  });

  test('host ports are on the node of their pod, and go with it', () => {
    const lab = createCluster();
    const raw = {
      metadata: meta('proxy', { uid: 'u' }),
      spec: { nodeName: 'node-1', containers: [{ ports: [{ containerPort: 8080, hostPort: 80 }] }] },
      status: { phase: 'Running', podIPs: [{ ip: '10.244.1.9' }] },
    };
    lab.world.set('pods', 'shop/proxy', projectPod(raw));
    lab.compile();
    expect([frontends(lab, 'node-1'), frontends(lab, 'node-2')]).toEqual([['0.0.0.0:80 10.244.1.9 10.244.1.9'], []]);
    lab.world.remove('pods', 'shop/proxy');
    lab.compile();
    expect(frontends(lab, 'node-1')).toEqual([]);
  });
});

test('Maglev tables are rows: every entry is a slot of the set, and the table goes with the set', () => {
  const lab = createCluster({ loadBalancerAlgorithm: 'maglev', maglevTableSize: 1021 });
  put(lab, { type: 'NodePort' });
  lab.compile();
  const rows = rowsOn(lab, 'node-1', 'lb_maglev');
  const external = rowsOn(lab, 'node-1', 'lb_frontend').find(([k]) => k.port === 30080)![1];
  expect([rows.length, external.maglevSize]).toEqual([2, 1021]);
  expect(rows.map(([k]) => [k.set, k.chunk])).toEqual([0, 1].map((chunk) => [external.setOut, chunk]));
  const entries = rows.flatMap(([, v]) => v.slot).slice(0, 1021);
  expect([0, 1].map((slot) => entries.filter((s) => s === slot).length).sort((a, b) => a - b)).toEqual([510, 511]);
  putSlice(lab, { '10.244.1.5': 'node-1' });
  lab.compile();
  expect(rowsOn(lab, 'node-1', 'lb_maglev')).toEqual([]);
});

test('source ranges of load balancers are rows under the number of the port', () => {
  const lab = createCluster();
  const spec = { type: 'LoadBalancer', loadBalancerSourceRanges: ['192.0.2.0/24', '2001:db8::/32'], ports: [{ port: 80 }] };
  put(lab, spec, { ingress: [{ ip: '203.0.113.1' }] });
  lab.compile();
  const balancer = rowsOn(lab, 'node-1', 'lb_frontend').find(([k, v]) => k.port === 80 && (v.flags & 2) !== 0)![1];
  expect(rowsOn(lab, 'node-1', 'lb_source').map(([k, v]) => [k.prefixlen, k.serviceId, k.family, v.allowed])).toEqual([
    [88, balancer.serviceId, 4, 1],
    [96, balancer.serviceId, 6, 1],
  ]);
  put(lab, { ...spec, loadBalancerSourceRanges: [] }, { ingress: [{ ip: '203.0.113.1' }] });
  lab.compile();
  expect(rowsOn(lab, 'node-1', 'lb_source')).toEqual([]);
});

test('C30: an external IP inside of the cluster has no row', () => {
  const lab = createCluster({ serviceCidrs: ['10.96.0.0/12'] });
  put(lab, { ports: [{ port: 443 }], externalIPs: ['10.244.2.5', '172.30.0.1', '10.96.0.53', '198.51.100.1'] });
  lab.compile();
  expect(frontends(lab, 'node-1')).toEqual([`10.96.0.1:443 ${both} ${both}`, `198.51.100.1:443 ${both} ${both}`]);
});

test('the configuration names sizes of tables and prefixes that are none', () => {
  expect(() => labConfig({ maglevTableSize: 1000 })).toThrow('maglevTableSize: must be one of 251');
  expect(() => labConfig({ serviceCidrs: ['x'] })).toThrow('serviceCidrs: "x" is not a prefix');
});
