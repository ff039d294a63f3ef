// The HTTP API itself: versions, lists, watches, limits, tokens, admission, deletion. Raw requests, no client library.
import { request as https } from 'node:https';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Gvr, type KubeObject, StatusError, type StoreEvent } from '../../src/apiserver/index.ts';
import { type Cluster, startCluster, until } from './harness.ts';

const configMaps: Gvr = { group: '', version: 'v1', resource: 'configmaps' };
const pods: Gvr = { group: '', version: 'v1', resource: 'pods' };
const namespaces: Gvr = { group: '', version: 'v1', resource: 'namespaces' };
const cm = (name: string, data: Record<string, string> = {}, labels: Record<string, string> = {}): KubeObject => ({
  metadata: { name, namespace: 'default', labels },
  data,
});
const podSpec = { containers: [{ name: 'a', image: 'x' }] };

let c: Cluster;
beforeAll(async () => {
  c = await startCluster({ watchHistoryMax: 20 });
});
afterAll(async () => {
  await c.stop();
});

interface WatchLine {
  readonly type: string;
  readonly object: KubeObject & { code?: number };
}

/** A raw watch: lines as they come. */
function watch(path: string): { readonly lines: WatchLine[]; ended(): boolean; status(): number; stop(): void } {
  const lines: WatchLine[] = [];
  let ended = false;
  let status = 0;
  let rest = '';
  const req = https(
    `${c.server.url}${path}`,
    { ca: c.server.caPem, agent: false, headers: { authorization: `Bearer ${c.server.adminToken}` } },
    (res) => {
      status = res.statusCode ?? 0;
      res.on('data', (b: Buffer) => {
        const parts = (rest + b.toString('utf8')).split('\n');
        rest = parts.pop() ?? '';
        for (const p of parts) lines.push(JSON.parse(p) as WatchLine);
      });
      res.on('close', () => (ended = true));
    },
  );
  req.on('error', () => (ended = true));
  req.end();
  return { lines, ended: () => ended, status: () => status, stop: () => req.destroy() };
}

describe('requests', () => {
  test('need a token', async () => {
    expect((await c.request('GET', '/api/v1/namespaces', undefined, { authorization: 'Bearer wrong' })).status).toBe(401);
    expect((await c.request('GET', '/readyz', undefined, { authorization: '' })).text).toBe('ok');
  });

  test('a body above the limit is 413 with the limit in words', async () => {
    const big = await c.request('POST', '/api/v1/namespaces/default/configmaps', {
      metadata: { name: 'big' },
      data: { x: 'y'.repeat(5 * 1024 * 1024) },
    });
    expect(big.status).toBe(413);
    expect(big.json).toMatchObject({
      kind: 'Status',
      reason: 'RequestEntityTooLarge',
      message: 'Request entity too large: limit is 3145728',
    });
  });

  test('v2 discovery only for those who ask for v2', async () => {
    const v2 = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
    expect((await c.request('GET', '/apis', undefined, { accept: v2 })).json.kind).toBe('APIGroupDiscoveryList');
    expect((await c.request('GET', '/apis', undefined, { accept: v2.replace('v=v2', 'v=v2beta1') })).json.kind).toBe('APIGroupList');
  });

  test('PartialObjectMetadata has no content', async () => {
    await c.server.store.create(configMaps, cm('partial', { a: '1' }));
    const got = await c.request('GET', '/api/v1/namespaces/default/configmaps/partial', undefined, {
      accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
    });
    expect(got.json).toMatchObject({ kind: 'PartialObjectMetadata', metadata: { name: 'partial' } });
    expect(got.json.data).toBeUndefined();
  });

  test('YAML bodies are YAML 1.1', async () => {
    const made = await c.request('POST', '/api/v1/namespaces/default/secrets', 'metadata: {name: yml}\nimmutable: yes\n', {
      'content-type': 'application/yaml',
    });
    expect(made.status).toBe(201);
    expect(made.json.immutable).toBe(true);
  });

  test('a key that comes twice is reported', async () => {
    const path = '/api/v1/namespaces/default/configmaps?dryRun=All&fieldValidation=Strict';
    const out = await c.request('POST', path, '{"metadata":{"name":"dup"},"data":{"a":"1"},"data":{"b":"2"}}');
    expect(out.status).toBe(400);
    expect(out.json.message).toContain('duplicate field "data"');
  });

  test('stale updates are conflicts, no-op updates do not count', async () => {
    const one = await c.server.store.create(configMaps, cm('rv', { a: '1' }));
    const same = await c.server.store.update(configMaps, one);
    expect(same.metadata.resourceVersion).toBe(one.metadata.resourceVersion);
    await c.server.store.update(configMaps, { ...one, data: { a: '2' } });
    await expect(c.server.store.update(configMaps, { ...one, data: { a: '3' } })).rejects.toMatchObject({
      status: 409,
      reason: 'Conflict',
    });
  });

  test('concurrent patches all arrive', async () => {
    await c.server.store.create(configMaps, cm('race'));
    await Promise.all(
      Array.from({ length: 25 }, (_, i) =>
        c.request(
          'PATCH',
          '/api/v1/namespaces/default/configmaps/race',
          { data: { [`k${i}`]: 'v' } },
          { 'content-type': 'application/merge-patch+json' },
        ),
      ),
    );
    expect(Object.keys(c.server.store.get(configMaps, 'default', 'race')?.data as object)).toHaveLength(25);
  });

  test('generateName makes distinct names', async () => {
    const names = await Promise.all(
      [1, 2, 3].map(
        async () => (await c.server.store.create(configMaps, { metadata: { generateName: 'g-', namespace: 'default' } })).metadata.name,
      ),
    );
    expect(new Set(names).size).toBe(3);
    expect(names[0]).toMatch(/^g-[a-z0-9]{5}$/);
  });
});

