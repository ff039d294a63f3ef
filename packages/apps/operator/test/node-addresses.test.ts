// The duty against the sandbox's API server.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type EventNote, resources } from 'kopf-ts';
import { createNodeAddressWriter } from '../src/leader/node-addresses.ts';
import { projectNode } from '../src/world/project.ts';
import { createWorld } from '../src/world/world.ts';
import { startApiServer, type TestApiServer } from './api-server.ts';

let api: TestApiServer;
beforeAll(async () => {
  api = await startApiServer();
}, 30_000);
afterAll(() => api.close());

type Ingress = readonly { readonly ip?: string; readonly hostname?: string }[];
const namespace = 'default';
const node = (name: string, ready: boolean, ...addresses: string[]) =>
  projectNode({
    metadata: { name, labels: { zone: name } },
    status: {
      addresses: addresses.map((address) => ({ type: 'InternalIP', address })),
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  });

test('addresses of nodes come and go with the nodes; what is somebody else’s stays', async () => {
  const world = createWorld();
  const notes: EventNote[] = [];
  const events = { record: (_about: unknown, n: EventNote) => void notes.push(n), flush: async () => undefined, dropped: () => 0 };
  const run = createNodeAddressWriter(
    { client: api.client, world, events, assertLeader: () => undefined },
    { defaultLbServiceIpam: 'lbipam' },
  );
  const create = async (name: string, spec: object, annotations: Record<string, string> = {}) => {
    const object = { metadata: { name, namespace, annotations }, spec: { type: 'LoadBalancer', ports: [{ port: 80 }], ...spec } };
    await api.client.create(resources.services, object as never);
  };
  const look = async () => {
    for (const o of (await api.client.list(resources.services)).items)
      world.set('services', `${o.metadata.namespace}/${o.metadata.name}`, o as never);
  };
  const ingress = async (name: string): Promise<(string | undefined)[]> => {
    const o = (await api.client.get(resources.services, { namespace, name })) as unknown as {
      status?: { loadBalancer?: { ingress?: Ingress } };
    };
    return (o.status?.loadBalancer?.ingress ?? []).map((i) => i.ip ?? i.hostname);
  };
  const loadBalancerClass = 'io.cilium/node';
  await create('all', { loadBalancerClass });
  await create('one', { loadBalancerClass }, { 'io.cilium.nodeipam/match-node-labels': 'zone in (n2)' });
  await create('local', { loadBalancerClass, externalTrafficPolicy: 'Local' });
  await create('wrong', { loadBalancerClass }, { 'io.cilium.nodeipam/match-node-labels': 'zone near n2' });
  await create('other', {});
  world.set('nodes', 'n1', node('n1', true, '172.30.0.1'));
  world.set('nodes', 'n2', node('n2', true, '172.30.0.2'));
  const endpoints = [
    { addresses: ['10.0.0.1'], nodeName: 'n1', conditions: { ready: false, serving: true, terminating: true } },
    { addresses: ['10.0.0.2'], nodeName: 'n2', conditions: { ready: true } },
  ];
  world.set('slices', 'default/local-1', {
    metadata: { namespace, name: 'local-1', labels: { 'kubernetes.io/service-name': 'local' } },
    endpoints,
  });
  await look();
  await run();
  const all = async () => [
    await ingress('all'),
    await ingress('one'),
    await ingress('local'),
    await ingress('wrong'),
    await ingress('other'),
  ];
  expect(await all()).toEqual([['172.30.0.1', '172.30.0.2'], ['172.30.0.2'], ['172.30.0.2'], [], []]);
  expect(notes.map((n) => n.reason)).toEqual(['InvalidNodeSelector']);

  // nothing changed, nothing is written
  const version = async () => (await api.client.list(resources.services)).resourceVersion;
  const before = await version();
  await look();
  await run();
  expect(await version()).toBe(before);

  const named = { status: { loadBalancer: { ingress: [{ hostname: 'lb.example.com' }, { ip: '172.30.0.1' }, { ip: '172.30.0.2' }] } } };
  await api.client.patch(resources.services, { namespace, name: 'all' }, { type: 'merge', body: named }, { subresource: 'status' });
  world.set('nodes', 'n2', node('n2', false, '172.30.0.2'));
  await look();
  await run();
  expect(await all()).toEqual([['lb.example.com', '172.30.0.1'], [], [], [], []]);
});
