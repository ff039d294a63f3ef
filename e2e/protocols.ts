// Protocols and sizes on every path: SCTP, ICMP errors, fragments, segmentation offload, MTU; forged sources. Needs the pods of paths.ts.
import { beforeAll, describe, expect, test } from '@jest/globals';
import { type Fixture, type PodInfo, until } from './fixture.ts';
import { type ProbeResult, pathName, probe, serveInPod } from './probe.ts';

const SINK_PORT = 5001;
const CLOSED_PORT = 9;
const BULK_BYTES = 50_000_000;
const FRAGMENTED_BYTES = 4_000;

const allPaths = ['other v4', 'other v6', 'same v4', 'same v6'];
const everyPath = (value: string): Record<string, string> => Object.fromEntries(allPaths.map((p) => [p, value]));

/** `overhead`: bytes that the way between nodes adds to a packet. */
export function describeProtocols(fixture: () => Fixture, overhead: number): void {
  describe('protocols', () => {
    let servers: PodInfo[];
    let client: PodInfo;
    let other: PodInfo;
    /** The same question to every server over both families, by path. */
    const ask = async (say: (r: ProbeResult) => string, args: (ip: string) => (string | number)[]): Promise<Record<string, string>> => {
      const answers: Record<string, string> = {};
      for (const s of servers) {
        for (const ip of [s.ipv4, s.ipv6]) answers[pathName(client, s, ip)] = say(await probe(fixture(), client, ...args(ip)));
      }
      return answers;
    };
    const okOrError = (r: ProbeResult): string => (r.ok ? 'ok' : (r.error ?? JSON.stringify(r)));

    beforeAll(async () => {
      const f = fixture();
      servers = await f.ready('app=web', 2);
      [client, other] = (await f.ready('app=client', 2)) as [PodInfo, PodInfo];
      for (const s of servers) {
        await serveInPod(f, s, 'serve', SINK_PORT, 120);
        await serveInPod(f, s, 'sctp-serve', 120);
      }
    }, 60_000);

    test('50 MB over TCP arrive unchanged', async () => {
      await until('the sinks listen', 10_000, async () => {
        const small = await ask(okOrError, (ip) => ['bulk', ip, SINK_PORT, 1]);
        return Object.values(small).every((v) => v === 'ok') ? true : undefined;
      });
      expect(await ask(okOrError, (ip) => ['bulk', ip, SINK_PORT, BULK_BYTES])).toEqual(everyPath('ok'));
    }, 90_000);

    test('datagrams larger than a packet arrive whole', async () => {
      expect(await ask(okOrError, (ip) => ['udp', ip, 7, FRAGMENTED_BYTES, 10])).toEqual(everyPath('ok'));
    }, 60_000);

    test('a full packet fits the way to the other node, and a pod knows how large that is', async () => {
      const f = fixture();
      const link = await f.kubectl('exec', client.name, '--', 'cat', '/sys/class/net/eth0/mtu');
      const device = await f.sandbox.nodeExec(client.node, ['cat', '/sys/class/net/eth0/mtu']);
      const mtu = Number(link);
      expect(mtu).toBe(Number(device.stdout) - overhead);
      const far = servers.find((s) => s.node !== client.node)!;
      for (const [ip, headers] of [
        [far.ipv4, 28],
        [far.ipv6, 48],
      ] as const) {
        const ping = await f.kubectlResult('exec', client.name, '--', 'ping', '-c1', '-W2', '-Mdo', '-s', String(mtu - headers), ip);
        expect(`${ip} ${ping.code}`).toBe(`${ip} 0`);
      }
    }, 30_000);

    test('SCTP passes and is subject to policy; a closed UDP port says so at once', async () => {
      const f = fixture();
      const sctp = (): Promise<Record<string, string>> => ask(okOrError, (ip) => ['sctp', ip, 3868]);
      const closed = (): Promise<Record<string, string>> => ask(okOrError, (ip) => ['udp', ip, CLOSED_PORT, 100, 2]);
      await until('SCTP servers', 10_000, async () => (Object.values(await sctp()).every((v) => v === 'ok') ? true : undefined));
      const ports = (list: object[]): string =>
        JSON.stringify({
          apiVersion: 'cilium.io/v2',
          kind: 'CiliumNetworkPolicy',
          metadata: { name: 'protocols' },
          spec: { endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{ fromEndpoints: [{}], toPorts: [{ ports: list }] }] },
        });
      const apply = async (list: object[]): Promise<void> => {
        await f.apply(ports(list));
        const generation = (await f.json<{ metadata: { generation: number } }>('get', 'cnp', 'protocols')).metadata.generation;
        await until('enforced', 20_000, async () => {
          const o = await f.json<{ status?: { conditions?: { type: string; status: string; observedGeneration: number }[] } }>(
            'get',
            'cnp',
            'protocols',
          );
          const c = o.status?.conditions?.find((x) => x.type === 'Enforced' && x.status === 'True');
          return c?.observedGeneration === generation ? true : undefined;
        });
      };
      try {
        await apply([
          { port: '3868', protocol: 'SCTP' },
          { port: String(CLOSED_PORT), protocol: 'UDP' },
        ]);
        expect(await sctp()).toEqual(everyPath('ok'));
        // the ICMP error is related to an allowed flow and needs no rule of its own
        expect(await closed()).toEqual(everyPath('recv: ECONNREFUSED'));
        await apply([{ port: '3869', protocol: 'SCTP' }]);
        expect(await sctp()).toEqual(everyPath('timeout'));
      } finally {
        await f.kubectl('delete', 'cnp', 'protocols', '--ignore-not-found');
      }
      await until('open again', 10_000, async () => (Object.values(await sctp()).every((v) => v === 'ok') ? true : undefined));
    }, 90_000);

    test('a pod that sends with the address of another pod is stopped and reported', async () => {
      const f = fixture();
      const far = servers.find((s) => s.node !== client.node)!;
      const near = servers.find((s) => s.node === client.node)!;
      const sentAt = new Date().toISOString();
      for (const target of [far, near]) {
        for (const family of ['ipv4', 'ipv6'] as const) {
          expect(await probe(f, client, 'spoof', other[family], target[family], 7, 3)).toEqual({ ok: true });
        }
      }
      const expected = [far, near].flatMap((t) => [`${other.ipv4} ${t.ipv4}`, `${other.ipv6} ${t.ipv6}`]).sort();
      let senders: string[] = [];
      const seen = await until('forged packets are reported', 10_000, async () => {
        const out = await f.cli('monitor', '--type', 'drop', '--last', '500', '--no-follow', '-o', 'json');
        const drops = out
          .split('\n')
          .filter(Boolean)
          .map((l) => JSON.parse(l) as { time: string; node: string; source: string; destination: string; dropReason: string })
          .filter((d) => d.time >= sentAt && d.dropReason === 'INVALID_SOURCE_IP' && d.node === client.node);
        const address = (text: string): string => /\(([^)]*)\)/.exec(text)?.[1] ?? text;
        const pairs = drops.map((d) => `${address(d.source)} ${address(d.destination)}`);
        senders = drops.map((d) => d.source.split(' ')[0]!);
        return pairs.length >= 3 * expected.length ? pairs : undefined;
      });
      // the sender is named, not the owner of the address
      expect([...new Set(senders)]).toEqual([`default/${client.name}`]);
      // three of each, none missing: nothing was let through
      expect([...new Set(seen)].sort()).toEqual(expected);
      expect(seen).toHaveLength(3 * expected.length);
    }, 60_000);
  });
}
