import { silentLog } from '@axoneme/std';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  type Change,
  connectKube,
  createReflector,
  type KubeClient,
  type KubeObject,
  type Reflector,
  type ReflectorOptions,
  resources,
} from '../src/index.ts';
import { type FakeApi, startFakeApi, until } from './fake-api.ts';

let api: FakeApi;
let client: KubeClient;
let stop: AbortController;
let changes: string[];

beforeEach(async () => {
  api = await startFakeApi();
  client = connectKube({ kind: 'text', text: api.kubeconfig }, { requestTimeoutMs: 5_000 });
  stop = new AbortController();
  changes = [];
});
afterEach(async () => {
  stop.abort();
  client.close();
  await api.close();
});

const pod = (name: string, v = 1) => ({ metadata: { name, namespace: 'n' }, spec: { v } });

async function start(o: Partial<ReflectorOptions<KubeObject>> = {}): Promise<Reflector<KubeObject>> {
  const r = createReflector<KubeObject>({
    client,
    resource: resources.pods,
    log: silentLog,
    backoff: { baseMs: 5, maxMs: 50 },
    onChange: (c: Change<KubeObject>) => changes.push(`${c.kind} ${c.key}`),
    ...o,
  });
  await r.start(stop.signal);
  return r;
}
const lists = (): number =>
  api.requests.filter((r) => r.startsWith('GET /api/v1/pods?') && !r.includes('watch=true') && !r.includes('continue=')).length;

describe('following', () => {
  test('list, then live adds, changes and deletes', async () => {
    api.put('pods', pod('a'));
    const r = await start();
    expect(changes).toEqual(['upsert n/a']);
    await until('watching', () => api.watchers() === 1);
    api.put('pods', pod('b'));
    api.put('pods', pod('a', 2));
    api.remove('pods', 'n/b');
    await until('delete seen', () => changes.length === 4);
    expect(changes).toEqual(['upsert n/a', 'upsert n/b', 'upsert n/a', 'delete n/b']);
    expect([...r.store.keys()]).toEqual(['n/a']);
    expect(r.health()).toEqual({ state: 'ok' });
    expect(r.ageMs()).toBeLessThan(5_000);
  });

  test('projection trims, and undefined leaves out what was kept before', async () => {
    api.put('pods', pod('a', 1));
    const seen: string[] = [];
    const r = createReflector<{ readonly v: number }>({
      client,
      resource: resources.pods,
      log: silentLog,
      project: (o) => {
        const v = (o as unknown as { spec: { v: number } }).spec.v;
        return v > 5 ? undefined : { v };
      },
      onChange: (c) => seen.push(`${c.kind} ${JSON.stringify(c.kind === 'upsert' ? c.value : c.old)}`),
    });
    await r.start(stop.signal);
    await until('watching', () => api.watchers() === 1);
    api.put('pods', pod('a', 9));
    api.put('pods', pod('a', 2));
    await until('three changes', () => seen.length === 3);
    expect(seen).toEqual(['upsert {"v":1}', 'delete {"v":1}', 'upsert {"v":2}']);
  });

  test('an optional collection that is not served is empty, and followed once it appears', async () => {
    api.put('pods', pod('a'));
    api.faults.refuse.push({ match: 'GET /api/v1/pods', times: 2, status: 404, reason: 'NotFound' });
    const r = await start({ absentMs: 20 });
    expect(r.isSynced()).toBe(true);
    expect(r.health()).toEqual({ state: 'ok' });
    expect([...r.store.keys()]).toEqual([]);
    await until('served and seen', () => r.store.has('n/a'));
    await until('watching', () => api.watchers() === 1);
    api.faults.refuse.push({ match: 'GET /api/v1/pods', times: 2, status: 404, reason: 'NotFound' });
    api.endWatches();
    await until('gone with its collection', () => changes.includes('delete n/a'));
    await until('back', () => r.store.has('n/a'));
    expect(r.stats().failures).toBe(0);
  });

  test('a throwing handler neither stops the watch nor loses the object', async () => {
    const r = await start({
      onChange: () => {
        throw new TypeError('bug in a handler');
      },
    });
    await until('watching', () => api.watchers() === 1);
    api.put('pods', pod('a'));
    await until('stored', () => r.store.has('n/a'));
  });

  test('nothing is written', async () => {
    await start();
    api.put('pods', pod('a'));
    await until('seen', () => changes.length === 1);
    expect(api.requests.every((q) => q.startsWith('GET '))).toBe(true);
  });
});