describe('lists', () => {
  beforeAll(async () => {
    for (const n of ['p1', 'p2', 'p3', 'p4', 'p5']) await c.server.store.create(configMaps, cm(n, {}, { page: 'yes' }));
  });

  test('pages show one moment', async () => {
    const first = await c.request('GET', '/api/v1/namespaces/default/configmaps?limit=2&labelSelector=page');
    const meta = first.json.metadata as { continue: string; resourceVersion: string };
    await c.server.store.delete(configMaps, 'default', 'p4');
    await c.server.store.create(configMaps, cm('p35', {}, { page: 'yes' }));
    const rest = await c.request('GET', `/api/v1/namespaces/default/configmaps?limit=10&labelSelector=page&continue=${meta.continue}`);
    expect((rest.json.items as KubeObject[]).map((o) => o.metadata.name)).toEqual(['p3', 'p4', 'p5']);
    expect((rest.json.metadata as { resourceVersion: string }).resourceVersion).toBe(meta.resourceVersion);
  });

  test('a continue token outlives its history as 410', async () => {
    const first = await c.request('GET', '/api/v1/namespaces/default/configmaps?limit=2');
    for (let i = 0; i < 60; i++) await c.server.store.patch(configMaps, 'default', 'p1', 'merge', { data: { i: String(i) } });
    const late = await c.request(
      'GET',
      `/api/v1/namespaces/default/configmaps?limit=2&continue=${(first.json.metadata as { continue: string }).continue}`,
    );
    expect(late.status).toBe(410);
    expect(late.json.reason).toBe('Expired');
  });

  test('a version from the future is 504', async () => {
    const out = await c.request('GET', '/api/v1/configmaps?resourceVersion=99999999');
    expect(out.status).toBe(504);
    expect(out.json).toMatchObject({ details: { causes: [{ reason: 'ResourceVersionTooLarge' }] } });
  });
});

