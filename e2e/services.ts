// Services beyond ClusterIP, from inside the cluster: NodePorts of every node, session affinity. Part of the main end-to-end suite.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { echoApp, type Fixture, type PodInfo, until, urlHost } from './fixture.ts';

const nodePort = 31_080;
const service = (sticky: boolean): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'everywhere' },
    spec: {
      type: 'NodePort',
      ipFamilyPolicy: 'PreferDualStack',
      selector: { app: 'everywhere' },
      ports: [{ name: 'http', port: 8080, targetPort: 80, nodePort }],
      ...(sticky ? { sessionAffinity: 'ClientIP' } : {}),
    },
  });

interface NodeJson {
  status: { addresses: { type: string; address: string }[] };
}

export function describeServices(fixture: () => Fixture): void {
  describe('services', () => {
    let pods: PodInfo[];
    let addresses: string[];

    beforeAll(async () => {
      const f = fixture();
      await f.apply(echoApp('everywhere', 2));
      await f.apply(service(false));
      pods = await f.ready('app=everywhere', 2);
      const { items } = await f.json<{ items: NodeJson[] }>('get', 'nodes');
      addresses = items.flatMap((n) => n.status.addresses.filter((a) => a.type === 'InternalIP').map((a) => a.address));
    }, 120_000);
    afterAll(async () => {
      await fixture().kubectl('delete', 'service', 'everywhere');
      await fixture().kubectl('delete', 'deployment', 'everywhere');
    });

    const body = (from: PodInfo, url: string): Promise<string> =>
      fixture().kubectl('exec', from.name, '--', 'curl', '-s', '--max-time', '3', url);

    test('every address of every node has the NodePort for pods of every node; their own loopback has not', async () => {
      const f = fixture();
      expect(addresses.length).toBeGreaterThanOrEqual(4);
      const [first] = pods as [PodInfo, PodInfo];
      await until('the NodePort answers', 20_000, async () =>
        (await f.curl(first, `http://${urlHost(addresses[0]!)}:${nodePort}/`)) === '200' ? true : undefined,
      );
      for (const address of addresses) {
        const url = `http://${urlHost(address)}:${nodePort}/`;
        for (const p of pods) expect(`${p.node} ${address} ${await f.curl(p, url)}`).toBe(`${p.node} ${address} 200`);
      }
      for (const loopback of ['127.0.0.1', '::1']) {
        const url = `http://${urlHost(loopback)}:${nodePort}/`;
        expect(`${loopback} ${await f.curl(first, url)}`).toBe(`${loopback} refused`);
      }
    }, 60_000);

    test('L1-a: with session affinity each pod keeps its backend, by whichever address it comes', async () => {
      const f = fixture();
      // without it the lot falls for every connection
      const lots = new Set<string>();
      await until('both backends answer', 20_000, async () => {
        lots.add((await body(pods[0]!, `http://${urlHost(addresses[0]!)}:${nodePort}/`)).split('\n')[0]!);
        return lots.size === 2 ? true : undefined;
      });
      await f.apply(service(true));
      const { spec } = await f.json<{ spec: { clusterIPs: string[] } }>('get', 'service', 'everywhere');
      for (const p of pods) {
        for (const v6 of [false, true]) {
          const urls = [
            ...spec.clusterIPs.map((ip) => [ip, 8080] as const),
            ...addresses.map((address) => [address, nodePort] as const),
          ].filter(([ip]) => ip.includes(':') === v6);
          await until('all answers are of one backend', 20_000, async () => {
            const seen = new Set<string>();
            for (let i = 0; i < 12; i++) {
              const [ip, port] = urls[i % urls.length]!;
              seen.add((await body(p, `http://${urlHost(ip)}:${port}/`)).split('\n')[0]!);
            }
            return seen.size === 1 ? true : undefined;
          });
        }
      }
    }, 60_000);
  });
}
