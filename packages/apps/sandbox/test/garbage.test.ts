// The garbage collector on the embedded API server: whose owners are gone goes, whose owners are merely unknown stays.
import { silentLog, systemClock } from '@axoneme/std';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type ApiServer, createApiServer } from '../src/apiserver/index.ts';
import type { OwnerReference } from '../src/apiserver/types.ts';
import { createCaches } from '../src/client/cache.ts';
import { CONFIG_MAPS } from '../src/client/kinds.ts';
import type { KubeClient } from '../src/client/kube-client.ts';
import { createStoreClient } from '../src/client/store-client.ts';
import { createGarbageCollector } from '../src/controllers/garbage.ts';
import { until } from './apiserver/harness.ts';

const abort = new AbortController();
let api: ApiServer;
let client: KubeClient;
let stop: () => void;

const make = async (name: string, ...owners: Partial<OwnerReference>[]): Promise<string> => {
  const ownerReferences = owners.map((o) => ({ apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'nobody', ...o }));
  const made = await client.create(CONFIG_MAPS, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'default', ownerReferences },
  });
  return made.metadata.uid ?? '';
};
const isThere = (name: string): boolean => api.store.get(CONFIG_MAPS, 'default', name) !== undefined;

beforeAll(async () => {
  api = createApiServer({}, {});
  await api.start(abort.signal);
  client = createStoreClient(api);
  const caches = createCaches(client, systemClock);
  const garbage = createGarbageCollector({ client, caches, clock: systemClock, log: silentLog });
  garbage.start();
  stop = () => {
    garbage.stop();
    caches.stop();
  };
});

afterAll(async () => {
  stop();
  abort.abort();
  await api.stopped();
});

test('dependents follow their owner, the last of several owners counts', async () => {
  const first = await make('first');
  const second = await make('second');
  await make('child', { name: 'first', uid: first });
  await make('shared', { name: 'first', uid: first }, { name: 'second', uid: second });
  await client.delete(CONFIG_MAPS, 'default', 'first');
  await until(() => !isThere('child'), 'child goes');
  expect(isThere('shared')).toBe(true);
  await client.delete(CONFIG_MAPS, 'default', 'second');
  await until(() => !isThere('shared'), 'shared goes');
});

test('an owner of another uid is not the owner; an owner of a kind nobody serves may be alive', async () => {
  await make('elder');
  await make('unknown', { apiVersion: 'example.com/v1', kind: 'Widget', name: 'w' });
  await make('impostor', { name: 'elder', uid: 'another' });
  await until(() => !isThere('impostor'), 'impostor goes');
  expect(isThere('unknown')).toBe(true);
});
