// Two nodes and a client on one switch, as network namespaces: the announcers of the nodes, real programs on real devices, and what the client's
// own kernel makes of it.
import { execFileSync } from 'node:child_process';
import { attachTc } from '@axoneme/bpf';
import { inNetns, type Link, listLinks, NetlinkSocket, netnsPath, openFrameSender, openGroupMember } from '@axoneme/netlink';
import { L2Leases } from '@axoneme/proto';
import { silentLog, systemClock } from '@axoneme/std';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, createLab, type Lab } from '../../../../bpf/tests/kit.ts';
import { type Announcer, createAnnouncer } from '../src/announce/announcer.ts';
import { until } from './harness.ts';

const PREFIX = `axf${process.pid % 10000}`;
const ns = (name: string): string => `${PREFIX}-${name}`;
const sh = (line: string): string => execFileSync('/bin/sh', ['-c', line], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const quiet = (line: string): void => void sh(`${line} >/dev/null 2>&1 || true`);

/** What stays over the lives of agents. */
interface Site {
  readonly lab: Lab;
  readonly device: Link;
  readonly name: string;
}
interface Node extends Site {
  readonly announcer: Announcer;
  readonly asked: number[];
  grant(ms: number): void;
  revoke(): void;
  close(): void;
}
const ADDRESSES = ['192.0.2.100', 'fd98::100'] as const;
const blobOf = (addresses: readonly string[], interfaces: string[] = []): Buffer =>
  Buffer.from(L2Leases.encode({ leases: addresses.map((address) => ({ address, interfaces, epoch: 1 })), renewMs: 200 }).finish());

function plug(name: string, ip4: string, ip6: string): void {
  sh(`ip netns add ${ns(name)}`);
  sh(`ip -n ${ns(name)} link set lo up`);
  sh(`ip link add eth0 netns ${ns(name)} type veth peer name p-${name} netns ${ns('switch')}`);
  sh(`ip -n ${ns('switch')} link set p-${name} master br0 up`);
  sh(`ip -n ${ns(name)} addr add ${ip4}/24 dev eth0`);
  sh(`ip -n ${ns(name)} -6 addr add ${ip6}/64 dev eth0 nodad`);
  sh(`ip -n ${ns(name)} link set eth0 up`);
}

function createSite(name: string): Site {
  const lab = createLab({ objects: ['netdev'] });
  return inNetns(netnsPath(ns(name)), () => {
    const socket = new NetlinkSocket();
    const device = listLinks(socket).find((l) => l.name === 'eth0')!;
    socket.close();
    attachTc(lab.program('from_netdev'), device.ifindex, 'ingress');
    return { lab, device, name };
  });
}

function startNode(site: Site): Node {
  const [sender, groups] = inNetns(netnsPath(ns(site.name)), () => [openFrameSender(), openGroupMember()] as const);
  const nowNs = (): bigint => process.hrtime.bigint();
  const announcer = createAnnouncer({
    map: site.lab.map('l2_announce'),
    devices: () => [site.device],
    ...{ sender, groups, nowNs },
    clock: systemClock,
    log: silentLog,
  });
  const asked: number[] = [];
  announcer.leases.start((ms) => asked.push(ms), new AbortController().signal);
  return {
    ...site,
    ...{ announcer, asked },
    grant: (ms) => announcer.leases.granted(Number(nowNs() / 1_000_000n) + ms),
    revoke: () => announcer.setLeases(undefined),
    close() {
      announcer.stop();
      sender.close();
      groups.close();
    },
  };
}

let sites: Site[] = [];
let one: Node;
let two: Node;
beforeAll(() => {
  build();
  sh(`ip netns add ${ns('switch')}`);
  sh(`ip -n ${ns('switch')} link add br0 type bridge`);
  sh(`ip -n ${ns('switch')} link set br0 up`);
  plug('n1', '192.0.2.1', 'fd98::1');
  plug('n2', '192.0.2.2', 'fd98::2');
  plug('out', '192.0.2.7', 'fd98::7');
  sites = [createSite('n1'), createSite('n2')];
});
afterAll(() => {
  for (const s of sites) s.lab.close();
  for (const n of ['out', 'n1', 'n2', 'switch']) quiet(`ip netns del ${ns(n)}`);
});
beforeEach(() => {
  one = startNode(sites[0]!);
  two = startNode(sites[1]!);
  for (const a of ADDRESSES) quiet(`ip -n ${ns('out')} neigh del ${a} dev eth0`);
});

afterEach(() => {
  for (const n of [one, two]) n.close();
});

/** What the client believes. */
function known(address: string): string | undefined {
  const [row] = JSON.parse(sh(`ip -n ${ns('out')} -j neigh show ${address} dev eth0`)) as { lladdr?: string }[];
  return row?.lladdr;
}
/** The client asks the network, and nobody but the network. */
function ask(address: string): string | undefined {
  quiet(`ip -n ${ns('out')} neigh del ${address} dev eth0`);
  quiet(`ip netns exec ${ns('out')} ping -c 1 -W 0.3 ${address}`);
  return known(address);
}
const within = (what: string, ms: number, probe: () => boolean): Promise<unknown> => until(probe, what, ms);

describe.each(ADDRESSES)('%s', (address) => {
  test('is answered for when the node is let, and until then only, whatever becomes of the agent', async () => {
    one.announcer.setLeases(blobOf([address]));
    expect(ask(address)).toBeUndefined();
    one.grant(700);
    const granted = performance.now();
    expect(ask(address)).toBe(one.device.mac);
    // nobody does anything more
    await within('nobody answers', 3000, () => ask(address) === undefined);
    expect(performance.now() - granted).toBeGreaterThan(650);
    one.grant(60_000);
    expect(ask(address)).toBe(one.device.mac);
    one.revoke();
    expect(ask(address)).toBeUndefined();
  });

  test('L8-b: GARP after heal: who takes over, or comes back, is believed at once', async () => {
    one.announcer.setLeases(blobOf([address]));
    one.grant(60_000);
    expect(ask(address)).toBe(one.device.mac);
    one.revoke();
    expect(known(address)).toBe(one.device.mac);
    two.announcer.setLeases(blobOf([address]));
    const moved = performance.now();
    two.grant(500);
    await within('the client knows the new owner', 2000, () => known(address) === two.device.mac);
    expect(performance.now() - moved).toBeLessThan(1500);
    // cut off, its time passes; meanwhile the client has learned something else
    await within('its time is over', 2000, () => two.announcer.status()[0]?.validMs === 0);
    sh(`ip -n ${ns('out')} neigh replace ${address} lladdr ${one.device.mac} nud stale dev eth0`);
    two.grant(60_000);
    await within('the client hears of it', 2000, () => known(address) === two.device.mac);
  });
});

test('a node asks while it has addresses, soon after it gets them, and not otherwise', async () => {
  one.asked.length = 0;
  one.announcer.setLeases(blobOf(ADDRESSES));
  await within('it asks', 1000, () => one.asked.length >= 3);
  one.revoke();
  const before = one.asked.length;
  two.announcer.setLeases(blobOf(ADDRESSES));
  two.asked.length = 0;
  await within('the other one asks', 1000, () => two.asked.length >= 2);
  expect(one.asked.length).toBe(before);
});

test('only devices that the expressions name; without any it says so', () => {
  one.announcer.setLeases(blobOf(['192.0.2.100'], ['^eth1$', 'th0$']));
  one.grant(60_000);
  expect([one.announcer.health().state, one.announcer.status()[0]?.devices]).toEqual(['ok', ['eth0']]);
  one.announcer.setLeases(blobOf(['192.0.2.100'], ['^th0$']));
  expect(one.announcer.health()).toMatchObject({ state: 'degraded', reason: expect.stringContaining('192.0.2.100') });
  expect(ask('192.0.2.100')).toBeUndefined();
});