describe('watches', () => {
  test('selectors turn changes into arrivals and departures', async () => {
    const w = watch(
      `/api/v1/namespaces/default/configmaps?watch=1&labelSelector=in%3Dyes&resourceVersion=${c.server.store.resourceVersion()}`,
    );
    await until(() => w.status() === 200, 'headers');
    await c.server.store.create(configMaps, cm('w1', {}, { in: 'no' }));
    await c.server.store.patch(configMaps, 'default', 'w1', 'merge', { metadata: { labels: { in: 'yes' } } });
    await c.server.store.patch(configMaps, 'default', 'w1', 'merge', { data: { x: '1' } });
    await c.server.store.patch(configMaps, 'default', 'w1', 'merge', { metadata: { labels: { in: 'no' } } });
    await until(() => w.lines.length === 3, 'three events');
    expect(w.lines.map((l) => l.type)).toEqual(['ADDED', 'MODIFIED', 'DELETED']);
    expect(Number(w.lines[2]?.object.metadata.resourceVersion)).toBe(c.server.store.resourceVersion());
    w.stop();
  });

  test('too old a version is an ERROR event inside 200', async () => {
    const w = watch('/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=3');
    await until(() => w.ended(), 'end of stream');
    expect(w.status()).toBe(200);
    expect(w.lines).toMatchObject([{ type: 'ERROR', object: { code: 410, reason: 'Expired' } }]);
  });

  test('resumes after a version it still knows', async () => {
    const rv = c.server.store.resourceVersion();
    await c.server.store.create(configMaps, cm('resume'));
    const w = watch(`/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=${rv}`);
    await until(() => w.lines.length === 1, 'the missed event');
    expect(w.lines[0]).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'resume' } } });
    w.stop();
  });

  test('WatchList ends its first part with a marked bookmark', async () => {
    const w = watch('/api/v1/namespaces?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true');
    await until(() => w.lines.some((l) => l.type === 'BOOKMARK'), 'bookmark');
    expect(w.lines.slice(0, -1).every((l) => l.type === 'ADDED')).toBe(true);
    expect(w.lines.at(-1)?.object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' });
    w.stop();
    expect((await c.request('GET', '/api/v1/namespaces?watch=1&sendInitialEvents=true&allowWatchBookmarks=true')).status).toBe(422);
  });

  test('timeoutSeconds ends the stream', async () => {
    const w = watch('/api/v1/namespaces?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=0');
    await until(() => w.ended(), 'end');
    expect(w.lines.at(-1)?.type).toBe('BOOKMARK');
  });

  test('the in-process watch sees what was there before', async () => {
    const seen: StoreEvent[] = [];
    const stop = c.server.store.watch(configMaps, (e) => seen.push(e), { initial: true });
    await c.server.store.create(configMaps, cm('inproc', { a: '1' }));
    await c.server.store.delete(configMaps, 'default', 'inproc');
    await until(() => seen.at(-1)?.type === 'DELETED', 'deletion');
    expect(seen.at(-1)?.previous?.metadata.name).toBe('inproc');
    stop();
  });
});

describe('deletion', () => {
  test('finalizers hold an object, the last one lets it go', async () => {
    await c.server.store.create(configMaps, { ...cm('held'), metadata: { name: 'held', namespace: 'default', finalizers: ['a.b/c'] } });
    const pending = await c.server.store.delete(configMaps, 'default', 'held');
    expect(pending.metadata.deletionTimestamp).toBeDefined();
    await c.server.store.patch(configMaps, 'default', 'held', 'merge', { metadata: { finalizers: null } });
    expect(c.server.store.get(configMaps, 'default', 'held')).toBeUndefined();
  });

  test('a pod on a node waits for its kubelet', async () => {
    await c.server.store.create(pods, {
      metadata: { name: 'grace', namespace: 'default' },
      spec: { ...podSpec, nodeName: 'n1', terminationGracePeriodSeconds: 7 },
    });
    const out = await c.server.store.delete(pods, 'default', 'grace');
    expect(out.metadata.deletionGracePeriodSeconds).toBe(7);
    await c.server.store.delete(pods, 'default', 'grace', { gracePeriodSeconds: 0 });
    expect(c.server.store.get(pods, 'default', 'grace')).toBeUndefined();
  });

  test('a namespace takes its content along and refuses more', async () => {
    await c.server.store.create(namespaces, { metadata: { name: 'gone' } });
    await c.server.store.create(configMaps, { metadata: { name: 'x', namespace: 'gone', finalizers: ['a.b/c'] } });
    await c.server.store.delete(namespaces, '', 'gone');
    await expect(c.server.store.create(configMaps, { metadata: { name: 'y', namespace: 'gone' } })).rejects.toMatchObject({ status: 403 });
    await until(() => c.server.store.get(configMaps, 'gone', 'x')?.metadata.deletionTimestamp !== undefined, 'content is being deleted');
    await c.server.store.patch(configMaps, 'gone', 'x', 'merge', { metadata: { finalizers: [] } });
    await until(() => c.server.store.get(namespaces, '', 'gone') === undefined, 'namespace gone');
  });

  test('preconditions', async () => {
    await c.server.store.create(configMaps, cm('pre'));
    await expect(c.server.store.delete(configMaps, 'default', 'pre', { preconditions: { uid: 'other' } })).rejects.toMatchObject({
      status: 409,
    });
  });
});

