// Native routing end to end: paths, protocols, policies and the life of pods without a tunnel. One sandbox of two nodes.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Fixture, type PodInfo, until, upFixture, urlHost } from './fixture.ts';
import { describePaths } from './paths.ts';
import { describePods } from './pods.ts';
import { describeProtocols } from './protocols.ts';

describe('Axoneme with native routing', () => {
  let fixture: Fixture | undefined;
  const get = (): Fixture => {
    if (fixture === undefined) throw new Error('the sandbox did not come up');
    return fixture;
  };

  beforeAll(async () => {
    fixture = await upFixture('nat', 2, ['--set', 'routingMode=native']);
  }, 240_000);

  afterAll(async () => {
    await fixture?.sandbox.down();
  }, 60_000);

  describePaths(get);

  describe('between nodes', () => {
    let server: PodInfo;
    let client: PodInfo;

    beforeAll(async () => {
      const servers = await get().ready('app=web', 2);
      client = (await get().ready('app=client', 2))[0]!;
      server = servers.find((s) => s.node !== client.node)!;
    }, 60_000);

    test('no tunnel device exists and the server sees the address of the pod', async () => {
      const f = get();
      for (const { name } of f.sandbox.nodes) {
        const links = (await f.sandbox.nodeExec(name, ['ls', '/sys/class/net'])).stdout.split('\n');
        expect(links).toContain('axo_host');
        expect(links).not.toContain('axo_vxlan');
      }
      for (const family of ['ipv4', 'ipv6'] as const) {
        const body = await f.kubectl('exec', client.name, '--', 'curl', '-s', '--max-time', '3', `http://${urlHost(server[family])}/`);
        expect((JSON.parse(body) as { client: string }).client).toBe(client[family]);
      }
    }, 30_000);

    test('policy allows, denies and is taken away', async () => {
      const f = get();
      const both = async (): Promise<string[]> =>
        Promise.all([server.ipv4, server.ipv6].map((ip) => f.curl(client, `http://${urlHost(ip)}/`)));
      const apply = async (role: string): Promise<void> => {
        const spec = { endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{ fromEndpoints: [{ matchLabels: { role } }] }] };
        await f.apply(JSON.stringify({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'native' }, spec }));
      };
      await apply('client');
      await f.kubectl('wait', 'cnp/native', '--for=condition=Enforced', '--timeout=20s');
      expect(await both()).toEqual(['200', '200']);
      await apply('nobody');
      await until('denied', 10_000, async () => ((await both()).join() === 'timeout,timeout' ? true : undefined));
      await f.kubectl('delete', 'cnp', 'native');
      await until('open again', 10_000, async () => ((await both()).join() === '200,200' ? true : undefined));
    }, 60_000);
  });

  describeProtocols(get, 0);
  describePods(get);
});
