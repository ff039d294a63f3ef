import { silentLog } from '@axoneme/std';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  type Change,
  connectKube,
  createOperator,
  type KopfOperator,
  type KubeClient,
  type KubeObject,
  type OperatorOptions,
  PermanentError,
  type Resource,
  resources,
  TemporaryError,
} from '../src/index.ts';
import { type FakeApi, type Stored, startFakeApi, until } from './fake-api.ts';

const cnp: Resource = { group: 'cilium.io', version: 'v2', plural: 'ciliumnetworkpolicies', kind: 'CiliumNetworkPolicy', namespaced: true };
const collection = 'cilium.io/ciliumnetworkpolicies';
let api: FakeApi;
let client: KubeClient;
let stop: AbortController;
let calls: string[];

beforeEach(async () => {
  api = await startFakeApi();
  client = connectKube({ kind: 'text', text: api.kubeconfig });
  stop = new AbortController();
  calls = [];
});
afterEach(async () => {
  stop.abort();
  client.close();
  await api.close();
});

const make = (o: Partial<OperatorOptions> = {}): KopfOperator => createOperator({ client, log: silentLog, ownGroups: ['cilium.io'], ...o });
const apply = (name: string, spec: object, more: object = {}): Stored => {
  const old = api.get(collection, `n/${name}`);
  return api.put(collection, { ...old, metadata: { ...(old?.metadata ?? { name, namespace: 'n' }), ...more } as never, spec });
};
const notes = (name: string): { handled?: string; progress?: Record<string, { attempts: number; outcome?: string }> } =>
  JSON.parse(api.get(collection, `n/${name}`)?.metadata.annotations?.['axoneme.io/kopf'] ?? '{}');
const writes = (): string[] => api.requests.filter((r) => !r.startsWith('GET'));
const settled = (name: string): Promise<void> =>
  until(`${name} handled`, () => notes(name).handled !== undefined && notes(name).progress === undefined);

describe('causes', () => {
  test('create, update, field and delete, each once, with a finalizer in between', async () => {
    const op = make();
    op.on.create(cnp, 'c', (x) => void calls.push(`create ${x.key}`));
    op.on.update(cnp, 'u', (x) => void calls.push(`update ${x.key}`));
    op.on.field(cnp, 'spec.ingress', 'f', (x) => void calls.push(`field ${x.cause}`));
    op.on.delete(cnp, 'd', (x) => void calls.push(`delete ${x.key}`));
    await op.start(stop.signal);
    apply('p', { ingress: [1] });
    await settled('p');
    expect(calls).toEqual(['create n/p', 'field create']);
    expect(api.get(collection, 'n/p')?.metadata.finalizers).toEqual(['axoneme.io/kopf']);
    const first = notes('p').handled;
    apply('p', { ingress: [1], egress: [] });
    await until('updated', () => notes('p').handled !== first);
    expect(calls.slice(2)).toEqual(['update n/p']);
    const second = notes('p').handled;
    apply('p', { ingress: [2], egress: [] });
    await until('updated again', () => notes('p').handled !== second);
    expect(calls.slice(3)).toEqual(['update n/p', 'field update']);
    api.remove(collection, 'n/p');
    await until('gone', () => api.get(collection, 'n/p') === undefined);
    expect(calls.slice(5)).toEqual(['delete n/p']);
  });

  test('status changes and our own notes cause nothing', async () => {
    const op = make();
    op.on.create(cnp, 'c', (x) => x.patch.status({ enforced: '1/1' }));
    op.on.update(cnp, 'u', () => void calls.push('update'));
    await op.start(stop.signal);
    apply('p', { a: 1 });
    await settled('p');
    const before = writes().length;
    await client.patchStatus(cnp, { name: 'p', namespace: 'n' }, { conditions: [{ type: 'Valid' }] });
    apply('marker', {});
    await settled('marker');
    expect(calls).toEqual([]);
    // the marker costs two writes (status, notes); the status change above costs its own one
    expect(writes().length - before).toBe(3);
    expect(api.get(collection, 'n/p')?.status).toEqual({ enforced: '1/1', conditions: [{ type: 'Valid' }] });
  });

  test('after a restart: resume for what was handled, update for what changed meanwhile', async () => {
    const first = new AbortController();
    const one = make();
    one.on.create(cnp, 'c', () => undefined);
    await one.start(first.signal);
    apply('same', { a: 1 });
    apply('changed', { a: 1 });
    await settled('same');
    await settled('changed');
    first.abort();
    apply('changed', { a: 2 });
    const two = make();
    two.on.create(cnp, 'c', (x) => void calls.push(`create ${x.key}`));
    two.on.update(cnp, 'u', (x) => void calls.push(`update ${x.key}`));
    two.on.resume(cnp, 'r', (x) => void calls.push(`resume ${x.key}`));
    await two.start(stop.signal);
    await until('both', () => calls.length === 2);
    expect([...calls].sort()).toEqual(['resume n/same', 'update n/changed']);
  });
});

