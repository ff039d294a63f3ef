// Host policies on real packets, and the net under them: a policy that would cut a node off is refused, one that did is taken back.
import { afterAll, describe, expect, test } from '@jest/globals';
import { until } from './fixture.ts';
import { hostCases } from './hosts/cases.ts';
import { useStage } from './suite.ts';
import type { KubeObject } from './truth/api.ts';
import type { Expect } from './truth/cell.ts';
import { ccnp, on, open, ports } from './truth/dsl.ts';
import { openStage, runCase, settled } from './truth/run.ts';
import type { MatchOptions } from './truth/table.ts';

describe('host policies', () => {
  const get = useStage({ name: 'hosts', nodes: 2 }, openStage);

  for (const c of hostCases) test(c.name, () => runCase(get(), c), 60_000);

  describe('that would cut a node off', () => {
    const refusalOf = async (o: KubeObject): Promise<{ reason: string; message: string }> =>
      until('the refusal', 15_000, async () => {
        const { conditions = [] } = ((await get().api.get(o)).status ?? {}) as {
          conditions?: readonly { type: string; status: string; reason: string; message: string }[];
        };
        return conditions.find((c) => c.type === 'Enforced' && c.status === 'False' && c.reason === 'CutsOffNode');
      });

    test.each([
      ['ingress closed', { nodeSelector: {}, ingress: [{ fromEntities: ['none'] }] }],
      ['egress closed', { nodeSelector: {}, egress: [{ toEntities: ['none'] }] }],
      [
        'the API server denied',
        { nodeSelector: {}, egressDeny: [{ toEntities: ['kube-apiserver'] }], enableDefaultDeny: { egress: false } },
      ],
    ])(
      'is refused, with the path that it would cut: %s',
      async (_, spec) => {
        const t = get();
        const policy = ccnp('cut', spec);
        try {
          await t.api.apply(policy);
          const { message } = await refusalOf(policy);
          expect(message).toMatch(/node-[12]/);
          await t.matches(open);
        } finally {
          await t.api.remove(policy);
        }
      },
      60_000,
    );
  });

  describe('under which the operator could not be reached', () => {
    const node = 'node-1';
    const policy = (port: string): KubeObject =>
      ccnp('cut', {
        nodeSelector: { matchLabels: { 'kubernetes.io/hostname': node } },
        ingressDeny: [{ fromEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'bank' } }], toPorts: ports(port) }],
        enableDefaultDeny: { ingress: false },
      });
    const denied =
      (port: string): Expect =>
      (c) =>
        c.to.name === node && c.from.ns === 'bank' && on(port)(c) ? 181 : 'pass';
    /** Everything but what starts on the node itself. */
    const among: MatchOptions['among'] = (c) =>
      c.from.name !== node && (c.from.kind === 'pod' || c.to.kind === 'pod' || c.to.kind === 'host');
    /** One port for outgoing connections, and that one reserved: nothing new can leave, what is open goes on. */
    const outgoing = async (range: string, reserved: string): Promise<void> => {
      const script = `echo "${range}" > /proc/sys/net/ipv4/ip_local_port_range; echo "${reserved}" > /proc/sys/net/ipv4/ip_local_reserved_ports`;
      const r = await get().fixture.sandbox.nodeExec(node, ['sh', '-c', script]);
      expect({ code: r.code, stderr: r.stderr }).toEqual({ code: 0, stderr: '' });
    };

    afterAll(async () => {
      await outgoing('32768 60999', '');
      await get().api.remove(policy('80/TCP'));
    });

    test('is taken back by the node, which says so; another one is tried afresh', async () => {
      const t = get();
      await outgoing('40000 40000', '40000');
      await t.api.apply(policy('80/TCP'));
      await t.matches(denied('80/tcp'), { among });
      const started = performance.now();
      await t.matches(open, { among, withinMs: 40_000 });
      expect(performance.now() - started).toBeGreaterThan(10_000);
      await outgoing('32768 60999', '');
      const nack = await until('the node says why', 20_000, async () => {
        const s = JSON.parse(await t.fixture.cli('status', '-o', 'json')) as { nodes: { name: string; lastNack: string }[] };
        return s.nodes.find((n) => n.name === node && n.lastNack.includes('agent/host-policy-reverted'))?.lastNack;
      });
      expect(nack).toContain('taken back');
      await until('the status of the policy says so too', 10_000, async () => {
        const now = ((await t.api.get(policy('80/TCP'))).status ?? {}) as {
          conditions?: { type: string; status: string; message: string }[];
        };
        const enforced = now.conditions?.find((c) => c.type === 'Enforced');
        return enforced?.status === 'False' && enforced.message.includes(node) ? true : undefined;
      });
      await t.api.apply(policy('81/TCP'));
      await t.matches(denied('81/tcp'), { withinMs: 20_000 });
      await settled(t.api, policy('81/TCP'));
    }, 120_000);
  });
});
