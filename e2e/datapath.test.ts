// A new datapath goes out node by node and back again while packets flow; agents are not touched. What follows the sections of an ELF
// file is nobody's, so objects with a tag at their end are other objects that do the same.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { withoutEnd } from '@axoneme/testkit';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { echoApp, type Fixture, type FloodResult, type PodInfo, root, until, upFixture } from './fixture.ts';
import { clientsOnly, judgeFloods } from './verdicts.ts';

const NS = 'axoneme-system';
const NAMES = ['pod', 'netdev', 'overlay', 'host', 'sock', 'xdp'] as const;
const RATE = 200;
const objectBytes = NAMES.reduce((n, name) => n + fs.statSync(path.join(root, 'bpf/build', `${name}.o`)).size, 0);

interface StatusJson {
  operatorId: string;
  nodes: { name: string; connected: boolean; ackedRevision: number; artifactBytesSent: number; lastNack: string }[];
  components: { name: string; state: string; reason: string }[];
}

/** Copies of the objects with `change` applied to their bytes. */
function objectsIn(dir: string, change: (bytes: Buffer) => Buffer): string {
  fs.mkdirSync(dir);
  for (const n of NAMES) fs.writeFileSync(path.join(dir, `${n}.o`), change(fs.readFileSync(path.join(root, 'bpf/build', `${n}.o`))));
  return dir;
}

const withTag = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.from('second build')]);
const podHash = (dir: string): string =>
  createHash('sha256')
    .update(fs.readFileSync(path.join(dir, 'pod.o')))
    .digest('hex');

