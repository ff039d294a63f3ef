// VLAN devices as the devices of nodes: between the nodes and towards clients, with our programs on them and on what is under them, in tc and
// at the driver. Runs in a guest alone (docs/guest.md): the kernel of the other suites' machine may have no 802.1Q.
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { bpf, build, createLab, dp, type Lab, netlink } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { createMan, type Man } from './sockets.ts';
import { attach, createWorld, ns, sh, tryIn, type World } from './world.ts';

const { LbFlag } = dp;
const PORT = 8080;
const NODE_PORT = 30080;
const CLIENT = { 4: '192.168.7.2', 6: 'fd97::2' } as const;
const EDGE = { 4: '192.168.7.1', 6: 'fd97::1' } as const;
const NODE = { 4: '192.168.9.1', 6: 'fd99::1' } as const;
const ROUTER = { 4: '10.0.1.254', 6: 'fd00:1::fe' } as const;
const VIP = { 4: '203.0.113.7', 6: 'fd20::7' } as const;
const ANY = { 4: '0.0.0.0', 6: '::' } as const;
const BACKEND = {
  4: { a: '10.0.1.1', c: '10.0.2.3', n1: '192.168.9.1', n2: '192.168.9.2' },
  6: { a: 'fd00:1::1', c: 'fd00:2::3', n1: 'fd99::1', n2: 'fd99::2' },
} as const;
type Who = keyof (typeof BACKEND)[4];
type Family = 4 | 6;
const OPTION = { 4: 8, 6: 24 } as const;
const HEAD = { 4: 28, 6: 48 } as const;
/** Of a device under which there are 1500 bytes, the tag among them. */
const TAGGED_MTU = 1496;

const ip = (name: string, args: string): string => sh(`ip -n ${ns(name)} ${args}`);
const inside = <T>(name: string, fn: () => T): T => netlink.inNetns(netlink.netnsPath(ns(name)), fn);
const index = (name: string, dev: string): number => (JSON.parse(ip(name, `-j link show ${dev}`)) as [{ ifindex: number }])[0].ifindex;

function vlan(name: string, under: string, id: number, mtu: number, addresses: readonly string[]): string {
  const dev = `${under}.${id}`;
  ip(name, `link add link ${under} name ${dev} type vlan id ${id}`);
  ip(name, `link set ${dev} mtu ${mtu} up`);
  for (const a of addresses) ip(name, `addr add ${a} dev ${dev} ${a.includes(':') ? 'nodad' : ''}`);
  return dev;
}

function both(node: World['n1'], dev: string): void {
  attach(node.name, node.lab, dev, 'from_netdev', 'ingress');
  attach(node.name, node.lab, dev, 'to_netdev', 'egress');
}

/** The nodes' addresses move to VLAN 9 of the cable between them; the client is in VLAN 7 of the other one. */
function tag(world: World, mode: 0 | 4): void {
  for (const [n, other, node] of [
    [1, 2, world.n1],
    [2, 1, world.n2],
  ] as const) {
    for (const a of [`192.168.9.${n}/24`, `fd99::${n}/64`]) ip(node.name, `addr del ${a} dev eth0`);
    both(node, vlan(node.name, 'eth0', 9, TAGGED_MTU, [`192.168.9.${n}/24`, `fd99::${n}/64`]));
    if (mode !== 0) continue;
    ip(node.name, `route replace 10.0.${other}.0/24 via 192.168.9.${other}`);
    ip(node.name, `-6 route replace fd00:${other}::/64 via fd99::${other}`);
  }
  both(world.n1, vlan('n1', 'eth1', 7, 1500, ['192.168.7.1/24', 'fd97::1/64']));
  vlan('out', 'eth0', 7, 1500, ['192.168.7.2/24', 'fd97::2/64']);
  for (const f of [4, 6] as const) {
    world.n1.lab.host(EDGE[f]);
    const net = f === 4 ? '192.168.9.0/24' : 'fd99::/64';
    ip('out', `-${f} route replace ${net} via ${EDGE[f]}`);
    ip('out', `-${f} route add ${VIP[f]} via ${EDGE[f]}`);
    // for answers that do not come back by the node that was asked
    ip('n2', `-${f} route add ${f === 4 ? '192.168.7.0/24' : 'fd97::/64'} via ${NODE[f]}`);
    for (const [from, to] of [
      ['out', EDGE[f]],
      ['n1', BACKEND[f].n2],
    ] as const)
      expect([to, tryIn(from, `ping -c1 -w5 ${to}`).ok]).toEqual([to, true]);
  }
}

