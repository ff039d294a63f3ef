// Real connections through `axo_xdp` on a node's devices. There is nothing else on the node that could carry them: no tc programs, no routes
// for the addresses of services or for answers. A client with a backend of its own on the node's one side, a backend on the other.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { bpf, build, createLab, dp, type Lab, netlink } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { createMan, type Man } from './sockets.ts';
import { sh } from './world.ts';
import { servicesOf } from './xdp-world.ts';

const id = `axt${process.pid % 10000}`;
const ns = (name: string): string => `${id}-${name}`;
const ip = (name: string, args: string): string => sh(`ip -n ${ns(name)} ${args}`);
const inside = <T>(name: string, fn: () => T): T => netlink.inNetns(netlink.netnsPath(ns(name)), fn);
const link = (name: string, dev: string): { ifindex: number; mac: string } => {
  const [row] = JSON.parse(ip(name, `-j link show ${dev}`)) as [{ ifindex: number; address: string }];
  return { ifindex: row.ifindex, mac: row.address };
};
const ADDRESS = {
  4: { vip: '198.51.100.10', client: '192.168.9.2', node: '192.168.9.1', router: '10.0.1.254', near: '10.0.3.5', far: '10.0.2.5', other: '192.168.10.2' },
  6: { vip: '2001:db8:1::10', client: 'fd99::2', node: 'fd99::1', router: 'fd00:1::fe', near: 'fd00:3::5', far: 'fd00:2::5', other: 'fd9a::2' },
} as const; // biome-ignore format: a table
const BULK = 'x'.repeat(400_000);
const names = ['client', 'node', 'other'] as const;

let lab: Lab;
let men: Record<'client' | 'near' | 'far', Man>;
let services: ReturnType<typeof servicesOf>;
const closers: (() => void)[] = [];

function createNetwork(offload: string): void {
  for (const n of names) {
    sh(`ip netns add ${ns(n)}`);
    ip(n, 'link set lo up');
    sh(`ip netns exec ${ns(n)} sysctl -qw net.ipv6.conf.default.accept_dad=0`);
  }
  for (const s of ['ipv4.ip_forward', 'ipv6.conf.all.forwarding']) sh(`ip netns exec ${ns('node')} sysctl -qw net.${s}=1`);
  sh(`ip link add eth0 netns ${ns('node')} type veth peer name eth0 netns ${ns('client')}`);
  sh(`ip link add eth1 netns ${ns('node')} type veth peer name eth0 netns ${ns('other')}`);
  const address = (n: string, dev: string, a: string): string => ip(n, `addr add ${a} dev ${dev} ${a.includes(':') ? 'nodad' : ''}`);
  for (const [n, dev, v4, v6] of [
    ['node', 'eth0', '192.168.9.1/24', 'fd99::1/64'],
    ['node', 'eth1', '192.168.10.1/24', 'fd9a::1/64'],
    ['client', 'eth0', '192.168.9.2/24', 'fd99::2/64'],
    ['other', 'eth0', '192.168.10.2/24', 'fd9a::2/64'],
    ['client', 'lo', '10.0.3.5/32', 'fd00:3::5/128'],
    ['other', 'lo', '10.0.2.5/32', 'fd00:2::5/128'],
  ] as const) {
    address(n, dev, v4);
    address(n, dev, v6);
    if (dev !== 'lo') ip(n, `link set ${dev} up`);
  }
  for (const f of [4, 6] as const) {
    const [a, all] = [ADDRESS[f], f === 4 ? 32 : 128];
    ip('client', `-${f} route add default via ${a.node}`);
    ip('other', `-${f} route add default via ${f === 4 ? '192.168.10.1' : 'fd9a::1'}`);
    ip('node', `-${f} route add ${a.near}/${all} via ${a.client}`);
    ip('node', `-${f} route add ${a.far}/${all} via ${a.other}`);
    ip('node', `neigh replace ${a.client} lladdr ${link('client', 'eth0').mac} nud permanent dev eth0`);
    ip('node', `neigh replace ${a.other} lladdr ${link('other', 'eth0').mac} nud permanent dev eth1`);
  }
  for (const n of ['client', 'other']) {
    sh(`ip netns exec ${ns(n)} ${offload} eth0 off`);
  }
}

