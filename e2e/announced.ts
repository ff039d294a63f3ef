// Addresses on the local network with two operators of which one leads: whoever dies, one node answers for an address and no other. Part of the
// suite with two operators.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Fixture, until } from './fixture.ts';
import { list, podObject } from './north/stage.ts';
import { type Client, clientOutside, whoTool } from './north/who.ts';
import { type Claim, longestSilence, monotonicMs, type OwnerWatch, ownersInTurn, watchOwners } from './owners.ts';

const NS = 'axoneme-system';
const PORT = 80;

export interface TwoOperators {
  /** Name of the pod. */
  leader(): Promise<string>;
  /** Resolves when every node is at the operator that leads. */
  gathered(): Promise<unknown>;
}

interface LeaseJson {
  metadata: { annotations: Record<string, string> };
  spec: { holderIdentity: string; leaseTransitions: number };
}

export function describeAnnounced(fixture: () => Fixture, operators: TwoOperators): void {
  describe('addresses on the local network', () => {
    let client: Client;
    let watch: OwnerWatch;
    let vips: string[];

    const owners = async (): Promise<Record<string, string>> => {
      const { items } = await fixture().json<{ items: LeaseJson[] }>('get', 'leases', '-n', NS, '-l', 'axoneme.io/l2-announcement');
      const rows = items.map((l) => [l.metadata.annotations['axoneme.io/address'], `${l.spec.holderIdentity} ${l.spec.leaseTransitions}`]);
      return Object.fromEntries(rows);
    };
    const macOf = async (node: string): Promise<string> =>
      (await fixture().sandbox.nodeExec(node, ['cat', '/sys/class/net/eth0/address'])).stdout.trim();
    const serves = async (timeoutMs = 250): Promise<boolean> => {
      const answers = await client.ask(vips.map((address) => ({ protocol: 'TCP', address, port: PORT, timeoutMs })));
      return answers.every((a) => typeof a === 'object');
    };
    const claimsOf = (address: string, sinceMs: number): Claim[] => watch.claims().filter((c) => c.address === address && c.ms >= sinceMs);
    /** Every address was answered for since then. */
    const answeredSince = (ms: number): boolean => vips.every((v) => claimsOf(v, ms).length > 0);

    beforeAll(async () => {
      const f = fixture();
      const [first] = f.sandbox.nodes;
      vips = [`${first!.ipv4.split('.').slice(0, 3).join('.')}.200`, `${first!.ipv6.split('::')[0]}::c8`];
      const meta = { name: 'lan' };
      const ports = [{ port: PORT, protocol: 'TCP' }];
      await f.apply(
        list([
          podObject('lan', first!.name, { app: 'lan' }, {}, [whoTool, 'serve', 'lan', `t${PORT}`]),
          {
            apiVersion: 'cilium.io/v2',
            kind: 'CiliumLoadBalancerIPPool',
            metadata: meta,
            spec: { blocks: vips.map((start) => ({ start })) },
          },
          {
            apiVersion: 'cilium.io/v2alpha1',
            kind: 'CiliumL2AnnouncementPolicy',
            metadata: meta,
            spec: { loadBalancerIPs: true, interfaces: ['^eth'] },
          },
          {
            apiVersion: 'v1',
            kind: 'Service',
            metadata: meta,
            spec: { type: 'LoadBalancer', ipFamilyPolicy: 'RequireDualStack', selector: { app: 'lan' }, ports },
          },
        ]),
      );
      await f.ready('app=lan', 1);
      client = clientOutside(f);
      watch = watchOwners(f, vips);
      await until('the world is served', 30_000, async () => (await serves()) || undefined);
    }, 120_000);
    afterAll(async () => {
      client?.close();
      watch?.close();
      await fixture().kubectl('delete', 'ciliuml2announcementpolicy,ciliumloadbalancerippool,service,pod', 'lan', '--wait=false');
    });

    /** Longest time in which the world was not served, from now until `over`. */
    const longestOutage = async (over: () => boolean): Promise<number> => {
      let worst = 0;
      let last = monotonicMs();
      for (;;) {
        if (await serves()) {
          const now = monotonicMs();
          worst = Math.max(worst, now - last);
          last = now;
          if (over()) return Math.round(worst);
        }
        await new Promise((r) => setTimeout(r, 20));
      }
    };

    const remove = (f: Fixture, name: string): Promise<string> => f.kubectl('delete', 'pod', name, '-n', NS, '--force', '--grace-period=0');
    /** Runs `act`, waits until every node is at the leader and announces again, tells how long nobody answered. */
    const through = async (act: () => Promise<unknown>): Promise<number> => {
      await operators.gathered();
      const since = monotonicMs();
      let gatheredMs = Number.POSITIVE_INFINITY;
      const gathering = act()
        .then(() => operators.gathered())
        .then(() => {
          gatheredMs = monotonicMs();
        });
      const [outage] = await Promise.all([longestOutage(() => answeredSince(gatheredMs)), gathering]);
      const silence = Math.max(...vips.map((v) => longestSilence(watch.claims(), v, since, monotonicMs())));
      process.stdout.write(`leader gone: nobody answers for ${silence} ms, no way in for ${outage} ms\n`);
      // one after the other, who was replaced is never heard again, and the last one is who the record names
      const now = await owners();
      for (const v of vips) {
        const turns = ownersInTurn(claimsOf(v, since), v);
        expect(new Set(turns).size).toBe(turns.length);
        expect(turns.at(-1)).toBe(await macOf(now[v]!.split(' ')[0]!));
      }
      // routers that know the address go on; those that ask wait no longer than nobody answers
      expect(outage).toBeLessThan(silence + 1500);
      return silence;
    };

    test.each([
      ['its processes are killed, and it comes back', (f: Fixture, name: string): Promise<unknown> => f.killPod(NS, name)],
      [
        'its processes are killed and its pod is taken away',
        async (f: Fixture, name: string): Promise<unknown> => {
          await f.killPod(NS, name);
          return remove(f, name);
        },
      ],
    ])(
      'the leader goes: %s: the same node answers for an address as before, and no other one for a moment',
      async (_, end) => {
        const before = await owners();
        expect(Object.keys(before).toSorted()).toEqual(vips.toSorted());
        const leader = await operators.leader();
        expect(await through(() => end(fixture(), leader))).toBeLessThan(20_000);
        expect(await owners()).toEqual(before);
      },
      120_000,
    );

    test('the leader stands still until its Lease has run out, and goes on: there is no moment with two owners', async () => {
      const f = fixture();
      const leader = await operators.leader();
      const silence = await through(async () => {
        await f.signalPod(NS, leader, 'SIGSTOP');
        await until('the other one leads', 40_000, async () => ((await operators.leader()) === leader ? undefined : true));
        const leads = monotonicMs();
        await until('somebody answers for every address', 40_000, async () => answeredSince(leads) || undefined);
        await f.signalPod(NS, leader, 'SIGCONT');
      });
      expect(silence).toBeLessThan(40_000);
    }, 150_000);
  });
}
