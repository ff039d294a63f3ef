import { AppError, silentLog } from '@axoneme/std';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  connectKube,
  createEventRecorder,
  isKubeError,
  type KubeClient,
  type LooseObject,
  loadKubeConfig,
  type Resource,
  resources,
  reviewToken,
} from '../src/index.ts';
import { type FakeApi, startFakeApi } from './fake-api.ts';

const cnp: Resource = { group: 'cilium.io', version: 'v2', plural: 'ciliumnetworkpolicies', kind: 'CiliumNetworkPolicy', namespaced: true };
let api: FakeApi;
let client: KubeClient;

const failure = async (p: Promise<unknown>): Promise<AppError> => {
  const e = await p.then(
    () => undefined,
    (x: unknown) => x,
  );
  if (!(e instanceof AppError)) throw new AppError({ code: 'test/expected', message: `expected an AppError, got ${String(e)}` });
  return e;
};

beforeAll(async () => {
  api = await startFakeApi();
  client = connectKube({ kind: 'text', text: api.kubeconfig }, { requestTimeoutMs: 2_000 });
});
afterAll(async () => {
  client.close();
  await api.close();
});

describe('configuration', () => {
  test('namespace and server come from the context', () => {
    expect(client.namespace).toBe('ctx');
    expect(client.server).toBe(api.url);
  });
  test.each([
    ['missing file', { kind: 'file' as const, path: '/nowhere/kubeconfig' }],
    ['not YAML', { kind: 'text' as const, text: ':\n  - [' }],
    ['no cluster', { kind: 'text' as const, text: 'apiVersion: v1\nclusters: []\nusers: []\ncontexts: []\ncurrent-context: none\n' }],
  ])('%s is kube/config', (_n, source) => {
    expect(() => loadKubeConfig(source)).toThrow(expect.objectContaining({ code: 'kube/config' }));
  });
});

describe('objects', () => {
  test('unknown keys survive create, get, patch and replace', async () => {
    const body = { metadata: { name: 'keys', namespace: 'a' }, spec: { default: 1, enum: ['x'], 'x-kubernetes-thing': true } };
    const made = await client.create<LooseObject>(cnp, body);
    expect(made.apiVersion).toBe('cilium.io/v2');
    expect(made.kind).toBe('CiliumNetworkPolicy');
    expect(made.spec).toEqual(body.spec);
    const patched = await client.patch<LooseObject>(
      cnp,
      { name: 'keys', namespace: 'a' },
      { type: 'merge', body: { spec: { default: 2 } } },
    );
    expect(patched.spec).toEqual({ ...body.spec, default: 2 });
    const replaced = await client.replace<LooseObject>(cnp, { ...patched, spec: { other: 1 } });
    expect(replaced.spec).toEqual({ other: 1 });
  });

  test('status goes through its subresource and leaves the spec alone', async () => {
    await client.create<LooseObject>(cnp, { metadata: { name: 's', namespace: 'a' }, spec: { n: 1 } });
    const o = await client.patchStatus<LooseObject>(cnp, { name: 's', namespace: 'a' }, { enforced: '1/1' });
    expect([o.spec, o.status]).toEqual([{ n: 1 }, { enforced: '1/1' }]);
    const r = await client.replaceStatus<LooseObject>(cnp, { ...o, spec: { n: 9 }, status: { enforced: '2/2' } } as LooseObject);
    expect([r.spec, r.status]).toEqual([{ n: 1 }, { enforced: '2/2' }]);
  });

  test('errors are typed', async () => {
    const ref = { name: 'gone', namespace: 'a' };
    expect((await failure(client.get(cnp, ref))).code).toBe('kube/not-found');
    expect(await client.find(cnp, ref)).toBeUndefined();
    await client.create(cnp, { metadata: { name: 'twice', namespace: 'a' } });
    expect((await failure(client.create(cnp, { metadata: { name: 'twice', namespace: 'a' } }))).code).toBe('kube/already-exists');
    const stale = await failure(client.replace(cnp, { metadata: { name: 'twice', namespace: 'a', resourceVersion: '1' } }));
    expect([stale.code, stale.retry]).toEqual(['kube/conflict', 'refresh']);
    api.faults.refuse.push({ match: 'GET /api/v1/namespaces/z/pods/p', status: 403, times: 1, message: 'pods "p" is forbidden' });
    const forbidden = await failure(client.get(resources.pods, { name: 'p', namespace: 'z' }));
    expect([forbidden.code, forbidden.message]).toEqual(['kube/forbidden', 'pods "p" is forbidden']);
  });

  test('a dead server is kube/unreachable, a mute one kube/timeout, both worth a retry', async () => {
    const dead = connectKube({ kind: 'text', text: api.kubeconfig.replace(api.url, 'http://127.0.0.1:1') });
    const e = await failure(dead.get(resources.pods, { name: 'p', namespace: 'z' }));
    expect([e.code, e.retry]).toEqual(['kube/unreachable', 'later']);
    const impatient = connectKube({ kind: 'text', text: api.kubeconfig }, { requestTimeoutMs: 50 });
    // a list held open as a watch never ends: the deadline does
    const mute = await failure(impatient.raw({ method: 'GET', path: '/api/v1/pods', query: { watch: true } }));
    expect([mute.code, mute.retry]).toEqual(['kube/timeout', 'later']);
    impatient.close();
    dead.close();
  });

  test('a read on a keep-alive socket that the server closed is sent again', async () => {
    api.put('configmaps', { metadata: { name: 'c', namespace: 'a' } });
    await client.get(resources.configMaps, { name: 'c', namespace: 'a' });
    api.faults.cut.push({ match: 'GET /api/v1/namespaces/a/configmaps/c', times: 1 });
    expect((await client.get(resources.configMaps, { name: 'c', namespace: 'a' })).metadata.name).toBe('c');
  });

  test('pages follow the continue token', async () => {
    for (let i = 0; i < 25; i++) api.put('services', { metadata: { name: `s${i}`, namespace: 'p' } });
    const sizes: number[] = [];
    for await (const page of client.pages(resources.services, { namespace: 'p', limit: 10 })) sizes.push(page.items.length);
    expect(sizes).toEqual([10, 10, 5]);
  });

  test('delete honours a uid precondition', async () => {
    const o = await client.create(cnp, { metadata: { name: 'del', namespace: 'a' } });
    expect((await failure(client.delete(cnp, { name: 'del', namespace: 'a' }, { uid: 'other' }))).code).toBe('kube/conflict');
    await client.delete(cnp, { name: 'del', namespace: 'a' }, { uid: o.metadata.uid ?? '' });
    expect(api.get('cilium.io/ciliumnetworkpolicies', 'a/del')).toBeUndefined();
  });
});

