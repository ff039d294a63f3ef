// Flows that exist obey a changed policy on the next packet: connections and datagrams that ran stop, and go on when they may again.
import { describe, expect, test } from '@jest/globals';
import type { KubeObject } from '../truth/api.ts';
import { anp, app, cnp, inNamespace, knp } from '../truth/dsl.ts';
import { type Stage, settled } from '../truth/run.ts';
import { sleep, startFloods } from './floods.ts';

const RATE = 200;
/** shop/a lives on node-1: from its own node, from the other one. */
const pairs = [
  ['blog/b', 'shop/a'],
  ['blog/a', 'shop/a'],
] as const;

const changes: readonly { readonly name: string; readonly deny: KubeObject }[] = [
  {
    name: 'isolated by a CiliumNetworkPolicy',
    deny: cnp('live', { endpointSelector: app('a'), ingress: [{ fromEndpoints: [app('b')] }] }),
  },
  {
    name: 'denied by a CiliumNetworkPolicy at egress',
    deny: cnp(
      'live',
      { endpointSelector: {}, egressDeny: [{ toEndpoints: [inNamespace('shop')] }], enableDefaultDeny: { egress: false } },
      'blog',
    ),
  },
  { name: 'isolated by a NetworkPolicy', deny: knp('live', { podSelector: app('a'), ingress: [{ from: [{ podSelector: {} }] }] }) },
  {
    name: 'denied by an AdminNetworkPolicy',
    deny: anp('live', 10, {
      subject: { namespaces: { matchLabels: { team: 'shop' } } },
      ingress: [{ action: 'Deny', from: [{ namespaces: { matchLabels: { team: 'blog' } } }] }],
    }),
  },
];

export function describeConnections(stage: () => Stage): void {
  describe('flows that exist', () => {
    test.each(changes)(
      'stop and go on: $name',
      async ({ deny }) => {
        const t = stage();
        const hasStatus = !deny.apiVersion.startsWith('networking');
        const floods = startFloods(t, pairs, ['udp', 'tcp'], RATE);
        await floods.answered();
        await t.api.apply(deny);
        const appliedMs = Date.now();
        if (hasStatus) await settled(t.api, deny);
        else await sleep(1_000);
        const enforcedMs = Date.now();
        await sleep(1_000);
        const openingMs = Date.now();
        await t.api.remove(deny);
        const openedMs = Date.now();
        // TCP sends again at growing intervals
        await sleep(2_500);
        for (const r of await floods.stop()) {
          const { flow } = r;
          expect({ flow, before: r.firstOkUnixMs > 0 && r.firstOkUnixMs < appliedMs }).toEqual({ flow, before: true });
          // nothing between enforcement and release: the longest silence covers it
          expect({ flow, gap: r.gapMaxMs, silent: r.gapMaxMs >= openingMs - enforcedMs - 20 }).toMatchObject({ flow, silent: true });
          const resumed = r.lastOkUnixMs > openedMs && r.gapMaxMs < openedMs - appliedMs + (flow.includes('udp') ? 1_000 : 4_000);
          expect({ flow, gap: r.gapMaxMs, resumed }).toMatchObject({ flow, resumed: true });
        }
      },
      60_000,
    );
  });
}
