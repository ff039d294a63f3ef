// The door: policies that are not valid are refused when they are written, doubtful ones are let in with warnings.
// Part of the main end-to-end suite; runs after Helm has upgraded once, so it also shows that an upgrade leaves the webhook trusted.
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { allowOneRetry, type Fixture, until } from './fixture.ts';

const NS = 'axoneme-system';
const CONFIGURATION = 'validatingwebhookconfigurations/axoneme-policy';

const cnp = (name: string, spec: unknown, namespace = 'default'): string =>
  JSON.stringify({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name, namespace }, spec });

const web = { matchLabels: { app: 'web' } };
/** Right by its schema, wrong by its meaning. */
const wrong = {
  endpointSelector: web,
  ingress: [{ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['11.0.0.0/8'] }] }, { fromEndpoints: [{}], fromEntities: ['cluster'] }],
};

export function describeAdmission(fixture: () => Fixture): void {
  describe('admission', () => {
    const tryApply = (yaml: string, ...args: string[]) => fixture().sandbox.kubectlResult(['apply', '-f', '-', ...args], { input: yaml });
    const bundle = async (): Promise<string> =>
      fixture().kubectl('get', CONFIGURATION, '-o', 'jsonpath={.webhooks[0].clientConfig.caBundle}');

    beforeAll(async () => {
      allowOneRetry();
      await until('the webhook is trusted', 30_000, async () => ((await bundle()) === '' ? undefined : true));
    }, 40_000);

    afterEach(async () => {
      await fixture().kubectl('delete', 'cnp', '--all', '-n', 'default', '--ignore-not-found');
    });

    test('a broken policy is refused with field and fix, all problems at once, and is not stored', async () => {
      const r = await tryApply(cnp('broken', wrong));
      expect(r.code).not.toBe(0);
      expect(r.stderr).toContain('The CiliumNetworkPolicy "broken" is invalid');
      expect(r.stderr).toContain(
        'spec.ingress[0].fromCIDRSet[0].except[0]: 11.0.0.0/8 is not inside 10.0.0.0/8 (an exception must lie inside its cidr)',
      );
      expect(r.stderr).toContain('spec.ingress[1]: combines fromEndpoints and fromEntities (write one entry for each kind of peer');
      expect((await fixture().kubectlResult('get', 'cnp', 'broken')).code).not.toBe(0);
    });

    test('an edit that breaks a policy is refused and the old one stays', async () => {
      const good = { endpointSelector: web, ingress: [{ fromEntities: ['cluster'] }] };
      await fixture().apply(cnp('edited', good));
      expect((await tryApply(cnp('edited', wrong))).code).not.toBe(0);
      expect((await fixture().json<{ spec: unknown }>('get', 'cnp', 'edited')).spec).toEqual(good);
      // a dry run asks too
      expect((await tryApply(cnp('dry', wrong), '--dry-run=server')).code).not.toBe(0);
    });

    test('a doubtful policy is let in with warnings', async () => {
      const r = await tryApply(cnp('doubtful', { endpointSelector: web, ingress: [{ toPorts: [] }] }));
      expect(r.code).toBe(0);
      expect(r.stderr).toContain('Warning: spec.ingress[0]: lists no port');
      expect(r.stdout).toContain('created');
    });

    test('the namespace of the operator is not asked about, and its status tells instead', async () => {
      const f = fixture();
      await f.apply(cnp('broken', wrong, NS));
      try {
        const message = await until('status', 10_000, async () => {
          const o = await f.json<{ status?: { conditions?: { type: string; status: string; message: string }[] } }>(
            'get',
            'cnp',
            'broken',
            '-n',
            NS,
          );
          return o.status?.conditions?.find((c) => c.type === 'Valid' && c.status === 'False')?.message;
        });
        expect(message).toContain('spec.ingress[0].fromCIDRSet[0].except[0]');
      } finally {
        await f.kubectl('delete', 'cnp', 'broken', '-n', NS);
      }
    }, 20_000);

    test('a CA that somebody takes out is put back', async () => {
      const f = fixture();
      const before = await bundle();
      await f.kubectl('patch', CONFIGURATION, '--type=json', '-p', '[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]');
      await until('put back', 25_000, async () => ((await bundle()) === before ? true : undefined), 500);
      expect((await tryApply(cnp('broken', wrong))).code).not.toBe(0);
    }, 40_000);
  });
}
