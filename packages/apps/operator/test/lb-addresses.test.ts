// The duty against the sandbox's API server: real CRDs, real preconditions of writes.
import { systemClock } from '@axoneme/std';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type KubeClient, type Resource, resources } from 'kopf-ts';
import { createLbAddressWriter } from '../src/leader/lb-addresses.ts';
import { ciliumResources } from '../src/sources/sources.ts';
import { createWorld, type World } from '../src/world/world.ts';
import { startApiServer, type TestApiServer } from './api-server.ts';

type Raw = Readonly<Record<string, unknown>>;
let server: TestApiServer;
let client: KubeClient;

beforeAll(async () => {
  server = await startApiServer(['ciliumloadbalancerippools.yaml']);
  client = server.client;
}, 30_000);
afterAll(() => server.close());

/** What a watch would have told by now. */
async function look(world: World): Promise<void> {
  const take = async (table: 'services' | 'lbPools', r: Resource): Promise<void> => {
    world.tables[table].clear();
    for (const o of (await client.list(r)).items) {
      const { name, namespace } = o.metadata;
      world.set(table, namespace === undefined ? name : `${namespace}/${name}`, o as unknown as Raw);
    }
  };
  await take('services', resources.services);
  await take('lbPools', ciliumResources.lbPools);
}
const create = (name: string, spec: object, more: object = {}) =>
  client.create(resources.services, {
    metadata: { name, namespace: 'default', ...more },
    spec: { type: 'LoadBalancer', ports: [{ port: 80 }], ...spec },
  } as never);
interface Status {
  readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string }[] };
  readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason: string; readonly message: string }[];
}
const statusOf = async (name: string): Promise<Status> =>
  ((await client.get(resources.services, { namespace: 'default', name })) as unknown as { status?: Status }).status ?? {};
const ips = async (name: string): Promise<(string | undefined)[]> =>
  ((await statusOf(name)).loadBalancer?.ingress ?? []).map((i) => i.ip ?? i.hostname);
const satisfied = async (name: string): Promise<string | undefined> =>
  (await statusOf(name)).conditions?.find((c) => c.type === 'cilium.io/IPAMRequestSatisfied')?.reason;

test('Services get addresses, keep them, and lose them with the pool', async () => {
  const world = createWorld();
  let leads = true;
  const assertLeader = (): void => {
    if (!leads) throw new TypeError('not the leader');
  };
  const writer = (): (() => Promise<void>) =>
    createLbAddressWriter({ client, world, clock: systemClock, assertLeader }, { defaultLbServiceIpam: 'lbipam' });
  const run = writer();

  await create('a', {});
  await create('b', { ports: [{ port: 443 }] }, { annotations: { 'lbipam.cilium.io/ips': '192.0.2.1' } });
  await create('cloud', { loadBalancerClass: 'example.com/cloud' });
  await create('plain', { type: 'ClusterIP' });
  await look(world);
  await run();
  expect(await statusOf('a')).not.toHaveProperty('conditions');

  const spec = { blocks: [{ start: '192.0.2.0', stop: '192.0.2.1' }] };
  await client.create(ciliumResources.lbPools, { metadata: { name: 'blue' }, spec } as never);
  await look(world);
  await run();
  expect([await ips('a'), await ips('b'), await ips('cloud'), await ips('plain')]).toEqual([['192.0.2.0'], ['192.0.2.1'], [], []]);
  expect([await satisfied('a'), await satisfied('b'), await satisfied('cloud')]).toEqual(['satisfied', 'satisfied', undefined]);
  const pool = (await client.get(ciliumResources.lbPools, { name: 'blue' })) as unknown as { status: Status };
  expect(pool.status.conditions?.map((c) => [c.type, c.status, c.message])).toEqual([
    ['cilium.io/PoolConflict', 'False', ''],
    ['cilium.io/IPsTotal', 'Unknown', '2'],
    ['cilium.io/IPsAvailable', 'Unknown', '0'],
    ['cilium.io/IPsUsed', 'Unknown', '2'],
    ['Valid', 'True', ''],
  ]);

  // the memory is the status: another leader, or the same one without the watch's news, writes nothing
  const version = async (): Promise<string | undefined> => (await client.list(resources.services)).resourceVersion;
  const before = await version();
  await run();
  await look(world);
  await writer()();
  expect(await version()).toBe(before);

  // who comes too late is told so, and served when something is free
  await create('c', { ports: [{ port: 80 }] });
  await look(world);
  await run();
  expect([await ips('c'), await satisfied('c')]).toEqual([[], 'out_of_ips']);
  await client.delete(resources.services, { namespace: 'default', name: 'a' });
  await look(world);
  await run();
  expect([await ips('c'), await satisfied('c')]).toEqual([['192.0.2.0'], 'satisfied']);

  // what somebody else wrote stays; what is out of date is not written; who does not lead writes nothing
  const host = { loadBalancer: { ingress: [{ hostname: 'x.example' }, { ip: '192.0.2.0' }] } };
  await client.patchStatus(resources.services, { namespace: 'default', name: 'c' }, host);
  await client.patch(ciliumResources.lbPools, { name: 'blue' }, { type: 'merge', body: { spec: { blocks: [{ cidr: '192.0.2.8/31' }] } } });
  const pools = await client.list(ciliumResources.lbPools);
  world.set('lbPools', 'blue', pools.items[0] as unknown as Raw);
  leads = false;
  await expect(run()).rejects.toThrow('not the leader');
  leads = true;
  await run();
  expect(await ips('c')).toEqual(['x.example', '192.0.2.0']);
  await look(world);
  await run();
  expect([await ips('b'), await ips('c')]).toEqual([[], ['x.example', '192.0.2.8']]);
  expect(await satisfied('b')).toBe('no_pool');

  // without pools the addresses go at once
  await client.delete(ciliumResources.lbPools, { name: 'blue' });
  await look(world);
  await run();
  expect([await ips('c'), await satisfied('c')]).toEqual([['x.example'], 'no_pool']);

  // and a Service that becomes another type is left without a trace
  await client.patch(resources.services, { namespace: 'default', name: 'c' }, { type: 'merge', body: { spec: { type: 'ClusterIP' } } });
  await look(world);
  await run();
  expect([await ips('c'), await satisfied('c')]).toEqual([['x.example'], undefined]);
});