describe('failures', () => {
  test('temporary errors are tried again after their delay, others go on; progress is on the object', async () => {
    const op = make();
    let refuse = true;
    op.on.create(cnp, 'flaky', (x) => {
      calls.push(`flaky ${x.attempt}`);
      if (refuse) throw new TemporaryError('not yet', 20);
    });
    op.on.create(cnp, 'steady', () => void calls.push('steady'));
    await op.start(stop.signal);
    apply('p', {});
    await until('three attempts', () => calls.includes('flaky 2'));
    expect(notes('p').progress?.steady).toEqual({ attempts: 1, outcome: 'succeeded' });
    refuse = false;
    await settled('p');
    expect(calls.filter((c) => c === 'steady').length).toBe(1);
  });

  test('permanent errors end it until the object changes', async () => {
    const op = make();
    op.on.create(cnp, 'c', () => {
      calls.push('create');
      throw new PermanentError('never');
    });
    op.on.update(cnp, 'u', () => void calls.push('update'));
    await op.start(stop.signal);
    apply('p', { a: 1 });
    await settled('p');
    apply('p', { a: 2 });
    await until('update', () => calls.includes('update'));
    expect(calls).toEqual(['create', 'update']);
  });

  test('attemptsMax bounds unexpected exceptions', async () => {
    const op = make();
    op.on.create(
      cnp,
      'c',
      () => {
        calls.push('try');
        throw new TypeError('bug');
      },
      { attemptsMax: 3, backoffMs: 1 },
    );
    await op.start(stop.signal);
    apply('p', {});
    await settled('p');
    expect(calls.length).toBe(3);
  });

  test('deletion waits for delete handlers', async () => {
    const op = make();
    let refuse = true;
    op.on.delete(cnp, 'd', () => {
      calls.push('delete');
      if (refuse) throw new TemporaryError('still in use', 10);
    });
    await op.start(stop.signal);
    apply('p', {});
    await settled('p');
    api.remove(collection, 'n/p');
    await until('tried', () => calls.length >= 3);
    expect(api.get(collection, 'n/p')?.metadata.deletionTimestamp).toBeDefined();
    refuse = false;
    await until('gone', () => api.get(collection, 'n/p') === undefined);
  });

  test('new content while a handler is failing starts afresh with the new content', async () => {
    const op = make();
    const seen: unknown[] = [];
    op.on.create(cnp, 'c', (x) => {
      const a = (x.object as KubeObject & { spec: { a: number } }).spec.a;
      seen.push(a);
      if (a === 1) throw new TemporaryError('bad', 60_000);
    });
    await op.start(stop.signal);
    apply('p', { a: 1 });
    await until('first', () => seen.length === 1);
    await until('noted', () => notes('p').progress !== undefined);
    apply('p', { a: 2 });
    await settled('p');
    expect(seen).toEqual([1, 2]);
  });

  test('conflicts and lost connections while patching do not lose the cycle', async () => {
    api.faults.refuse.push({ match: 'PATCH', status: 409, times: 1, reason: 'Conflict' }, { match: 'PATCH', status: 500, times: 1 });
    const op = make();
    op.on.create(cnp, 'c', () => void calls.push('create'));
    await op.start(stop.signal);
    apply('p', {});
    await settled('p');
    expect(calls.length).toBeGreaterThanOrEqual(1);
  });
});