describe('a new datapath', () => {
  let fixture: Fixture | undefined;
  let servers: PodInfo[];
  let client: PodInfo;
  let stranger: PodInfo;
  // nodes have a /tmp of their own
  const scratch = fs.mkdtempSync(path.join(root, 'e2e/native/build/datapath-'));
  const own = path.join(root, 'bpf/build');
  const second = objectsIn(path.join(scratch, 'second'), withTag);
  const broken = objectsIn(path.join(scratch, 'broken'), withoutEnd);
  const get = (): Fixture => {
    if (fixture === undefined) throw new Error('the sandbox did not come up');
    return fixture;
  };
  const status = async (): Promise<StatusJson> => JSON.parse(await get().cli('status', '-o', 'json')) as StatusJson;
  const agents = async (): Promise<string[]> =>
    (
      await get().json<{ items: { metadata: { uid: string }; status: { containerStatuses?: { restartCount: number }[] } }[] }>(
        'get',
        'pods',
        '-n',
        NS,
        '-l',
        'app.kubernetes.io/component=agent',
      )
    ).items.map((p) => `${p.metadata.uid} ${p.status.containerStatuses?.[0]?.restartCount}`);

  /** What each node runs: the names of the directories its links were loaded from change with the objects. */
  const pinnedSets = (): Map<string, string> =>
    new Map(get().sandbox.nodes.map((n) => [n.name, fs.readdirSync(`/proc/${n.holderPid}/root/sys/fs/bpf/axoneme/progs`).sort().join()]));
  const rollTo = async (objects: string): Promise<void> => {
    await get().sandbox.install(['--set', `datapath.objects=${objects}`]);
  };
  /** Resolves when every node runs programs of the same set, another one than `before`; returns the states seen on the way. */
  const rolled = async (before: string): Promise<string[]> => {
    const seen: string[] = [];
    await until(
      'all nodes run the other objects',
      60_000,
      async () => {
        const sets = [...pinnedSets()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, set]) => set);
        const now = sets.map((s) => (s === before ? 'old' : s.includes(before) ? 'moving' : 'new')).join(' ');
        if (seen.at(-1) !== now) seen.push(now);
        return sets.every((s) => s === sets[0] && s !== before && !s.includes(',')) ? true : undefined;
      },
      2,
    );
    return seen;
  };
  const under = async (seconds: number, act: () => Promise<void>): Promise<void> => {
    const f = get();
    const allowed: Promise<FloodResult>[] = servers.flatMap((s) => [
      f.flood(client, 'udp', s.ipv4, 7, RATE, seconds),
      f.flood(client, 'tcp', s.ipv6, 7, RATE, seconds),
      f.flood(client, 'connect', s.ipv4, 7, 50, seconds),
    ]);
    const forbidden = servers.flatMap((s) => [
      f.flood(stranger, 'udp', s.ipv4, 7, RATE, seconds),
      f.flood(stranger, 'udp', s.ipv6, 7, RATE, seconds),
    ]);
    await act();
    judgeFloods({ allowed: await Promise.all(allowed), forbidden: await Promise.all(forbidden) });
  };
  const rollout = async (): Promise<StatusJson['components'][number] | undefined> =>
    (await status()).components.find((c) => c.name === 'datapath rollout');

  beforeAll(async () => {
    fixture = await upFixture('dp', 2);
    const f = get();
    await f.apply(echoApp('web', 2));
    await f.apply(echoApp('client', 1));
    await f.apply(echoApp('stranger', 1));
    servers = await f.ready('app=web', 2);
    client = (await f.ready('app=client', 1))[0]!;
    stranger = (await f.ready('app=stranger', 1))[0]!;
    await f.apply(clientsOnly('web'));
    await f.kubectl('wait', 'cnp/web', '--for=condition=Enforced', '--timeout=20s');
  }, 180_000);

  afterAll(async () => {
    await fixture?.sandbox.down();
    fs.rmSync(scratch, { recursive: true, force: true });
  }, 60_000);

  test('is sent to nobody who has it in the image', async () => {
    const s = await status();
    expect(s.nodes).toHaveLength(2);
    for (const n of s.nodes) expect(n.artifactBytesSent).toBeLessThan(objectBytes / 20);
    expect(await rollout()).toEqual({ name: 'datapath rollout', state: 'ok', reason: '' });
  });

  test('moves one node after the other and back; nothing is lost, nothing passes, no agent restarts', async () => {
    const before = await agents();
    const first = [...pinnedSets().values()][0]!;
    expect(podHash(second)).not.toBe(podHash(own));
    await under(20, async () => {
      await rollTo(second);
      const seen = await rolled(first);
      // never both on the way, and the second one starts when the first one is done
      expect(seen.some((s) => s === 'new old' || s === 'old new')).toBe(true);
      expect(seen).not.toContain('moving moving');
    });
    for (const n of (await status()).nodes) expect(n.artifactBytesSent).toBeGreaterThan(objectBytes);
    const other = [...pinnedSets().values()][0]!;
    await under(20, async () => {
      await rollTo('operator');
      await rolled(other);
    });
    expect([...pinnedSets().values()]).toEqual([first, first]);
    for (const n of (await status()).nodes) expect(n.artifactBytesSent).toBeLessThan(objectBytes / 20);
    expect(await agents()).toEqual(before);
  }, 180_000);

  test('that cannot run stops at the first node, says why, and changes nothing', async () => {
    const first = [...pinnedSets().values()];
    await under(15, async () => {
      await rollTo(broken);
      const c = await until('the rollout is stopped', 30_000, async () => {
        const now = await rollout();
        return now?.state === 'degraded' ? now : undefined;
      });
      expect(c.reason).toMatch(/^stopped: node \S+ refused the objects: .*(unknown opcode ff|not an exit)/s);
    });
    expect([...pinnedSets().values()]).toEqual(first);
    const f = get();
    const spec = {
      endpointSelector: { matchLabels: { app: 'web' } },
      ingress: [{ fromEndpoints: [{ matchLabels: { app: 'stranger' } }] }],
    };
    // the node that refused takes everything else
    await f.apply(JSON.stringify({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'web' }, spec }));
    for (const s of servers) {
      await until('the policy acts', 10_000, async () =>
        (await f.flood(stranger, 'udp', s.ipv4, 7, 50, 0.2)).received > 0 ? true : undefined,
      );
      expect((await f.flood(client, 'udp', s.ipv4, 7, 50, 0.3)).received).toBe(0);
    }
    await rollTo('operator');
    await until('the rollout is fine again', 30_000, async () => ((await rollout())?.state === 'ok' ? true : undefined));
  }, 180_000);
});
