// Things die while packets flow: operator, Redis, agents, all together. Verdicts must not change and nothing is sent again afterwards.
// Part of the main end-to-end suite.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { allowNoRetry, echoApp, type Fixture, type FloodResult, type PodInfo, until } from './fixture.ts';
import { clientsOnly, judgeFloods } from './verdicts.ts';

const NS = 'axoneme-system';
const RATE = 200;

interface StatusJson {
  nodes: { name: string; connected: boolean; ackedRevision: number; artifactBytesSent: number }[];
}

export function describeKills(fixture: () => Fixture): void {
  describe('kill -9 with traffic flowing', () => {
    let servers: PodInfo[];
    let client: PodInfo;
    let stranger: PodInfo;

    const kill = async (component: string, node?: string): Promise<void> => {
      const pods = await fixture().pods(`app.kubernetes.io/component=${component}`, NS);
      const targets = pods.filter((p) => node === undefined || p.node === node);
      expect(targets.length).toBeGreaterThan(0);
      for (const p of targets) await fixture().killPod(NS, p.name);
    };
    const status = async (): Promise<StatusJson> => JSON.parse(await fixture().cli('status', '-o', 'json')) as StatusJson;
    const settled = (): Promise<StatusJson> =>
      until(
        'all nodes connected again',
        60_000,
        async () => {
          const s = await status();
          return s.nodes.length >= 2 && s.nodes.every((n) => n.connected && n.ackedRevision > 0) ? s : undefined;
        },
        500,
      );

    /** Runs `act` under allowed and forbidden traffic of every kind, on both paths, and returns what was seen. */
    const under = async (seconds: number, act: () => Promise<void>): Promise<{ allowed: FloodResult[]; forbidden: FloodResult[] }> => {
      const f = fixture();
      const allowed = servers.flatMap((s) => [
        f.flood(client, 'udp', s.ipv4, 7, RATE, seconds),
        f.flood(client, 'tcp', s.ipv6, 7, RATE, seconds),
        f.flood(client, 'connect', s.ipv4, 7, 50, seconds),
      ]);
      const forbidden = servers.flatMap((s) => [
        f.flood(stranger, 'udp', s.ipv4, 7, RATE, seconds),
        f.flood(stranger, 'udp', s.ipv6, 7, RATE, seconds),
      ]);
      await act();
      return { allowed: await Promise.all(allowed), forbidden: await Promise.all(forbidden) };
    };
    beforeAll(async () => {
      allowNoRetry();
      const f = fixture();
      await f.apply(echoApp('stranger', 1));
      servers = await f.ready('app=web', 2);
      client = (await f.ready('app=client', 2))[0]!;
      stranger = (await f.ready('app=stranger', 1))[0]!;
      await f.apply(clientsOnly('kills'));
      await f.kubectl('wait', 'cnp/kills', '--for=condition=Enforced', '--timeout=20s');
    }, 120_000);

    afterAll(async () => {
      await fixture().kubectl('delete', 'cnp', 'kills', '--ignore-not-found');
    });

    test('the operator', async () => {
      const before = await settled();
      judgeFloods(await under(12, () => kill('operator')));
      const after = await settled();
      // the operator counts from its own start: nothing had to be sent again
      expect(after.nodes.map((n) => [n.name, n.artifactBytesSent])).toEqual(before.nodes.map((n) => [n.name, 0]));
    }, 120_000);

    test('Redis', async () => {
      judgeFloods(await under(8, () => kill('redis')));
      await settled();
    }, 120_000);

    test('the agents', async () => {
      judgeFloods(await under(12, () => kill('agent')));
      await settled();
    }, 120_000);

    test('operator and agents together', async () => {
      judgeFloods(await under(12, async () => void (await Promise.all([kill('operator'), kill('agent')]))));
      const s = await settled();
      expect(s.nodes.map((n) => n.artifactBytesSent)).toEqual(s.nodes.map(() => 0));
    }, 150_000);

    test('everything at once', async () => {
      judgeFloods(await under(15, async () => void (await Promise.all([kill('operator'), kill('redis'), kill('agent')]))));
      const s = await settled();
      // Redis being away is a change of its own Service: that one backend set may travel, nothing else
      for (const n of s.nodes) expect(n.artifactBytesSent).toBeLessThan(1_500);
    }, 150_000);

    test('fifty restarts of an agent: no forbidden packet passes, no allowed packet is lost', async () => {
      const restarts = 50;
      const roundMs = 22_000;
      let done = 0;
      // rounds of traffic, so that a slow machine takes more rounds and not fewer restarts
      for (let round = 0; done < restarts && round < 12; round++) {
        const result = await under(roundMs / 1000 + 3, async () => {
          const end = performance.now() + roundMs;
          while (done < restarts && performance.now() < end) {
            const { node } = servers[done % 2]!;
            await until('the agent runs', 30_000, () => fixture().runs(NS, 'app.kubernetes.io/component=agent', node), 50);
            // killed as soon as it runs: often before it has finished starting
            await kill('agent', node);
            done += 1;
          }
        });
        judgeFloods(result);
      }
      expect(done).toBe(restarts);
      await settled();
    }, 400_000);

    test('a policy change after all that still acts', async () => {
      const f = fixture();
      const spec = {
        endpointSelector: { matchLabels: { app: 'web' } },
        ingress: [{ fromEndpoints: [{ matchLabels: { app: 'stranger' } }] }],
      };
      await f.apply(JSON.stringify({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'kills' }, spec }));
      await until('roles are swapped', 10_000, async () => {
        const [a, b] = await Promise.all([f.curl(client, `http://${servers[0]!.ipv4}/`), f.curl(stranger, `http://${servers[0]!.ipv4}/`)]);
        return a === 'timeout' && b === '200' ? true : undefined;
      });
    }, 60_000);
  });
}