describe('order and load', () => {
  test('one object is handled serially, many in parallel up to the limit', async () => {
    const op = make({ workersMax: 4 });
    const busy = new Map<string, number>();
    let most = 0;
    let overlaps = 0;
    op.on.create(cnp, 'c', async (x) => {
      busy.set(x.key, (busy.get(x.key) ?? 0) + 1);
      if ((busy.get(x.key) ?? 0) > 1) overlaps += 1;
      most = Math.max(
        most,
        [...busy.values()].reduce((a, b) => a + b, 0),
      );
      await new Promise((r) => setImmediate(r));
      busy.set(x.key, (busy.get(x.key) ?? 0) - 1);
    });
    await op.start(stop.signal);
    for (let i = 0; i < 40; i++) apply(`p${i}`, { i });
    await until('all handled', () => Array.from({ length: 40 }, (_, i) => notes(`p${i}`).handled).every((h) => h !== undefined));
    expect(overlaps).toBe(0);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(4);
  });

  test('inactive replicas handle nothing until woken', async () => {
    let active = false;
    const op = make({ isActive: () => active });
    op.on.create(cnp, 'c', (x) => void calls.push(x.key));
    await op.start(stop.signal);
    apply('p', {});
    await until('seen', () => op.reflectors()[0]?.store.has('n/p') === true);
    expect(writes()).toEqual([]);
    active = true;
    op.wake();
    await settled('p');
    expect(calls).toEqual(['n/p']);
  });
});

describe('stateless', () => {
  test('events and indexes on core objects write nothing', async () => {
    const op = make();
    op.on.event(resources.pods, (c: Change<KubeObject>) => void calls.push(`${c.kind} ${c.key}`));
    const byNode = op.index(resources.pods, (p: KubeObject & { spec?: { nodeName?: string } }) =>
      p.spec?.nodeName === undefined ? [] : [[p.spec.nodeName, p.metadata.name] as const],
    );
    await op.start(stop.signal);
    api.put('pods', { metadata: { name: 'a', namespace: 'n' }, spec: { nodeName: 'n1' } });
    api.put('pods', { metadata: { name: 'b', namespace: 'n' }, spec: { nodeName: 'n1' } });
    await until('indexed', () => byNode.get('n1').length === 2);
    const a = api.get('pods', 'n/a');
    api.put('pods', { ...a, metadata: a?.metadata as never, spec: { nodeName: 'n2' } });
    api.remove('pods', 'n/b');
    await until('moved', () => !byNode.has('n1') && byNode.get('n2').length === 1);
    expect(calls).toEqual(['upsert n/a', 'upsert n/b', 'upsert n/a', 'delete n/b']);
    expect(writes()).toEqual([]);
  });

  test.each([
    ['core', resources.pods],
    ['somebody else', { group: 'apps', version: 'v1', plural: 'deployments', namespaced: true }],
  ])('stateful handlers for %s are refused', (_n, r) => {
    expect(() => make().on.create(r, 'c', () => undefined)).toThrow(expect.objectContaining({ code: 'kopf/foreign-resource' }));
  });
});

describe('beside the cycle', () => {
  test('a daemon lives as long as its object and ends before the object goes', async () => {
    const op = make();
    op.daemon(cnp, 'd', async (x) => {
      calls.push('begin');
      await new Promise<void>((r) => x.signal.addEventListener('abort', () => r(), { once: true }));
      calls.push(api.get(collection, 'n/p') === undefined ? 'ended too late' : 'end');
    });
    await op.start(stop.signal);
    apply('p', { a: 1 });
    await until('begun', () => calls.length === 1);
    await settled('p');
    apply('p', { a: 2 });
    api.remove(collection, 'n/p');
    await until('gone', () => api.get(collection, 'n/p') === undefined);
    expect(calls).toEqual(['begin', 'end']);
  });

  test('a timer runs again and again and may write status', async () => {
    const op = make();
    let n = 0;
    op.timer(cnp, 't', { intervalMs: 10 }, (x) => x.patch.status({ runs: ++n }));
    await op.start(stop.signal);
    apply('p', {});
    await until('three runs', () => ((api.get(collection, 'n/p')?.status as { runs?: number })?.runs ?? 0) >= 3);
    api.remove(collection, 'n/p');
    await until('gone or leaving', () => api.get(collection, 'n/p') === undefined);
  });
});
