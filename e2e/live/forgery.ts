// C8: whatever a user writes on a pod, the pod stays who it is. Identities come from the fields the cluster fills in.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { app, ccnp, cnp, inNamespace, podRef } from '../truth/dsl.ts';
import { type Stage, settled } from '../truth/run.ts';
import { sleep, startFloods } from './floods.ts';

/** What somebody may write to look like somebody else. Keys that Kubernetes itself refuses are tried too. */
const labels: readonly Readonly<Record<string, string>>[] = [
  { 'io.kubernetes.pod.namespace': 'shop' },
  { 'k8s:io.kubernetes.pod.namespace': 'shop' },
  { 'k8s.io.kubernetes.pod.namespace': 'shop' },
  { 'any:io.kubernetes.pod.namespace': 'shop' },
  { 'io.cilium.k8s.namespace.labels.team': 'shop' },
  { 'io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name': 'shop' },
  { 'io.cilium.k8s.namespace.labels': 'shop' },
  { 'io.cilium.k8s.policy.cluster': 'default' },
  { 'io.cilium.k8s.policy.serviceaccount': 'admin' },
  { 'io.cilium.k8s.policy.name': 'guard' },
  { 'reserved:host': '' },
  { 'reserved.host': '' },
  { reserved: 'host' },
  { host: '' },
  { 'reserved/host': '' },
  { 'reserved.io/remote-node': '' },
  { 'remote-node': '' },
  { 'kube-apiserver': '' },
  { 'cidr:203.0.113.9/32': '' },
  { 'cidr.203.0.113.9/32': '' },
  { 'cidrgroup.io.cilium.policy.cidrgroupname/partners': '' },
  { 'node.kubernetes.io/hostname': 'node-1' },
  { 'kubernetes.io/hostname': 'node-1' },
  { 'kubernetes.io/metadata.name': 'shop' },
  { team: 'shop' },
];

const annotations: Readonly<Record<string, string>> = {
  'io.kubernetes.pod.namespace': 'shop',
  'axoneme.io/identity': '1',
  'cilium.io/identity': '1',
  'io.cilium.identity': '1',
  'policy.axoneme.io/mode': 'shadow',
};

export function describeForgery(stage: () => Stage): void {
  describe('labels that users write', () => {
    const admin = 'io.cilium.k8s.policy.serviceaccount';
    /** shop/a admits many kinds of peers, bank/c is none of them. shop/b is isolated by its namespace. */
    const guards = [
      cnp('guard', {
        endpointSelector: app('a'),
        ingress: [
          { fromEndpoints: [{}] },
          { fromEndpoints: [inNamespace('shop')] },
          { fromEndpoints: [{ matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': 'shop' } }] },
          { fromEndpoints: [{ matchLabels: { [`k8s:${admin}`]: 'admin', 'k8s:io.kubernetes.pod.namespace': 'bank' } }] },
          { fromEntities: ['host', 'remote-node', 'kube-apiserver', 'world', 'health', 'ingress', 'init', 'unmanaged'] },
          { fromCIDRSet: [{ cidrGroupRef: 'partners' }] },
          { fromNodes: [{ matchLabels: { 'kubernetes.io/hostname': 'node-1' } }] },
        ],
      }),
      ccnp('guard', { endpointSelector: inNamespace('shop', { app: 'b' }), ingress: [{ fromEntities: ['none'] }] }),
    ];
    const all = [...labels, ...labels.slice(1)];

    beforeAll(async () => {
      await stage().api.apply(...guards);
      for (const g of guards) await settled(stage().api, g);
    }, 30_000);
    afterAll(async () => {
      const t = stage();
      const gone = Object.fromEntries(labels.flatMap((l) => Object.keys(l)).map((k) => [k, null]));
      for (const pod of [podRef('bank', 'c'), podRef('shop', 'b')]) {
        for (const k of Object.keys(gone)) await t.api.label(pod, { [k]: null }).catch(() => undefined);
      }
      await t.api.annotate(podRef('bank', 'c'), Object.fromEntries(Object.keys(annotations).map((k) => [k, null])));
      await t.api.remove(...guards);
    }, 30_000);

    test('C8: no label and no annotation that a user edits under live traffic makes a pod somebody else', async () => {
      const t = stage();
      const pairs = [
        ['bank/c', 'shop/a'],
        ['bank/c', 'shop/b'],
        ['blog/a', 'shop/b'],
      ] as const;
      const floods = [startFloods(t, pairs, ['udp'], 250), startFloods(t, pairs, ['connect'], 20)];
      await Promise.all(floods.map((f) => f.sending()));
      const tried = { written: 0, refused: 0 };
      for (const l of all) {
        for (const pod of [podRef('bank', 'c'), podRef('shop', 'b')]) {
          const written = await t.api.label(pod, l).then(
            () => true,
            () => false,
          );
          tried[written ? 'written' : 'refused'] += 1;
          await sleep(60);
        }
      }
      await t.api.annotate(podRef('bank', 'c'), annotations);
      await sleep(1_000);
      for (const r of (await Promise.all(floods.map((f) => f.stop()))).flat()) {
        // a connection that is not answered takes its second
        expect(r.sent).toBeGreaterThan(r.flow.includes('udp') ? 100 : 1);
        expect(r).toMatchObject({ received: 0 });
      }
      expect(tried.written).toBeGreaterThan(20);
      expect(tried.refused).toBeGreaterThan(0);
    }, 120_000);

    test('C8: the table is what it is without those labels', async () => {
      await stage().matches((c) => {
        if (c.to.name === 'shop/b') return c.from.kind === 'host' && c.from.node === c.to.node ? 'pass' : 133;
        return c.to.name === 'shop/a' && c.from.kind === 'pod' && c.from.ns !== 'shop' ? 133 : 'pass';
      });
    }, 30_000);
  });
}