describe('tokens', () => {
  const accounts: Gvr = { group: '', version: 'v1', resource: 'serviceaccounts' };
  const review = (token: string, audiences: readonly string[]): Promise<{ json: Record<string, unknown> }> =>
    c.request('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token, audiences } });

  test('are bound to audience, pod and node, and die with their pod', async () => {
    await c.server.store.create(accounts, { metadata: { name: 'agent', namespace: 'kube-system' } });
    await c.server.store.create({ ...pods, resource: 'nodes' }, { metadata: { name: 'n7' } });
    const pod = await c.server.store.create(pods, {
      metadata: { name: 'agent-1', namespace: 'kube-system' },
      spec: { ...podSpec, nodeName: 'n7', serviceAccountName: 'agent' },
    });
    const made = await c.request('POST', '/api/v1/namespaces/kube-system/serviceaccounts/agent/token', {
      spec: {
        audiences: ['axoneme-operator'],
        expirationSeconds: 600,
        boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'agent-1', uid: pod.metadata.uid },
      },
    });
    const token = (made.json.status as { token: string }).token;
    expect((await review(token, ['axoneme-operator'])).json.status).toMatchObject({
      authenticated: true,
      audiences: ['axoneme-operator'],
      user: {
        username: 'system:serviceaccount:kube-system:agent',
        extra: { 'authentication.kubernetes.io/pod-name': ['agent-1'], 'authentication.kubernetes.io/node-name': ['n7'] },
      },
    });
    expect((await review(token, ['another'])).json.status).toMatchObject({ authenticated: false });
    expect((await c.request('GET', '/api/v1/pods', undefined, { authorization: `Bearer ${token}` })).status).toBe(401);
    await c.server.store.delete(pods, 'kube-system', 'agent-1', { gracePeriodSeconds: 0 });
    expect((await review(token, ['axoneme-operator'])).json.status).toMatchObject({ authenticated: false });
  });

  test('of a service account open the API', async () => {
    await c.server.store.create(accounts, { metadata: { name: 'op', namespace: 'default' } });
    const { token } = c.server.issueToken('default', 'op');
    const who = await c.request('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {}, { authorization: `Bearer ${token}` });
    expect(who.json.status).toMatchObject({ userInfo: { username: 'system:serviceaccount:default:op' } });
  });
});

describe('admission hooks', () => {
  test('may change and deny, and their changes belong to nobody', async () => {
    const own = await startCluster();
    own.server.onAdmission('mutating', (r) =>
      r.kind === 'ConfigMap' && r.object !== undefined ? { ...r.object, data: { ...(r.object.data as object), added: 'x' } } : undefined,
    );
    own.server.onAdmission('validating', (r) => {
      if (r.name === 'evil') throw new StatusError(403, 'Forbidden', 'no evil');
      return undefined;
    });
    const o = await own.server.store.create(configMaps, cm('good'));
    expect(o.data).toEqual({ added: 'x' });
    expect(JSON.stringify(o.metadata.managedFields ?? [])).not.toContain('added');
    await expect(own.server.store.create(configMaps, cm('evil'))).rejects.toThrow('no evil');
    await own.stop();
  });
});

describe('ownership and first values', () => {
  test('status and server-made values belong to nobody, the name label to the writer', async () => {
    const ns = await c.server.store.create(namespaces, { metadata: { name: 'labelled' } });
    expect(ns.metadata.labels).toEqual({ 'kubernetes.io/metadata.name': 'labelled' });
    const pod = await c.server.store.create(pods, { metadata: { name: 'owned', namespace: 'default' }, spec: podSpec });
    expect(pod.status).toMatchObject({ phase: 'Pending' });
    const fields = JSON.stringify([ns.metadata.managedFields, pod.metadata.managedFields]);
    expect(fields).toContain('f:kubernetes.io/metadata.name');
    for (const f of ['f:status', 'f:finalizers', 'f:tolerations', 'f:serviceAccountName']) expect(fields).not.toContain(f);
  });

  test('applying status through its door owns status only', async () => {
    const body = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'owned' }, spec: { nodeName: 'x' }, status: { reason: 'Applied' } };
    const path = '/api/v1/namespaces/default/pods/owned/status?fieldManager=me&force=true';
    const out = await c.request('PATCH', path, body, { 'content-type': 'application/apply-patch+yaml' });
    expect(out.json.status).toMatchObject({ reason: 'Applied', phase: 'Pending' });
    const mine = (
      out.json.metadata as { managedFields: { manager: string; fieldsV1: unknown; subresource?: string }[] }
    ).managedFields.find((m) => m.manager === 'me');
    expect(mine).toMatchObject({ subresource: 'status', fieldsV1: { 'f:status': { 'f:reason': {} } } });
    expect(c.server.store.get(pods, 'default', 'owned')?.spec).not.toHaveProperty('nodeName');
  });
});

