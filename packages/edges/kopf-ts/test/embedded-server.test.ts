// The same habits against the sandbox's API server, in a process of its own: real TLS, real CRDs, real watch semantics.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import { join, resolve as resolvePath } from 'node:path';
import { silentLog } from '@axoneme/std';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  connectKube,
  createElection,
  createEventRecorder,
  createOperator,
  createReflector,
  isKubeError,
  type KubeClient,
  type LooseObject,
  type Resource,
  resources,
  reviewToken,
} from '../src/index.ts';
import { until } from './fake-api.ts';

const root = resolvePath(import.meta.dirname, '../../../..');
const cnp: Resource = { group: 'cilium.io', version: 'v2', plural: 'ciliumnetworkpolicies', kind: 'CiliumNetworkPolicy', namespaced: true };
const serviceAccounts: Resource = { group: '', version: 'v1', plural: 'serviceaccounts', kind: 'ServiceAccount', namespaced: true };
const serverProgram = `
  import { createApiServer } from '${root}/packages/apps/sandbox/src/apiserver/index.ts';
  import fs from 'node:fs';
  const s = createApiServer({}, {});
  await s.start(new AbortController().signal);
  fs.writeFileSync(process.argv[1], s.kubeconfig());
  process.stdout.write('ready');
  process.stdin.on('end', () => process.exit(0)).resume();
`;
let server: ChildProcess;
let dir: string;
let client: KubeClient;
let stop: AbortController;

beforeAll(async () => {
  dir = fs.mkdtempSync(join(os.tmpdir(), 'kopf-ts-'));
  const kubeconfig = join(dir, 'kubeconfig');
  server = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', serverProgram, kubeconfig], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  await new Promise<void>((resolve, reject) => {
    server.stdout?.once('data', () => resolve());
    server.on('exit', () => reject(new TypeError('the API server ended')));
  });
  client = connectKube({ kind: 'file', path: kubeconfig });
  stop = new AbortController();
  const kubectl = join(root, '.tools/bin/kubectl');
  await new Promise<void>((resolve, reject) => {
    const args = ['--kubeconfig', kubeconfig, '--cache-dir', dir, 'apply', '-f', join(root, 'crds')];
    execFile(kubectl, args, (e) => (e === null ? resolve() : reject(e)));
  });
}, 30_000);
afterAll(() => {
  stop.abort();
  client.close();
  server.stdin?.end();
  fs.rmSync(dir, { recursive: true, force: true });
});

const policy = (name: string, port = '80'): LooseObject => ({
  metadata: { name, namespace: 'default' },
  spec: { endpointSelector: {}, ingress: [{ toPorts: [{ ports: [{ port, protocol: 'TCP' }] }] }] },
});

test('stateful handlers on a custom resource: finalizer, status, deletion', async () => {
  const calls: string[] = [];
  const op = createOperator({ client, log: silentLog, ownGroups: ['cilium.io'] });
  op.on.create(cnp, 'c', (x) => {
    calls.push(`create ${x.key}`);
    x.patch.status({ enforced: '1/1', conditions: [{ type: 'Valid', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }] });
  });
  op.on.update(cnp, 'u', (x) => void calls.push(`update ${x.key}`));
  op.on.delete(cnp, 'd', (x) => void calls.push(`delete ${x.key}`));
  await op.start(stop.signal);
  await client.create(cnp, policy('a'));
  await until('created', () => calls.length === 1);
  await until(
    'handled',
    () =>
      JSON.stringify(op.reflectors()[0]?.store.get('default/a') ?? {}).includes('"handled') ||
      JSON.stringify(op.reflectors()[0]?.store.get('default/a') ?? {}).includes('handled'),
  );
  const stored = await client.get<LooseObject>(cnp, { name: 'a', namespace: 'default' });
  expect(stored.status).toMatchObject({ enforced: '1/1' });
  expect(stored.metadata.finalizers).toEqual(['axoneme.io/kopf']);
  await client.patch(cnp, { name: 'a', namespace: 'default' }, { type: 'merge', body: { spec: { description: 'changed' } } });
  await until('updated', () => calls.length === 2);
  await client.delete(cnp, { name: 'a', namespace: 'default' });
  await until('deleted', () => op.reflectors()[0]?.store.has('default/a') === false);
  expect(calls).toEqual(['create default/a', 'update default/a', 'delete default/a']);
});