describe('faults', () => {
  test('a silent watch is left and the list shows what it kept back', async () => {
    const r = await start({ idleMs: 60 });
    await until('watching', () => api.watchers() === 1);
    api.faults.silent = true;
    api.put('pods', pod('hidden'));
    await until('found by listing', () => r.store.has('n/hidden'));
    expect(r.stats().lists).toBeGreaterThanOrEqual(2);
  });

  test('a watch that ends without a word makes us list; one that ends with a bookmark does not', async () => {
    const r = await start();
    await until('watching', () => api.watchers() === 1);
    api.bookmark();
    api.endWatches();
    await until('watching again', () => r.stats().watches === 2 && api.watchers() === 1);
    expect(r.stats().lists).toBe(1);
    api.endWatches();
    await until('listed again', () => r.stats().lists === 2);
  });

  test('bookmarks keep a quiet watch alive and fresh', async () => {
    const r = await start({ idleMs: 1_000 });
    await until('watching', () => api.watchers() === 1);
    const beat = setInterval(() => api.bookmark(), 20);
    const before = performance.now();
    await until('three idle periods have passed', () => performance.now() - before > 3_000);
    clearInterval(beat);
    expect(r.stats()).toMatchObject({ lists: 1, watches: 1, failures: 0 });
    expect(r.ageMs()).toBeLessThan(1_000);
  });

  test('410: one list, then the watch goes on', async () => {
    api.put('pods', pod('a'));
    const r = await start();
    await until('watching', () => api.watchers() === 1);
    const listedBefore = lists();
    api.faults.silent = true;
    api.put('pods', pod('b'));
    api.remove('pods', 'n/a');
    api.faults.silent = false;
    api.faults.oldest = api.rv();
    api.dropWatches();
    await until('relisted', () => r.store.has('n/b') && !r.store.has('n/a'));
    await until('watching again', () => api.watchers() === 1);
    expect(lists() - listedBefore).toBe(1);
    expect(r.stats().swept).toBe(1);
    expect(changes).toEqual(['upsert n/a', 'upsert n/b', 'delete n/a']);
    api.put('pods', pod('c'));
    await until('live again', () => r.store.has('n/c'));
  });

  test('dropped connections resume from the last position without a list', async () => {
    const r = await start();
    for (let i = 0; i < 5; i++) {
      await until('watching', () => api.watchers() === 1);
      api.faults.silent = true;
      api.put('pods', pod(`missed${i}`));
      api.faults.silent = false;
      api.dropWatches();
      await until('replayed', () => r.store.has(`n/missed${i}`));
    }
    expect(r.stats().lists).toBe(1);
  });

  test('an object re-created while we were away arrives as delete and upsert', async () => {
    api.put('pods', pod('a'));
    await start();
    await until('watching', () => api.watchers() === 1);
    api.faults.silent = true;
    api.remove('pods', 'n/a');
    api.put('pods', pod('a'));
    api.faults.silent = false;
    api.faults.oldest = api.rv();
    api.dropWatches();
    await until('noticed', () => changes.length === 3);
    expect(changes).toEqual(['upsert n/a', 'delete n/a', 'upsert n/a']);
  });

  test.each([
    ['not JSON', 'certainly { not json\n'],
    ['JSON but no event', '{"hello":"world"}\n'],
    ['event without version', '{"type":"ADDED","object":{"metadata":{"name":"x"}}}\n'],
    ['null', 'null\n'],
    ['unknown type', '{"type":"EXPLODED","object":{"metadata":{"name":"x","resourceVersion":"5"}}}\n'],
  ])('garbage (%s) costs a reconnect, not the copy', async (_n, text) => {
    api.put('pods', pod('a'));
    const r = await start();
    await until('watching', () => api.watchers() === 1);
    api.say(text);
    await until('noticed', () => r.stats().failures === 1);
    await until('watching again', () => r.stats().watches === 2 && api.watchers() === 1);
    api.put('pods', pod('b'));
    await until('live', () => r.store.has('n/b'));
    expect([...r.store.keys()]).toEqual(['n/a', 'n/b']);
  });

  test('an expired continue token restarts the list; forbidden and 500 are retried; synced waits for all', async () => {
    for (let i = 0; i < 30; i++) api.put('pods', pod(`p${i}`));
    api.faults.expireTokens = 2;
    api.faults.refuse.push({ match: '/api/v1/pods', status: 403, times: 1 }, { match: '/api/v1/pods', status: 500, times: 1 });
    const r = await start({ pageSize: 10 });
    expect(r.store.size).toBe(30);
    expect(r.isSynced()).toBe(true);
    expect(changes.length).toBe(30);
  });

  test('while nothing answers the copy stays, ages, and says so', async () => {
    api.put('pods', pod('a'));
    const r = await start();
    await until('watching', () => api.watchers() === 1);
    api.faults.refuse.push({ match: '/api/v1/pods', status: 503, times: 1e9 });
    api.dropWatches();
    await until('degraded', () => r.health().state === 'degraded');
    await until('aged', () => r.ageMs() > 100);
    expect(r.store.has('n/a')).toBe(true);
    api.faults.refuse.length = 0;
    api.put('pods', pod('b'));
    await until('back', () => r.store.has('n/b') && r.health().state === 'ok');
  });

  test('stop ends the watch', async () => {
    const r = await start();
    await until('watching', () => api.watchers() === 1);
    stop.abort();
    await until('gone', () => api.watchers() === 0);
    await until('stopped', () => r.health().state === 'stopped');
  });
});
