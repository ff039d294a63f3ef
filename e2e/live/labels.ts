// New labels count within a second on every node: of a pod as peer and as subject, of a namespace.
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { allowNoRetry, allowOneRetry } from '../fixture.ts';
import type { Expect } from '../truth/cell.ts';
import { app, cnp, knp, namespaceRef, podRef } from '../truth/dsl.ts';
import { type Stage, settled } from '../truth/run.ts';
import { sleep, startFloods } from './floods.ts';

const RATE = 200;
const LIMIT_MS = 1_000;
/** Targets on both nodes. */
const toShop = (from: string) => [[from, 'shop/a'] as const, [from, 'shop/b'] as const];
const open: Expect = () => 'pass';

export function describeLabels(stage: () => Stage): void {
  describe('new labels count within a second on every node', () => {
    /** Floods that must stop (or start) within the limit after `act`. */
    const changes = async (pairs: readonly (readonly [string, string])[], act: () => Promise<void>, becomes: 'open' | 'closed') => {
      const t = stage();
      const floods = startFloods(t, pairs, becomes === 'closed' ? ['udp', 'tcp'] : ['udp'], RATE);
      await (becomes === 'closed' ? floods.answered() : floods.sending());
      await act();
      const actedMs = Date.now();
      await sleep(LIMIT_MS + 500);
      const results = await floods.stop();
      for (const r of results) {
        const lateMs = becomes === 'closed' ? r.lastOkUnixMs - actedMs : r.firstOkUnixMs - actedMs;
        const sane =
          becomes === 'closed'
            ? r.firstOkUnixMs > 0 && r.firstOkUnixMs < actedMs
            : r.firstOkUnixMs > 0 && r.lastOkUnixMs - actedMs > LIMIT_MS;
        const late = lateMs < LIMIT_MS ? 'in time' : `${lateMs} ms`;
        expect({ flow: r.flow, becomes, sane, late }).toEqual({ flow: r.flow, becomes, sane: true, late: 'in time' });
      }
    };
    const policy = cnp('labels', {
      endpointSelector: {},
      ingress: [
        { fromEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'blog', side: 'good' } }] },
        { fromEndpoints: [{ matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.side': 'good' } }] },
      ],
    });

    // a time limit on a machine that may be busy
    beforeAll(() => void allowOneRetry());
    afterAll(() => void allowNoRetry());
    afterEach(async () => {
      const t = stage();
      await t.api.remove(policy, knp('labels', {}));
      await t.api.label(podRef('blog', 'a'), { side: null });
      await t.api.label(podRef('shop', 'a'), { guarded: null });
      await t.api.label(namespaceRef('bank'), { side: null });
      await t.matches(open);
    }, 30_000);

    test('of a pod, as a peer', async () => {
      const t = stage();
      await t.api.apply(policy);
      await settled(t.api, policy);
      await changes(toShop('blog/a'), () => t.api.label(podRef('blog', 'a'), { side: 'good' }), 'open');
      await changes(toShop('blog/a'), () => t.api.label(podRef('blog', 'a'), { side: 'bad' }), 'closed');
    }, 60_000);

    test('of a pod, as the subject', async () => {
      const t = stage();
      const guard = cnp('labels', { endpointSelector: { matchLabels: { guarded: 'yes' } }, ingress: [{ fromEndpoints: [app('nobody')] }] });
      await t.api.apply(guard);
      await settled(t.api, guard);
      const pairs = [['blog/a', 'shop/a'] as const, ['blog/b', 'shop/a'] as const];
      await changes(pairs, () => t.api.label(podRef('shop', 'a'), { guarded: 'yes' }), 'closed');
      await changes(pairs, () => t.api.label(podRef('shop', 'a'), { guarded: null }), 'open');
    }, 60_000);

    test('of a namespace', async () => {
      const t = stage();
      await t.api.apply(policy);
      await settled(t.api, policy);
      await changes([...toShop('bank/a'), ...toShop('bank/b')], () => t.api.label(namespaceRef('bank'), { side: 'good' }), 'open');
      await changes([...toShop('bank/a'), ...toShop('bank/b')], () => t.api.label(namespaceRef('bank'), { side: null }), 'closed');
    }, 60_000);
  });
}
