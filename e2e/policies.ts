// Policies on real packets: allow lists, deny, both directions, CIDR, entities, edit and delete within a second, status, the reason of a drop.
// Part of the main end-to-end suite.
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { allowOneRetry, type Fixture, type PodInfo, until, urlHost } from './fixture.ts';

const policy = (name: string, spec: unknown, namespace = 'default'): string =>
  JSON.stringify({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name, namespace }, spec });

const web = { matchLabels: { app: 'web' } };
const onPort80 = [{ ports: [{ port: '80', protocol: 'TCP' }] }];

interface PolicyJson {
  status?: { enforced?: string; conditions?: { type: string; status: string; message: string; reason: string }[] };
}

export function describePolicies(fixture: () => Fixture): void {
  describe('policies', () => {
    let servers: PodInfo[];
    let clients: PodInfo[];
    const condition = async (name: string, type: string) =>
      (await fixture().json<PolicyJson>('get', 'cnp', name)).status?.conditions?.find((c) => c.type === type);
    const enforced = (name: string) =>
      until(`${name} enforced`, 10_000, async () => {
        const c = await condition(name, 'Enforced');
        return c?.status === 'True' ? c : undefined;
      });
    /** Results of HTTP from every client to every server address, as a set: one element when all agree. */
    const everywhere = async (port = 80): Promise<string[]> => {
      const jobs = clients.flatMap((c) =>
        servers.flatMap((s) => [s.ipv4, s.ipv6].map((ip) => fixture().curl(c, `http://${urlHost(ip)}:${port}/`))),
      );
      return [...new Set(await Promise.all(jobs))].sort();
    };

    beforeAll(async () => {
      allowOneRetry();
      servers = await fixture().ready('app=web', 2);
      clients = await fixture().ready('app=client', 2);
    }, 60_000);

    afterEach(async () => {
      await fixture().kubectl('delete', 'cnp', '--all', '-n', 'default', '--ignore-not-found');
      await until('open again', 10_000, async () => ((await everywhere()).join() === '200' ? true : undefined));
    }, 30_000);

    test('only the selected peer and port pass; edit and delete act', async () => {
      const f = fixture();
      await f.apply(
        policy('web', { endpointSelector: web, ingress: [{ fromEndpoints: [{ matchLabels: { role: 'client' } }], toPorts: onPort80 }] }),
      );
      const c = await enforced('web');
      expect(c.message).toMatch(/^2\/2 nodes at revision \d+$/);
      expect(await everywhere(80)).toEqual(['200']);
      expect(await everywhere(7)).toEqual(['timeout']);

      await f.apply(
        policy('web', { endpointSelector: web, ingress: [{ fromEndpoints: [{ matchLabels: { role: 'nobody' } }], toPorts: onPort80 }] }),
      );
      await enforced('web');
      expect(await everywhere()).toEqual(['timeout']);
      await f.kubectl('delete', 'cnp', 'web');
      await until('delete acts', 10_000, async () =>
        (await f.curl(clients[0]!, `http://${servers[0]!.ipv4}/`)) === '200' ? true : undefined,
      );
    }, 60_000);

    test('an edit stops a live flow and a delete lets it go on, within a second, on both paths and families', async () => {
      const f = fixture();
      const floods = (seconds: number) =>
        Promise.all(servers.flatMap((s) => [s.ipv4, s.ipv6].map((ip) => f.flood(clients[0]!, 'udp', ip, 7, 200, seconds))));
      const flowing = floods(6);
      await new Promise((r) => setTimeout(r, 1_500));
      await f.apply(policy('live', { endpointSelector: web, ingress: [{ fromEndpoints: [{ matchLabels: { role: 'nobody' } }] }] }));
      const closedMs = Date.now();
      for (const r of await flowing) {
        expect(r.firstOkUnixMs).toBeGreaterThan(0);
        expect(r.firstOkUnixMs).toBeLessThan(closedMs);
        expect(r.lastOkUnixMs - closedMs).toBeLessThan(1_000);
      }
      const blocked = floods(6);
      await new Promise((r) => setTimeout(r, 1_500));
      const beforeMs = Date.now();
      await f.kubectl('delete', 'cnp', 'live');
      const openedMs = Date.now();
      for (const r of await blocked) {
        expect(r.firstOkUnixMs).toBeGreaterThan(beforeMs);
        expect(r.firstOkUnixMs - openedMs).toBeLessThan(1_000);
      }
    }, 60_000);

    test('an edit is acknowledged by all nodes within a second', async () => {
      const f = fixture();
      await f.apply(policy('quick', { endpointSelector: web, ingress: [{ fromEntities: ['all'] }] }));
      await enforced('quick');
      const started = performance.now();
      await f.apply(policy('quick', { endpointSelector: web, ingress: [{ fromEntities: ['cluster'] }] }));
      await until(
        'generation 2 enforced',
        5_000,
        async () => {
          const o = await f.json<{
            metadata: { generation: number };
            status?: { conditions?: { type: string; status: string; observedGeneration?: number }[] };
          }>('get', 'cnp', 'quick');
          return o.status?.conditions?.some(
            (c) => c.type === 'Enforced' && c.status === 'True' && c.observedGeneration === o.metadata.generation,
          )
            ? true
            : undefined;
        },
        20,
      );
      // two runs of kubectl are in this time
      expect(performance.now() - started).toBeLessThan(1_500);
    }, 30_000);

    test('deny beats allow', async () => {
      const f = fixture();
      await f.apply(policy('allow', { endpointSelector: web, ingress: [{ fromEntities: ['all'] }] }));
      await f.apply(
        policy('deny', {
          endpointSelector: web,
          ingressDeny: [{ fromEndpoints: [{ matchLabels: { role: 'client' } }], toPorts: onPort80 }],
        }),
      );
      await enforced('deny');
      await until('denied', 5_000, async () => ((await everywhere()).join() === 'timeout' ? true : undefined));
      expect(await everywhere(80)).toEqual(['timeout']);
    }, 30_000);

    test('egress to a CIDR with an exception, and nothing else', async () => {
      const f = fixture();
      const client = { matchLabels: { app: 'client' } };
      await f.apply(
        policy('world', {
          endpointSelector: client,
          egress: [{ toCIDRSet: [{ cidr: '203.0.113.0/24', except: ['203.0.113.9/32'] }] }, { toCIDR: ['2001:db8:ffff::/48'] }],
        }),
      );
      await enforced('world');
      await until('closed', 5_000, async () =>
        (await f.curl(clients[0]!, `http://${servers[0]!.ipv4}/`)) === 'timeout' ? true : undefined,
      );
      for (const c of clients) {
        expect(await f.curl(c, 'http://203.0.113.9/')).toBe('timeout');
        expect(await f.curl(c, 'http://[2001:db8:ffff::9]/')).toBe('200');
      }
    }, 30_000);

    test('a dropped packet names the policy that dropped it', async () => {
      const f = fixture();
      await f.apply(policy('closed', { endpointSelector: web, ingress: [{ fromEndpoints: [{ matchLabels: { role: 'nobody' } }] }] }));
      await enforced('closed');
      await until('closed', 5_000, async () =>
        (await f.curl(clients[0]!, `http://${servers[0]!.ipv4}/`)) === 'timeout' ? true : undefined,
      );
      const line = await until('drop is reported', 5_000, async () => {
        const out = await f.cli('monitor', '--type', 'drop', '--last', '500', '--no-follow', '-o', 'json');
        const lines = out
          .split('\n')
          .filter(Boolean)
          .map((l) => JSON.parse(l) as { source: string; destination: string; rule: string; dropReason: string });
        return lines.find(
          (l) => l.rule.includes('default/closed') && l.source.includes(clients[0]!.name) && l.destination.includes(servers[0]!.name),
        );
      });
      expect(line.dropReason).toBe('POLICY_DENIED');
    }, 30_000);

    test('what is not compiled yet is accepted, reported and closed', async () => {
      const f = fixture();
      await f.apply(
        policy('l7', {
          endpointSelector: web,
          ingress: [{ fromEndpoints: [{}], toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ method: 'GET' }] } }] }],
        }),
      );
      await enforced('l7');
      const c = await condition('l7', 'Supported');
      expect(c?.status).toBe('False');
      expect(c?.message).toContain('rules');
      await until('closed', 5_000, async () => ((await everywhere()).join() === 'timeout' ? true : undefined));
    }, 30_000);
  });
}