test('server-side apply, conflict, invalid object and paging', async () => {
  const ref = { name: 'b', namespace: 'default' };
  const apply = { type: 'apply', body: policy('b'), fieldManager: 'test' } as const;
  const first = await client.patch<LooseObject>(cnp, ref, apply);
  const again = await client.patch<LooseObject>(cnp, ref, apply);
  expect(again.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
  await client.patch(cnp, ref, { type: 'merge', body: { spec: { description: 'x' } } });
  const stale = await client.replace(cnp, first).catch((e: unknown) => e);
  expect(isKubeError(stale, 'kube/conflict')).toBe(true);
  const invalid = await client.create(cnp, policy('c', '70000')).catch((e: unknown) => e);
  expect(isKubeError(invalid, 'kube/invalid')).toBe(true);
  expect((invalid as Error).message).toContain('spec.ingress[0].toPorts[0].ports[0].port');
  await client.patch(cnp, ref, { type: 'json', body: [{ op: 'remove', path: '/spec/description' }] });
  for (let i = 0; i < 12; i++) await client.create(resources.configMaps, { metadata: { name: `cm-${i}`, namespace: 'kube-public' } });
  const sizes: number[] = [];
  for await (const p of client.pages(resources.configMaps, { namespace: 'kube-public', limit: 5 })) sizes.push(p.items.length);
  expect(sizes.slice(0, 2)).toEqual([5, 5]);
});

test('a reflector follows with bookmarks and stays fresh', async () => {
  const r = createReflector({ client, resource: resources.configMaps, log: silentLog, watchSeconds: 1 });
  await r.start(stop.signal);
  await client.create(resources.configMaps, { metadata: { name: 'seen', namespace: 'default' } });
  await until('seen', () => r.store.has('default/seen'));
  await until('several watches', () => r.stats().watches >= 3, 15_000);
  expect(r.stats()).toMatchObject({ lists: 1, failures: 0 });
  expect(r.ageMs()).toBeLessThan(3_000);
  await client.delete(resources.configMaps, { name: 'seen', namespace: 'default' });
  await until('gone', () => !r.store.has('default/seen'));
});

test('lease, events and token review', async () => {
  const epochs: number[] = [];
  const lease = { name: 'l', namespace: 'default' };
  const one = new AbortController();
  const a = createElection({ client, lease, identity: 'a', log: silentLog, retryMs: 50, onStarted: (e) => void epochs.push(e) });
  await a.start(one.signal);
  await until('a leads', () => a.isLeader());
  one.abort();
  await a.ended;
  const b = createElection({ client, lease, identity: 'b', log: silentLog, retryMs: 50, onStarted: (e) => void epochs.push(e) });
  await b.start(stop.signal);
  await until('b leads', () => b.isLeader());
  expect(epochs[1]).toBeGreaterThan(epochs[0] ?? 0);

  const events = createEventRecorder({ client, component: 'axoneme-operator', log: silentLog, quietMs: 0 });
  const about = { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', name: 'b', namespace: 'default', uid: 'u' };
  for (let i = 0; i < 2; i++) {
    events.record(about, { type: 'Warning', reason: 'Invalid', message: 'm' });
    await events.flush();
  }
  const stored = await client.list<LooseObject>(resources.events, { namespace: 'default' });
  expect(stored.items.filter((e) => e.reason === 'Invalid').map((e) => e.count)).toEqual([2]);

  await client.create(serviceAccounts, { metadata: { name: 'tester', namespace: 'default' } });
  const asked = { spec: { audiences: ['axoneme-operator'], expirationSeconds: 600 } };
  const path = '/api/v1/namespaces/default/serviceaccounts/tester/token';
  const { token } = ((await client.raw({ method: 'POST', path, body: asked })) as { status: { token: string } }).status;
  expect((await reviewToken(client, token, ['axoneme-operator'])).username).toBe('system:serviceaccount:default:tester');
  const other = await reviewToken(client, token, ['somebody-else']).catch((e: unknown) => e);
  expect(isKubeError(other, 'kube/unauthorized')).toBe(true);
});