describe('services', () => {
  const services: Gvr = { group: '', version: 'v1', resource: 'services' };
  const svc = (name: string, spec: object): KubeObject => ({
    metadata: { name, namespace: 'default' },
    spec: { ports: [{ port: 80 }], ...spec },
  });

  test('addresses are unique, kept, and freed', async () => {
    const [a, b] = await Promise.all([c.server.store.create(services, svc('a', {})), c.server.store.create(services, svc('b', {}))]);
    const ip = (o: KubeObject | undefined): string => String((o?.spec as { clusterIP: string } | undefined)?.clusterIP);
    expect(ip(a)).not.toBe(ip(b));
    await expect(c.server.store.create(services, svc('c', { clusterIP: ip(a) }))).rejects.toThrow('provided IP is already allocated');
    const changed = await c.server.store
      .patch(services, 'default', 'a', 'merge', { spec: { clusterIP: '10.96.9.9' } })
      .catch((e: unknown) => e);
    expect(String(changed)).toContain('may not change once set');
    await c.server.store.delete(services, 'default', 'a');
    expect(ip(await c.server.store.create(services, svc('c', { clusterIP: ip(a) })))).toBe(ip(a));
  });

  test('headless, v6 first, dual stack', async () => {
    const none = await c.server.store.create(services, svc('headless', { clusterIP: 'None' }));
    expect(none.spec).toMatchObject({ clusterIP: 'None', clusterIPs: ['None'] });
    const six = await c.server.store.create(services, svc('six', { ipFamilies: ['IPv6'], ipFamilyPolicy: 'RequireDualStack' }));
    expect(six.spec).toMatchObject({
      ipFamilies: ['IPv6', 'IPv4'],
      clusterIPs: [expect.stringMatching(/^fd00/), expect.stringMatching(/^10\./)],
    });
  });

  test('balancers in front of the nodes get a port of their own with externalTrafficPolicy Local, and only then', async () => {
    const spec = (o: KubeObject): { healthCheckNodePort?: number; ports: { nodePort: number }[] } => o.spec as never;
    const local = { type: 'LoadBalancer', externalTrafficPolicy: 'Local' };
    const made = await c.server.store.create(services, svc('local', local));
    const port = spec(made).healthCheckNodePort;
    expect(port).toEqual(expect.any(Number));
    expect(spec(made).ports.map((p) => p.nodePort)).not.toContain(port);
    const kept = await c.server.store.patch(services, 'default', 'local', 'merge', { metadata: { labels: { a: 'b' } } });
    expect(spec(kept).healthCheckNodePort).toBe(port);
    await expect(c.server.store.create(services, svc('same', { ...local, healthCheckNodePort: port }))).rejects.toThrow(
      'already allocated',
    );
    const open = await c.server.store.patch(services, 'default', 'local', 'merge', { spec: { externalTrafficPolicy: 'Cluster' } });
    expect(spec(open).healthCheckNodePort).toBeUndefined();
    const same = await c.server.store.create(services, svc('same', { ...local, healthCheckNodePort: port }));
    expect(spec(same).healthCheckNodePort).toBe(port);
  });
});