describe('token review', () => {
  test('a token for our audience names its holder', async () => {
    expect((await reviewToken(client, 'agent@axoneme-operator', ['axoneme-operator'])).username).toBe(
      'system:serviceaccount:kube-system:agent',
    );
  });
  test('a token for another audience is refused', async () => {
    const e = await failure(reviewToken(client, 'agent@vault', ['axoneme-operator']));
    expect(isKubeError(e, 'kube/unauthorized')).toBe(true);
  });
});

describe('event recorder', () => {
  const about = { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', name: 'rule1', namespace: 'ev', uid: 'u1' };

  test('equal events are one object with a count', async () => {
    const recorder = createEventRecorder({ client, component: 'axoneme-operator', log: silentLog, quietMs: 0 });
    recorder.record(about, { type: 'Warning', reason: 'Invalid', message: 'port 70000' });
    await recorder.flush();
    recorder.record(about, { type: 'Warning', reason: 'Invalid', message: 'port 70000' });
    await recorder.flush();
    recorder.record(about, { type: 'Normal', reason: 'Enforced', message: '2/2' });
    await recorder.flush();
    const stored = api.all('events').filter((e) => e.metadata.namespace === 'ev');
    expect(Object.entries(Object.fromEntries(stored.map((e) => [e.reason, e.count]))).toSorted(([a], [b]) => a.localeCompare(b))).toEqual([
      ['Enforced', 1],
      ['Invalid', 2],
    ]);
    // a restarted recorder continues the same object
    const restarted = createEventRecorder({ client, component: 'axoneme-operator', log: silentLog, quietMs: 0 });
    restarted.record(about, { type: 'Warning', reason: 'Invalid', message: 'port 70000' });
    await restarted.flush();
    expect(api.all('events').find((e) => e.reason === 'Invalid')?.count).toBe(3);
  });

  test('a flood is limited and counted', async () => {
    const recorder = createEventRecorder({ client, component: 'axoneme-operator', log: silentLog, ratePerSecond: 5 });
    for (let i = 0; i < 500; i++)
      recorder.record({ ...about, namespace: 'flood' }, { type: 'Warning', reason: 'Invalid', message: `m${i}` });
    await recorder.flush();
    const written = api.all('events').filter((e) => e.metadata.namespace === 'flood').length;
    expect(written).toBe(10);
    expect(recorder.dropped()).toBe(490);
  });

  test('a refused write is not repeated for ever', async () => {
    api.faults.refuse.push({ match: '/namespaces/np/events', status: 403, times: 1000 });
    const recorder = createEventRecorder({ client, component: 'axoneme-operator', log: silentLog });
    recorder.record({ ...about, namespace: 'np' }, { type: 'Normal', reason: 'X', message: 'y' });
    await recorder.flush();
    expect(api.requests.filter((r) => r.includes('/namespaces/np/events')).length).toBe(1);
  });
});
