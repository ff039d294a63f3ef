// Connectivity without policy: every path, both families, TCP, UDP and ICMP. Part of the main end-to-end suite.
import { beforeAll, describe, expect, test } from '@jest/globals';
import { allowOneRetry, echoApp, type Fixture, type PodInfo, until, urlHost } from './fixture.ts';

const service = JSON.stringify({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web' },
  spec: { ipFamilyPolicy: 'PreferDualStack', selector: { app: 'web' }, ports: [{ name: 'http', port: 8080, targetPort: 80 }] },
});

const WORLD = { 4: '203.0.113.9', 6: '2001:db8:ffff::9' } as const;

export function describePaths(fixture: () => Fixture): void {
  describe('paths without policy', () => {
    let servers: PodInfo[];
    let clients: PodInfo[];

    beforeAll(async () => {
      allowOneRetry();
      const f = fixture();
      await f.apply(echoApp('web', 2));
      await f.apply(echoApp('client', 2, { role: 'client' }));
      await f.apply(service);
      servers = await f.ready('app=web', 2);
      clients = await f.ready('app=client', 2);
    }, 120_000);

    test('pods have an address of each family from their node block and sit on both nodes', () => {
      expect(new Set(servers.map((s) => s.node)).size).toBe(2);
      expect(new Set(clients.map((c) => c.node)).size).toBe(2);
      for (const p of [...servers, ...clients]) {
        expect(p.ipv4).toMatch(/^10\.244\.\d+\.\d+$/);
        expect(p.ipv6).toMatch(/^fd00:10:244:/);
      }
    });

    test('TCP, UDP and ICMP reach every server from every client, same node and other node, over IPv4 and IPv6', async () => {
      const f = fixture();
      const seen: string[] = [];
      for (const c of clients) {
        for (const s of servers) {
          for (const ip of [s.ipv4, s.ipv6]) {
            const path = `${c.node === s.node ? 'same' : 'other'} ${ip.includes(':') ? 'v6' : 'v4'}`;
            const [http, udp, ping] = await Promise.all([
              f.curl(c, `http://${urlHost(ip)}/`),
              f.flood(c, 'udp', ip, 7, 50, 0.2),
              f.kubectlResult('exec', c.name, '--', 'ping', '-c', '1', '-W', '2', ip),
            ]);
            seen.push(
              `${path}: ${http} ${udp.sent > 5 && udp.received === udp.sent ? 'udp' : `udp lost ${udp.sent - udp.received}`} ${ping.code === 0 ? 'icmp' : 'no icmp'}`,
            );
          }
        }
      }
      expect(seen).toHaveLength(8);
      for (const line of seen) expect(line).toMatch(/^(same|other) v[46]: 200 udp icmp$/);
      expect(new Set(seen.map((l) => l.split(':')[0])).size).toBe(4);
    }, 60_000);

    test('a ClusterIP answers on both families, by address and by name', async () => {
      const f = fixture();
      const svc = await f.json<{ spec: { clusterIPs: string[] } }>('get', 'service', 'web');
      expect(svc.spec.clusterIPs).toHaveLength(2);
      for (const c of clients) {
        for (const ip of svc.spec.clusterIPs) expect(await f.curl(c, `http://${urlHost(ip)}:8080/`)).toBe('200');
        expect(
          await until('name resolves', 20_000, async () =>
            (await f.curl(c, 'http://web.default.svc.cluster.local:8080/')) === '200' ? '200' : undefined,
          ),
        ).toBe('200');
      }
    }, 60_000);

    test('the node reaches its pods and pods reach their node', async () => {
      const f = fixture();
      const nodes = await f.json<{ items: { metadata: { name: string }; status: { addresses: { type: string; address: string }[] } }[] }>(
        'get',
        'nodes',
      );
      for (const s of servers) {
        for (const ip of [s.ipv4, s.ipv6]) {
          const r = await f.sandbox.nodeExec(s.node, [
            'curl',
            '-s',
            '-o',
            '/dev/null',
            '-w',
            '%{http_code}',
            '--max-time',
            '3',
            `http://${urlHost(ip)}/`,
          ]);
          expect(`${ip} ${r.stdout}`).toBe(`${ip} 200`);
        }
        const node = nodes.items.find((n) => n.metadata.name === s.node)!;
        for (const a of node.status.addresses.filter((x) => x.type === 'InternalIP')) {
          const ping = await f.kubectlResult('exec', s.name, '--', 'ping', '-c', '1', '-W', '2', a.address);
          expect(`${a.address} ${ping.code}`).toBe(`${a.address} 0`);
        }
      }
    }, 60_000);

    test('pods reach the world behind their node address', async () => {
      const f = fixture();
      const nodes = await f.json<{ items: { metadata: { name: string }; status: { addresses: { type: string; address: string }[] } }[] }>(
        'get',
        'nodes',
      );
      for (const c of clients) {
        for (const family of [4, 6] as const) {
          const body = await f.kubectl('exec', c.name, '--', 'curl', '-s', '--max-time', '3', `http://${urlHost(WORLD[family])}/`);
          const own = nodes.items
            .find((n) => n.metadata.name === c.node)!
            .status.addresses.filter((a) => a.type === 'InternalIP')
            .map((a) => a.address);
          // the line with the address says who asked, as the world saw it
          expect({ body, own, seen: own.some((a) => body.includes(a)) }).toMatchObject({ seen: true });
          expect(body).not.toContain(family === 4 ? c.ipv4 : c.ipv6);
        }
      }
    }, 60_000);
  });
}
