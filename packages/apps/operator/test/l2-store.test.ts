// Leases of announced addresses and conditions of policies against an API server.
import type { L2Record } from '@axoneme/ipam';
import type { IpAddr } from '@axoneme/model';
import { systemClock } from '@axoneme/std';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { resources } from 'kopf-ts';
import { createL2PolicyWriter } from '../src/leader/l2-policies.ts';
import { createL2Store, l2LeaseName } from '../src/leader/l2-store.ts';
import { ciliumResources } from '../src/sources/sources.ts';
import { L2_LABEL } from '../src/world/project.ts';
import type { L2LeaseRow } from '../src/world/rows.ts';
import { createWorld } from '../src/world/world.ts';
import { startApiServer, type TestApiServer } from './api-server.ts';

let api: TestApiServer;
beforeAll(async () => {
  api = await startApiServer(['ciliuml2announcementpolicies.yaml']);
}, 30_000);
afterAll(() => api.close());

test('names of Leases are names of objects', () => {
  expect(l2LeaseName('192.0.2.1' as IpAddr)).toBe('cilium-l2announce-192-0-2-1');
  expect(l2LeaseName('fd00::1' as IpAddr)).toBe('cilium-l2announce-fd00-0-0-0-0-0-0-1');
});

test('a record is a Lease; only what was seen is replaced or removed', async () => {
  const store = createL2Store({
    client: api.client,
    clock: systemClock,
    assertLeader: () => undefined,
    namespace: 'default',
    validMs: 2500,
  });
  const record: L2Record = { address: '192.0.2.1' as IpAddr, node: 'n1', former: [], epoch: 1 };
  const first = (await store.write(record, undefined, ['default/web'])) as L2LeaseRow;
  expect(first.record).toEqual(record);
  const lease = (await api.client.get(resources.leases, { namespace: 'default', name: first.name })) as unknown as Record<string, unknown>;
  expect(lease.spec).toMatchObject({ holderIdentity: 'n1', leaseDurationSeconds: 3, leaseTransitions: 1 });
  expect(await store.write(record, undefined, [])).toBe('refused');

  const moved: L2Record = { ...record, node: 'n2', former: ['n1', 'n3'], epoch: 2 };
  const second = (await store.write(moved, first, [])) as L2LeaseRow;
  expect(second.record).toEqual(moved);
  expect([await store.write(record, first, []), await store.write(undefined, first, [])]).toEqual(['refused', 'refused']);
  const listed = await api.client.list(resources.leases, { namespace: 'default', labelSelector: L2_LABEL });
  expect(listed.items.map((o) => o.metadata.name)).toEqual(['cilium-l2announce-192-0-2-1']);
  expect(await store.write(undefined, second, [])).toBeUndefined();
  expect(await store.write(undefined, second, [])).toBe('refused');
});

test('a policy says what is wrong with it, and no more when it is mended', async () => {
  const world = createWorld();
  const write = createL2PolicyWriter({ client: api.client, world, clock: systemClock, assertLeader: () => undefined });
  const look = async () => {
    for (const o of (await api.client.list(ciliumResources.l2Policies)).items) world.set('l2Policies', o.metadata.name, o as never);
  };
  type Status = { status?: { conditions?: { type: string; status: string; message: string }[] } };
  const conditions = async (name: string) =>
    ((await api.client.get(ciliumResources.l2Policies, { name })) as unknown as Status).status?.conditions
      ?.map((c) => [c.type, c.status])
      .sort();
  const spec = { interfaces: ['^eth[0'], serviceSelector: { matchExpressions: [{ key: 'a', operator: 'In', values: [] }] } };
  await api.client.create(ciliumResources.l2Policies, { metadata: { name: 'bad' }, spec } as never);
  await api.client.create(ciliumResources.l2Policies, { metadata: { name: 'good' }, spec: { loadBalancerIPs: true } } as never);
  await look();
  await write();
  expect(await conditions('bad')).toEqual([
    ['io.cilium/bad-interface-regex', 'True'],
    ['io.cilium/bad-service-selector', 'True'],
  ]);
  expect(await conditions('good')).toBeUndefined();
  await api.client.patch(
    ciliumResources.l2Policies,
    { name: 'bad' },
    { type: 'merge', body: { spec: { interfaces: ['^eth'], serviceSelector: null } } },
  );
  await look();
  await write();
  expect(await conditions('bad')).toEqual([]);
});