function configure(): void {
  lab = createLab({ objects: ['xdp', 'floor'], maxEntries: { nat4: 4096, nat6: 4096, flow4: 4096, flow6: 4096 } });
  const [v4, v6] = [ADDRESS[4], ADDRESS[6]];
  // a veth is told of what its peer's program sends back only if it has a program itself
  for (const n of ['client', 'other']) {
    const pass = inside(n, () => bpf.attachXdp(lab.program('floor_xdp_pass'), link(n, 'eth0').ifindex, 'native'));
    closers.push(() => pass.close());
  }
  lab.config({ nodeIp4: IP(v4.node), routerIp4: IP(v4.router), nodeIp6: IP(v6.node), routerIp6: IP(v6.router), flags: 0 });
  for (const a of [v4, v6]) {
    for (const own of [a.node, a.router]) lab.host(own);
    for (const pod of [a.near, a.far]) lab.ipcache(`${pod}/${pod.includes(':') ? 128 : 32}`, 1003, a.other);
  }
  services = servicesOf(lab);
  for (const dev of ['eth0', 'eth1']) {
    const row = Buffer.alloc(4);
    row.writeUInt32LE(link('node', dev).ifindex);
    lab.map('xdp_device').update(row, Buffer.from([1, 0, 0, 0]));
  }
}

beforeAll(async () => {
  build();
  const dir = mkdtempSync(`${tmpdir()}/axt-`);
  execFileSync('cc', ['-o', `${dir}/offload`, fileURLToPath(new URL('./offload.c', import.meta.url))]);
  closers.push(() => rmSync(dir, { recursive: true }));
  closers.push(() => {
    for (const n of names) sh(`ip netns del ${ns(n)} 2>/dev/null || true`);
  });
  createNetwork(`${dir}/offload`);
  closers.push(() => lab.close());
  configure();
  const [client, near, far] = await Promise.all([createMan('', ns('client')), createMan('', ns('client')), createMan('', ns('other'))]);
  men = { client, near, far };
  for (const where of ['near', 'far'] as const) {
    const both = [ADDRESS[4][where], ADDRESS[6][where]];
    await men[where].serve(where, 8080, both);
    await men[where].witness('who', 8081, both);
    await men[where].serve(BULK, 8082, []);
  }
}, 60_000);
afterAll(async () => {
  for (const m of Object.values(men ?? {})) await m.stop();
  for (const close of closers.toReversed()) close();
}, 60_000);
afterEach(() => services.clear());

const rows = (f: 4 | 6): dp.NatValue[] => [...lab.map(f === 4 ? 'nat4' : 'nat6').entries()].map(([, v]) => dp.natValue.decode(v));
let generation = 0;

describe.each(['native', 'generic'] as const)('%s', (mode) => {
  let links: bpf.BpfLink[];
  beforeAll(() => {
    links = ['eth0', 'eth1'].map((dev) => inside('node', () => bpf.attachXdp(lab.program('axo_xdp'), link('node', dev).ifindex, mode)));
  });
  afterAll(() => {
    for (const l of links) {
      l.detach();
      l.close();
    }
  });

  describe.each([
    [4, 'near'],
    [4, 'far'],
    [6, 'near'],
    [6, 'far'],
  ] as const)('IPv%i, backend %s', (f, where) => {
    const { vip, router } = ADDRESS[f];
    const serve = (port: number): void => {
      for (const proto of [PROTO.tcp, PROTO.udp]) services.put({ vip, port: 80, proto, backends: [[ADDRESS[f][where], port]] });
      lab.put(dp.tables.generation, 1, ++generation);
    };

    test('connections and datagrams, from the service’s address', async () => {
      serve(8080);
      expect(await men.client.act('tcp', vip, 80)).toEqual({ text: where, peer: `${vip} 80` });
      expect(await men.client.act('udp', vip, 80)).toEqual({ text: where, from: `${vip} 80` });
      expect(await men.client.act('connected', vip, 80)).toEqual({ text: where, from: `${vip} 80` });
      const all = rows(f);
      expect(all.length).toBeGreaterThanOrEqual(6);
      expect(all.every((r) => r.checked !== 0 && r.action === dp.NatVia.neigh)).toBe(true);
    });

    test('the backend sees the node’s router address', async () => {
      serve(8081);
      expect(await men.client.question(vip, 80)).toMatchObject({ text: `who ${router}`, from: `${vip} 80` });
      expect(await men.client.datagram(vip, 80)).toMatchObject({ text: `who ${router}` });
    });

    test('400 kB arrive whole', async () => {
      serve(8082);
      const { text } = await men.client.act('tcp', vip, 80);
      expect(text?.length).toBe(BULK.length);
    });
  });
});