let last = 700n;
function publish(labs: readonly Lab[], f: Family, front: readonly [string, number], flags: number, who: Who): void {
  const set = ++last;
  const sets = { setOut: set, setIn: set, countOut: 1, countIn: 1, maglevSize: 251, serviceId: 5, affinityS: 0 };
  for (const lab of labs) {
    lab.put(dp.tables.lb_slot, { set, index: 0 }, { addr: IP.table(BACKEND[f][who]), port: PORT, family: f, flags: 0, backendId: 3 });
    lab.put(dp.tables.lb_maglev, { set, chunk: 0 }, { slot: Array.from({ length: 512 }, () => 0) });
    for (const proto of [PROTO.tcp, PROTO.udp])
      lab.put(
        dp.tables.lb_frontend,
        { addr: IP.table(front[0]), port: front[1], proto, family: f },
        { ...sets, flags: flags | LbFlag.external },
      );
    lab.bump();
  }
}

beforeAll(() => {
  build();
  execFileSync('modprobe', ['8021q']);
});

describe.each([
  ['tunnel', 4, TAGGED_MTU - 50],
  ['native routing', 0, TAGGED_MTU],
] as const)('%s', (_name, mode, pathMtu) => {
  let world: World;
  let labs: readonly Lab[];
  const men = new Map<string, Man>();
  const man = (name: string): Man => men.get(name)!;

  beforeAll(async () => {
    world = createWorld(mode);
    labs = [world.n1.lab, world.n2.lab];
    tag(world, mode);
    for (const lab of labs) {
      const config = dp.nodeConfig.decode(lab.map('node_config').lookup(Buffer.alloc(4))!);
      lab.put(dp.tables.node_config, 0, { ...config, pathMtu });
    }
    for (const name of ['out', 'a', 'c', 'n1', 'n2']) men.set(name, await createMan('', ns(name)));
    for (const name of ['a', 'c', 'n1', 'n2'] as const)
      expect(await man(name).witness(name, PORT, [BACKEND[4][name], BACKEND[6][name]])).toEqual({ port: PORT });
    expect(await man('out').witness('out', PORT, [CLIENT[4], CLIENT[6]])).toEqual({ port: PORT });
  });
  afterAll(async () => {
    for (const m of men.values()) await m.stop();
    world.close();
  });
  beforeEach(() => {
    for (const lab of labs) {
      for (const table of ['lb_frontend', 'lb_slot', 'lb_maglev', 'nat4', 'nat6'])
        for (const [key] of [...lab.map(table).entries()]) lab.map(table).delete(key);
      lab.bump();
    }
  });

  const seen = (f: Family, who: Who): string => {
    if (who === 'c') return ROUTER[f];
    return who === 'n2' ? NODE[f] : CLIENT[f];
  };
  const asks = async (front: readonly [string, number], text: string): Promise<void> => {
    const wanted = { text, from: front.join(' ') };
    expect(['tcp', text, await man('out').question(...front)]).toEqual(['tcp', text, wanted]);
    expect(['udp', text, await man('out').datagram(...front)]).toEqual(['udp', text, wanted]);
  };

  describe.each([4, 6] as const)('IPv%i', (f) => {
    test('services: every backend, by address and by node port, TCP and UDP', async () => {
      for (const who of ['a', 'c', 'n1', 'n2'] as const) {
        publish([world.n1.lab], f, [VIP[f], 80], LbFlag.loadBalancer, who);
        publish([world.n1.lab], f, [ANY[f], NODE_PORT], LbFlag.nodePort, who);
        await asks([VIP[f], 80], `${who} ${seen(f, who)}`);
        await asks([EDGE[f], NODE_PORT], `${who} ${seen(f, who)}`);
      }
    });

    test('fragments in both directions', async () => {
      // as long as the way between the nodes takes: nobody cuts fragments a second time
      const way = `-${f} route replace ${VIP[f]} via ${EDGE[f]}`;
      ip('out', `${way} mtu 1400`);
      for (const who of ['a', 'c', 'n2'] as const) {
        publish([world.n1.lab], f, [VIP[f], 80], LbFlag.loadBalancer, who);
        expect([who, await man('out').datagram(VIP[f], 80, { size: 5000 })]).toEqual([who, { text: '5000', from: `${VIP[f]} 80` }]);
      }
      ip('out', way);
    });

    test('a pod to a pod of the other node, and masqueraded to a client in a VLAN', async () => {
      expect(await man('a').question(BACKEND[f].c, PORT)).toEqual({ text: `c ${BACKEND[f].a}`, from: `${BACKEND[f].c} ${PORT}` });
      expect(await man('a').question(CLIENT[f], PORT)).toEqual({ text: `out ${NODE[f]}`, from: `${CLIENT[f]} ${PORT}` });
      expect(await man('a').datagram(CLIENT[f], PORT)).toEqual({ text: `out ${NODE[f]}`, from: `${CLIENT[f]} ${PORT}` });
    });

    test('L3-a: packets of 1400-1500 bytes × option and SNAT through real VLAN devices: delivered or answered by ICMP, never silent', async () => {
      for (const dsr of [LbFlag.dsr, 0]) {
        publish(labs, f, [VIP[f], 80], LbFlag.loadBalancer | dsr, 'c');
        const limit = pathMtu - (dsr ? OPTION[f] : 0);
        for (const length of new Set([1400, limit - 1, limit, limit + 1, 1450, 1499, 1500])) {
          const size = length - HEAD[f];
          const first = await man('out').probe(VIP[f], 80, size);
          expect([dsr, length, first]).toEqual([dsr, length, length > limit ? { error: 'EMSGSIZE' } : { text: String(size) }]);
          if (length > limit)
            expect([dsr, length, await man('out').probe(VIP[f], 80, size)]).toEqual([dsr, length, { text: String(size) }]);
          ip('out', `-${f} route flush cache`);
        }
      }
    });
  });

  // a tag in the frame is left to the VLAN's own device; one that the device has taken out is invisible to a program at the driver
  describe('at the driver', () => {
    let lab: Lab;
    const links: bpf.BpfLink[] = [];
    const answersOf = async (): Promise<void> => {
      for (const f of [4, 6] as const)
        for (const who of ['a', 'c', 'n2'] as const) {
          publish([world.n1.lab, lab], f, [VIP[f], 80], LbFlag.loadBalancer, who);
          for (let round = 0; round < 3; round++) await asks([VIP[f], 80], `${who} ${seen(f, who)}`);
        }
    };
    const detach = (): void => {
      for (const l of links.splice(0)) l.close();
    };
    beforeAll(() => {
      lab = createLab({ objects: ['xdp'] });
      const tables = ['node_config', 'endpoint', 'ipcache'];
      for (const table of tables) for (const [k, v] of [...world.n1.lab.map(table).entries()]) lab.map(table).update(k, v);
      for (const dev of ['eth0', 'eth1']) sh(`ip netns exec ${ns('n1')} ethtool -K ${dev} rxvlan off txvlan off`);
      sh(`ip netns exec ${ns('out')} ethtool -K eth0 rxvlan off txvlan off tx off`);
      sh(`ip netns exec ${ns('n2')} ethtool -K eth0 rxvlan off txvlan off tx off`);
      sh(`ip netns exec ${ns('c')} ethtool -K eth0 tx off`);
    });
    afterAll(() => {
      detach();
      lab.close();
    });

    test('native on the devices below: tagged frames pass to the VLAN', async () => {
      links.push(...inside('n1', () => ['eth0', 'eth1'].map((d) => bpf.attachXdp(lab.program('axo_xdp'), index('n1', d), 'native'))));
      try {
        await answersOf();
        expect([...lab.map('nat4').entries(), ...lab.map('nat6').entries()]).toEqual([]);
      } finally {
        detach();
      }
    });

    test('generic on the VLAN devices themselves', async () => {
      const devices = ['eth0.9', 'eth1.7'].map((d) => index('n1', d));
      links.push(...inside('n1', () => devices.map((d) => bpf.attachXdp(lab.program('axo_xdp'), d, 'generic'))));
      try {
        await answersOf();
      } finally {
        detach();
      }
    });
  });
});
