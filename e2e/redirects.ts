// CiliumLocalRedirectPolicy: an address as of a metadata server and a Service as of a cluster's DNS, answered by the pod of the client's node.
// Part of the main end-to-end suite.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { echoApp, type Fixture, type PodInfo, until, urlHost } from './fixture.ts';

const metadataAddresses = ['169.254.169.254', 'fd00:ec2::254'];
const ports = [
  { name: 'http', port: '80', protocol: 'TCP' },
  { name: 'echo', port: '7', protocol: 'TCP' },
];
const policy = (name: string, redirectFrontend: object, more: object = {}): string =>
  JSON.stringify({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumLocalRedirectPolicy',
    metadata: { name, namespace: 'default' },
    spec: {
      redirectFrontend,
      redirectBackend: { localEndpointSelector: { matchLabels: { app: 'near' } }, toPorts: ports },
      ...more,
    },
  });
const address = (ip: string) => ({ addressMatcher: { ip, toPorts: ports } });
const service = JSON.stringify({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'origin' },
  spec: { ipFamilyPolicy: 'PreferDualStack', selector: { app: 'origin' }, ports: [{ name: 'http', port: 8080, targetPort: 80 }] },
});

interface Status {
  readonly status?: { readonly ok?: boolean; readonly conditions?: readonly { readonly reason: string; readonly message: string }[] };
}

export function describeRedirects(fixture: () => Fixture): void {
  describe('local redirects', () => {
    let near: PodInfo[];
    let origin: PodInfo[];
    let vips: string[];

    beforeAll(async () => {
      const f = fixture();
      await f.apply(echoApp('near', 2));
      await f.apply(echoApp('origin', 2));
      await f.apply(service);
      for (const [i, ip] of metadataAddresses.entries()) await f.apply(policy(`metadata-${i}`, address(ip)));
      await f.apply(policy('dns', { serviceMatcher: { namespace: 'default', serviceName: 'origin' } }, { skipRedirectFromBackend: true }));
      near = await f.ready('app=near', 2);
      origin = await f.ready('app=origin', 2);
      vips = (await f.json<{ spec: { clusterIPs: string[] } }>('get', 'service', 'origin')).spec.clusterIPs;
    }, 120_000);
    afterAll(async () => {
      const f = fixture();
      await f.kubectl('delete', 'ciliumlocalredirectpolicies', '--all');
      await f.kubectl('delete', 'service', 'origin');
      await f.kubectl('delete', 'deployment', 'near', 'origin');
    });

    /** Name of the pod that answers; empty: none does. */
    const answers = async (from: PodInfo, ip: string, port: number): Promise<string> => {
      const url = `http://${urlHost(ip)}:${port}/`;
      const r = await fixture().kubectlResult('exec', from.name, '--', 'curl', '-s', '--connect-timeout', '1', '--max-time', '2', url);
      return [...near, ...origin].find((p) => r.stdout.includes(p.name))?.name ?? '';
    };
    const nearOf = (p: PodInfo): string => near.find((n) => n.node === p.node)!.name;
    const statusOf = async (name: string): Promise<Status['status']> => (await fixture().json<Status>('get', 'clrp', name)).status;

    test('an address is answered by the pod of the node the client is on', async () => {
      expect(new Set(near.map((p) => p.node)).size).toBe(2);
      expect(new Set(origin.map((p) => p.node)).size).toBe(2);
      for (const ip of metadataAddresses)
        await until(`${ip} is redirected everywhere`, 10_000, async () => {
          const seen = await Promise.all(origin.map((p) => answers(p, ip, 80)));
          return seen.every((name, i) => name === nearOf(origin[i]!)) ? true : undefined;
        });
      expect(await until('the status', 10_000, async () => ((await statusOf('metadata-0'))?.ok === true ? true : undefined))).toBe(true);
    }, 40_000);

    test('a Service is answered by the pod of the node; what these pods ask themselves goes to its own backends', async () => {
      for (const vip of vips) {
        for (const p of origin)
          await until(`${vip} is redirected on ${p.node}`, 10_000, async () =>
            (await answers(p, vip, 8080)) === nearOf(p) ? true : undefined,
          );
        for (const p of near) expect(origin.map((o) => o.name)).toContain(await answers(p, vip, 8080));
      }
    }, 40_000);

    test('C18: policy judges the pod that answers, by whichever address it was asked', async () => {
      const f = fixture();
      const deny = {
        apiVersion: 'cilium.io/v2',
        kind: 'CiliumNetworkPolicy',
        metadata: { name: 'no-near' },
        spec: {
          endpointSelector: { matchLabels: { app: 'origin' } },
          egress: [{ toEntities: ['all'] }],
          egressDeny: [{ toEndpoints: [{ matchLabels: { app: 'near' } }] }],
        },
      };
      const all = (): Promise<string[]> =>
        Promise.all([metadataAddresses[0]!, vips[0]!].map((ip, i) => answers(origin[0]!, ip, [80, 8080][i]!)));
      await f.apply(JSON.stringify(deny));
      await until('both are refused', 10_000, async () => ((await all()).every((name) => name === '') ? true : undefined));
      await f.kubectl('delete', 'cnp', 'no-near');
      await until('both are answered', 10_000, async () => ((await all()).every((name) => name === nearOf(origin[0]!)) ? true : undefined));
    }, 40_000);

    test('C10: the address of a Service is not taken, and the policy says why', async () => {
      const f = fixture();
      await f.apply(policy('thief', address(vips[0]!)));
      const status = await until('the refusal', 10_000, async () => {
        const s = await statusOf('thief');
        return s?.ok === false ? s : undefined;
      });
      expect(status.conditions?.map((c) => [c.reason, c.message])).toEqual([
        [
          'Refused',
          `spec.redirectFrontend.addressMatcher.ip: ${vips[0]} is an address of Service default/origin (use serviceMatcher, in its namespace)`,
        ],
      ]);
      await f.kubectl('delete', 'clrp', 'thief');
    }, 20_000);

    test('without a pod on its node a client reaches what it would reach without the policy', async () => {
      const f = fixture();
      await f.kubectl('scale', 'deployment', 'near', '--replicas=1');
      const [left] = await f.ready('app=near', 1);
      const alone = origin.find((p) => p.node !== left!.node)!;
      const other = origin.find((p) => p.node === left!.node)!;
      await until('the backends of the Service are back', 10_000, async () =>
        origin.map((o) => o.name).includes(await answers(alone, vips[0]!, 8080)) ? true : undefined,
      );
      // nobody in the world has this address here
      expect(await answers(alone, metadataAddresses[0]!, 80)).toBe('');
      expect(await answers(other, metadataAddresses[0]!, 80)).toBe(left!.name);
      expect(await answers(other, vips[0]!, 8080)).toBe(left!.name);
    }, 40_000);
  });
}
