// Host policies on real packets, and the net under them: a policy that would cut a node off is refused, one that did is taken back.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { allowNoRetry, type Fixture, until, upFixture } from './fixture.ts';
import { hostCases } from './hosts/cases.ts';
import type { KubeObject } from './truth/api.ts';
import { ccnp, open } from './truth/dsl.ts';
import { openStage, runCase, type Stage } from './truth/run.ts';

describe('host policies', () => {
  let fixture: Fixture | undefined;
  let stage: Stage | undefined;
  const get = (): Stage => {
    if (stage === undefined) throw new Error('the sandbox did not come up');
    return stage;
  };

  beforeAll(async () => {
    allowNoRetry();
    fixture = await upFixture('hosts', 2);
    stage = await openStage(fixture);
  }, 240_000);

  afterAll(async () => {
    stage?.close();
    await fixture?.sandbox.down();
  }, 60_000);

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
});
