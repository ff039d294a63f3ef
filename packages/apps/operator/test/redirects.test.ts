// Local redirects from objects to what each node is given, and what their status says.
import { type Row, unpackRows } from '@axoneme/datapath';
import { ipFromBytes } from '@axoneme/model';
import { expect, test } from '@jest/globals';
import { answerReview } from '../src/admission/review.ts';
import { redirectStatus } from '../src/status/redirect-writer.ts';
import { projectPod } from '../src/world/project.ts';
import { addNode, createLab, type Lab, labConfig } from './lab.ts';

const tcp = (port: string) => [{ port, protocol: 'TCP' }];
const policy = (namespace: string, redirectFrontend: object) => ({
  metadata: { namespace, name: 'r', creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: { redirectFrontend, redirectBackend: { localEndpointSelector: { matchLabels: { app: 'cache' } }, toPorts: tcp('8080') } },
});
const address = (ip: string) => ({ addressMatcher: { ip, toPorts: tcp('80') } });

function putPod(lab: Lab, at: string, nodeName: string, ip: string, ready = true): void {
  const [namespace, name] = at.split('/');
  const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
  const object = {
    metadata: { namespace, name, uid: at, labels: { app: 'cache' } },
    spec: { nodeName },
    status: { phase: 'Running', podIPs: [{ ip }], conditions },
  };
  lab.world.set('pods', at, projectPod(object));
}

/** Rows of redirects, as `address:port backends`. */
function redirected(lab: Lab, node: string): string[] {
  const rows = <N extends 'lb_frontend' | 'lb_slot'>(table: N): Row<N>[] =>
    [...lab.given.get(node)!].flatMap(([name, digest]) => {
      const body = lab.compiler.body(name, digest as never)!;
      return body.table === table ? [...unpackRows(table, body.keys, body.values)] : [];
    });
  const slots = rows('lb_slot');
  return rows('lb_frontend')
    .filter(([, v]) => (v.flags & 16) !== 0)
    .map(([k, v]) => {
      const backends = slots.filter(([s]) => s.set === v.setIn).map(([, b]) => `${ipFromBytes(b.family as 4, b.addr)}:${b.port}`);
      return `${ipFromBytes(k.family as 4, k.addr)}:${k.port} ${backends.join(',')}`;
    });
}

function createCluster(config: object = { localRedirectPolicies: true }): Lab {
  const lab = createLab(labConfig(config));
  addNode(lab.world, 'node-1', 1);
  addNode(lab.world, 'node-2', 2);
  for (const name of ['shop', 'evil']) lab.world.set('namespaces', name, { name, labels: {} });
  putPod(lab, 'shop/a', 'node-1', '10.244.1.5');
  putPod(lab, 'shop/b', 'node-2', '10.244.2.5');
  return lab;
}

test('each node has its own ready pods, and nothing once it has none', () => {
  const lab = createCluster();
  lab.world.set('localRedirects', 'shop/r', policy('shop', address('169.254.169.254')));
  lab.compile();
  const all = () => ['node-1', 'node-2'].map((n) => redirected(lab, n));
  expect(all()).toEqual([['169.254.169.254:80 10.244.1.5:8080'], ['169.254.169.254:80 10.244.2.5:8080']]);
  putPod(lab, 'shop/a', 'node-1', '10.244.1.5', false);
  lab.world.remove('pods', 'shop/b');
  lab.compile();
  expect(all()).toEqual([[], []]);
  putPod(lab, 'shop/c', 'node-2', '10.244.2.6');
  lab.compile();
  expect(all()).toEqual([[], ['169.254.169.254:80 10.244.2.6:8080']]);
  lab.world.remove('localRedirects', 'shop/r');
  lab.compile();
  expect(all()).toEqual([[], []]);
  expect([...lab.given.values()].flatMap((g) => [...g.keys()]).filter((n) => /^(redirect|backends)\//.test(n))).toEqual([]);
});

test('a Service keeps its name for every node, and its content where a pod is', () => {
  const lab = createCluster();
  lab.world.remove('pods', 'shop/b');
  lab.world.set('services', 'shop/dns', {
    metadata: { namespace: 'shop', name: 'dns', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { clusterIPs: ['10.96.0.53'], ports: [{ port: 53 }] },
  });
  lab.world.set('localRedirects', 'shop/r', policy('shop', { serviceMatcher: { namespace: 'shop', serviceName: 'dns' } }));
  lab.compile();
  expect(redirected(lab, 'node-1')).toEqual(['10.96.0.53:53 10.244.1.5:8080']);
  expect(redirected(lab, 'node-2')).toEqual([]);
  expect(lab.given.get('node-2')!.has('service/shop/dns')).toBe(true);
});

test('C10: nobody redirects pods of others to his own: not their Services, not their nodes, not their pods', () => {
  const lab = createCluster();
  putPod(lab, 'evil/c', 'node-1', '10.244.1.66');
  lab.world.set('services', 'shop/web', {
    metadata: { namespace: 'shop', name: 'web', creationTimestamp: '2026-06-01T00:00:00Z' },
    spec: { clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }] },
  });
  const nodeAddress = lab.world.tables.nodes.get('node-1')!.internalAddresses[0]!;
  const attempts = [
    address('10.96.0.1'),
    address(nodeAddress),
    address('10.244.2.5'),
    { serviceMatcher: { namespace: 'shop', serviceName: 'web' } },
  ];
  for (const frontend of attempts) {
    lab.world.set('localRedirects', 'evil/r', policy('evil', frontend));
    const { redirects } = lab.compile();
    expect(redirected(lab, 'node-1')).toEqual([]);
    const { ok, conditions } = redirectStatus(redirects.get('evil/r'), true, 3, undefined, 'now');
    expect([ok, conditions[0]!.reason, conditions[0]!.observedGeneration]).toEqual([false, 'Refused', 3]);
    expect(conditions[0]!.message).toMatch(/^spec\.redirectFrontend\./);
  }
});

test('C30: where they are off, policies do nothing and say so', () => {
  const lab = createCluster({});
  lab.world.set('localRedirects', 'shop/r', policy('shop', address('169.254.169.254')));
  const { redirects } = lab.compile();
  expect(redirected(lab, 'node-1')).toEqual([]);
  const { ok, conditions } = redirectStatus(redirects.get('shop/r'), false, 1, undefined, 'now');
  expect([ok, conditions[0]!.message]).toEqual([false, 'local redirects are off: set localRedirectPolicies.enabled']);
});

test('the webhook names field and fix', () => {
  const review = (object: object) => {
    const kind = { group: 'cilium.io', version: 'v2', kind: 'CiliumLocalRedirectPolicy' };
    const request = { uid: 'u', kind, operation: 'CREATE', name: 'r', namespace: 'shop', object };
    const text = answerReview(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request }), 'default').body;
    return (JSON.parse(text) as { response: { allowed: boolean; status?: { message: string } } }).response;
  };
  expect(review(policy('shop', address('169.254.169.254'))).allowed).toBe(true);
  const refused = review(policy('shop', { serviceMatcher: { namespace: 'kube-system', serviceName: 'kube-dns' } }));
  expect(refused.allowed).toBe(false);
  expect(refused.status!.message).toContain(
    'spec.redirectFrontend.serviceMatcher.namespace: "kube-system" is not the namespace of the policy (write "shop", or make the policy there)',
  );
});
