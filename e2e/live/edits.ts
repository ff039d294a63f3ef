// A thousand edits of policies open no window: what is forbidden before, during and after them never passes, what is allowed never drops.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { until } from '../fixture.ts';
import type { KubeObject } from '../truth/api.ts';
import { anp, app, ccnp, cnp, inNamespace, knp, type Spec } from '../truth/dsl.ts';
import { type Stage, settled } from '../truth/run.ts';
import { startFloods } from './floods.ts';

const EDITS = 1_000;
/** Every so many edits the last one is awaited on all nodes, so that many revisions are made. */
const AWAIT_EVERY = 16;
const RATE = 250;

const prefix = (i: number): string => ['10.9.9.0/24', '10.9.8.0/23', '10.9.9.9/32', '10.8.0.0/13', '10.0.0.0/9', '10.9.0.0/17'][i % 6]!;
const prefix6 = (i: number): string => ['2001:db8:9::/64', '2001:db8:9::9/128', '2001:db8:8::/46', '2001:db8::/32'][i % 4]!;
const group = (i: number): KubeObject => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumCIDRGroup',
  metadata: { name: 'edited' },
  spec: { externalCIDRs: [prefix(i), prefix6(i), '198.51.100.0/24'].slice(i % 3) },
});

/** What must hold all the time: shop/a admits blog/b and what is in 10.8.0.0/15 (and its like) but not in 10.9.0.0/16. */
const guards: readonly KubeObject[] = [
  cnp('guard', {
    endpointSelector: app('a'),
    ingress: [
      { fromEndpoints: [inNamespace('blog', { app: 'b' })] },
      {
        fromCIDRSet: [
          { cidr: '10.8.0.0/15', except: ['10.9.0.0/16'] },
          { cidr: '2001:db8:8::/47', except: ['2001:db8:9::/48'] },
        ],
      },
    ],
  }),
  ccnp('guard', {
    endpointSelector: { matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'bank' } },
    egressDeny: [{ toEndpoints: [inNamespace('shop', { app: 'b' })] }],
    enableDefaultDeny: { egress: false },
  }),
];

const others = { endpointSelector: {} };
/** Edits of other policies that touch the same pods, prefixes and identities without changing what is asked of them. */
const edits: readonly ((i: number) => { apply?: KubeObject; remove?: KubeObject })[] = [
  (i) => ({ apply: cnp('cidr', { ...others, ingress: [{ fromCIDRSet: [{ cidr: prefix(i) }] }, { fromEntities: ['all'] }] }, 'bank') }),
  (i) => ({ apply: cnp('cidr6', { ...others, egress: [{ toCIDR: [prefix6(i), prefix(i + 1)] }, { toEntities: ['all'] }] }, 'blog') }),
  (i) => ({
    apply: knp('block', { podSelector: app('c'), ingress: [{ from: [{ ipBlock: { cidr: prefix(i) } }, { namespaceSelector: {} }] }, {}] }),
  }),
  (i) => ({ apply: group(i) }),
  (i) => ({
    apply: cnp('group', {
      endpointSelector: app('c'),
      ingressDeny: [{ fromCIDRSet: [{ cidrGroupRef: 'edited' }], toPorts: [{ ports: [{ port: String(1_000 + i), protocol: 'TCP' }] }] }],
    }),
  }),
  (i) => ({
    apply: anp('edited', i % 1_000, {
      subject: { namespaces: { matchLabels: { team: i % 2 === 0 ? 'shop' : 'bank' } } },
      ingress: [{ action: i % 3 === 0 ? 'Pass' : 'Deny', from: [{ namespaces: { matchLabels: { team: `none-${i % 5}` } } }] }],
    }),
  }),
  (i) => ({
    apply: cnp('more', {
      endpointSelector: app('a'),
      ingress: [{ fromEndpoints: [app('b')], toPorts: [{ ports: [{ port: String(2_000 + (i % 7)), protocol: 'TCP' }] } as Spec] }],
    }),
  }),
  () => ({ remove: cnp('more', {}) }),
  () => ({ remove: anp('edited', 0, {}) }),
  () => ({ remove: knp('block', {}) }),
  () => ({ remove: cnp('cidr', {}, 'bank') }),
];

export function describeEdits(stage: () => Stage): void {
  describe(`${EDITS} edits of policies under forbidden and allowed floods`, () => {
    const clean = async (): Promise<void> => {
      const leftovers = edits.flatMap((e) => {
        const { apply, remove } = e(0);
        return [apply ?? remove!];
      });
      await stage().api.remove(...leftovers, ...guards);
    };
    beforeAll(async () => {
      const t = stage();
      await t.api.apply(...guards);
      for (const g of guards) await settled(t.api, g);
    }, 30_000);
    afterAll(clean, 30_000);

    /** Makes the edits, awaiting one of every few; resolves with the time they took. */
    const edit = async (): Promise<number> => {
      const t = stage();
      const started = performance.now();
      for (let i = 0; i < EDITS; i++) {
        const { apply, remove } = edits[i % edits.length]!(i);
        if (apply !== undefined) await t.api.apply(apply);
        if (remove !== undefined) await t.api.remove(remove);
        if (i % AWAIT_EVERY === 0 && apply?.kind.startsWith('Cilium') === true && apply.kind !== 'CiliumCIDRGroup')
          await settled(t.api, apply);
      }
      return performance.now() - started;
    };

    test('no forbidden packet passes, no allowed packet is lost', async () => {
      const t = stage();
      const forbidden = [
        startFloods(
          t,
          [
            ['blog/a', 'shop/a'],
            ['bank/c', 'shop/a'],
            ['ext9', 'shop/a'],
            ['bank/a', 'shop/b'],
            ['bank/b', 'shop/b'],
          ],
          ['udp'],
          RATE,
        ),
        startFloods(
          t,
          [
            ['bank/b', 'shop/a'],
            ['ext9', 'shop/a'],
          ],
          ['connect'],
          20,
        ),
      ];
      const allowed = startFloods(
        t,
        [
          ['blog/b', 'shop/a'],
          ['ext8', 'shop/a'],
        ],
        ['udp'],
        RATE,
      );
      await Promise.all([...forbidden.map((f) => f.sending()), allowed.answered()]);
      const tookMs = await edit();
      const passed = (await Promise.all(forbidden.map((f) => f.stop()))).flat();
      for (const r of passed) expect(r).toMatchObject({ received: 0 });
      const kept = await allowed.stop();
      for (const r of kept) expect(r).toMatchObject({ received: r.sent, failed: 0 });
      const sum = (list: readonly { readonly sent: number }[]): number => list.reduce((n, r) => n + r.sent, 0);
      process.stdout.write(
        `${EDITS} edits in ${(tookMs / 1000).toFixed(1)} s (${((EDITS * 1000) / tookMs).toFixed(0)}/s); forbidden sent ${sum(passed)}, passed 0; allowed sent ${sum(kept)}, lost 0\n`,
      );
      expect(sum(passed)).toBeGreaterThan(10_000);
      await until('every policy is enforced', 10_000, async () => {
        await settled(t.api, guards[0]!);
        return true;
      });
    }, 180_000);
  });
}
