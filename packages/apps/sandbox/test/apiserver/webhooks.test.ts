// Admission webhooks over real HTTPS: denial, mutation, selectors, failure policy, a Service as target.
import { createServer, type Server } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { createCa, issueServer } from '@axoneme/pki';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Gvr, KubeObject } from '../../src/apiserver/index.ts';
import { type Cluster, startCluster } from './harness.ts';

const configMaps: Gvr = { group: '', version: 'v1', resource: 'configmaps' };
const hooks = (kind: string): Gvr => ({ group: 'admissionregistration.k8s.io', version: 'v1', resource: `${kind}webhookconfigurations` });
const cm = (name: string): KubeObject => ({ metadata: { name, namespace: 'default', labels: { checked: 'yes' } } });

interface Review {
  readonly request: {
    readonly uid: string;
    readonly operation: string;
    readonly object: KubeObject | null;
    readonly oldObject: KubeObject | null;
  };
}

let c: Cluster;
let hook: Server;
let caBundle: string;
const seen: Review[] = [];

function answer(path: string, review: Review): object {
  const { uid, object } = review.request;
  if (path.startsWith('/deny') && object?.metadata.name === 'evil')
    return { uid, allowed: false, status: { message: 'evil is out', code: 422, reason: 'Invalid' } };
  if (path.startsWith('/mutate')) {
    const patch = Buffer.from(JSON.stringify([{ op: 'add', path: '/data', value: { mutated: 'yes' } }])).toString('base64');
    return { uid, allowed: true, patchType: 'JSONPatch', patch };
  }
  return { uid, allowed: true, warnings: ['mind the gap'] };
}

beforeAll(async () => {
  c = await startCluster();
  const ca = await createCa({ name: 'hooks', days: 1 });
  const leaf = await issueServer(ca, { dnsNames: ['localhost', 'hook.default.svc'] });
  caBundle = Buffer.from(ca.certPem).toString('base64');
  hook = createServer({ cert: leaf.certPem, key: leaf.keyPem }, (req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (b: Buffer) => chunks.push(b));
    req.on('end', () => {
      const review = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Review;
      seen.push(review);
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({ kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', response: answer(req.url ?? '', review) }));
    });
  });
  await new Promise<void>((r) => hook.listen(0, '127.0.0.1', r));
});
afterAll(async () => {
  hook.closeAllConnections();
  hook.close();
  await c.stop();
});

const port = (): number => (hook.address() as AddressInfo).port;

async function install(kind: string, name: string, path: string, extra: object = {}): Promise<void> {
  await c.server.store.create(hooks(kind), {
    metadata: { name },
    webhooks: [
      {
        name: `${name}.example.com`,
        clientConfig: { url: `https://localhost:${port()}${path}`, caBundle },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE', 'DELETE'], resources: ['configmaps'] }],
        objectSelector: { matchLabels: { checked: 'yes' } },
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
        ...extra,
      },
    ],
  });
}

test('a denial reaches the client in the webhook’s words, others pass with its warnings', async () => {
  await install('validating', 'deny', '/deny');
  await expect(c.server.store.create(configMaps, cm('evil'))).rejects.toMatchObject({
    status: 422,
    message: 'admission webhook "deny.example.com" denied the request: evil is out',
  });
  const out = await c.kubectl('apply -f -', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good, labels: {checked: "yes"}}\n');
  expect(out.text).toMatch(/Warning: mind the gap\nconfigmap\/good created/);
  seen.length = 0;
  await c.server.store.create(configMaps, { metadata: { name: 'evil', namespace: 'default' } });
  expect(seen).toEqual([]);
});

test('DELETE carries the old object only', async () => {
  seen.length = 0;
  await c.server.store.delete(configMaps, 'default', 'good');
  expect(seen[0]?.request).toMatchObject({ operation: 'DELETE', object: null, oldObject: { metadata: { name: 'good' } } });
});

test('a mutation is applied before the object is stored', async () => {
  await install('mutating', 'mutate', '/mutate');
  expect((await c.server.store.create(configMaps, cm('changed'))).data).toEqual({ mutated: 'yes' });
});

test('an unreachable webhook fails or is ignored, as its policy says', async () => {
  const dead = { clientConfig: { url: 'https://127.0.0.1:1/', caBundle } };
  await install('validating', 'dead', '/', dead);
  await expect(c.server.store.create(configMaps, cm('blocked'))).rejects.toMatchObject({
    status: 500,
    message: expect.stringContaining('failed calling webhook "dead.example.com"'),
  });
  await c.server.store.delete(hooks('validating'), '', 'dead');
  await install('validating', 'dead', '/', { ...dead, failurePolicy: 'Ignore' });
  expect((await c.server.store.create(configMaps, cm('passes'))).metadata.name).toBe('passes');
});

test('a webhook behind a Service is dialled through the sandbox', async () => {
  const dialled: string[] = [];
  c.server.onServiceDial(async (ns, name, at) => {
    dialled.push(`${ns}/${name}:${at}`);
    return connect({ host: '127.0.0.1', port: port() });
  });
  await install('validating', 'svc', '/', { clientConfig: { service: { namespace: 'default', name: 'hook', path: '/x' }, caBundle } });
  seen.length = 0;
  await c.server.store.create(configMaps, cm('via-service'));
  expect(dialled).toEqual(['default/hook:443']);
  expect(seen.length).toBeGreaterThanOrEqual(2);
});

test('match conditions decide with CEL', async () => {
  await install('validating', 'cond', '/deny', {
    matchConditions: [{ name: 'only-x', expression: 'object != null && object.metadata.name.startsWith("x-")' }],
  });
  await c.server.store.delete(hooks('validating'), '', 'svc');
  await c.server.store.delete(hooks('validating'), '', 'deny');
  await c.server.store.delete(hooks('validating'), '', 'dead');
  seen.length = 0;
  await c.server.store.create(configMaps, cm('y-1'));
  const without = seen.length;
  await c.server.store.create(configMaps, cm('x-1'));
  expect(seen.length - without).toBe(without + 1);
});
