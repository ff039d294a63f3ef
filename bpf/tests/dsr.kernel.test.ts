// Direct server return with real stacks: who answers, what is told to whom sends too much, and what happens when a flow changes its way.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, dp, type Lab } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { createMan, type Man } from './sockets.ts';
import { addPod, attach, cable, createWorld, ns, sh, tryIn, type World } from './world.ts';

const { LbFlag, Drop } = dp;
const PORT = 8080;
const NODE_PORT = 30080;
const POD = { 4: '10.0.2.', 6: 'fd00:2::' } as const;
const CLIENT = { 4: '192.168.8.2', 6: 'fd98::2' } as const;
const EDGE = { 4: '192.168.8.1', 6: 'fd98::1' } as const;
const VIP = { 4: '203.0.113.7', 6: 'fd20::7' } as const;
const ANY = { 4: '0.0.0.0', 6: '::' } as const;
const OPTION = { 4: 8, 6: 24 } as const;
const HEAD = { 4: 28, 6: 48 } as const;
type Family = 4 | 6;

interface Front {
  readonly f: Family;
  readonly address?: string;
  readonly port?: number;
  readonly flags?: number;
  readonly pods?: readonly number[];
}

let last = 500n;
/** Pods are numbers of n2's; a table of Maglev's shape over them. */
function publish(world: World, s: Front): void {
  const set = ++last;
  const pods = s.pods ?? [3];
  const key = { addr: IP.table(s.address ?? VIP[s.f]), port: s.port ?? 80, family: s.f };
  const sets = { setOut: set, setIn: set, countOut: pods.length, countIn: pods.length, maglevSize: 251, serviceId: 5, affinityS: 0 };
  const flags = LbFlag.external | (s.flags ?? LbFlag.loadBalancer | LbFlag.dsr);
  for (const { lab } of [world.n1, world.n2]) {
    for (const [index, n] of pods.entries())
      lab.put(dp.tables.lb_slot, { set, index }, { addr: IP.table(POD[s.f] + n), port: PORT, family: s.f, flags: 0, backendId: n });
    const slot = Array.from({ length: 512 }, (_, i) => (i * 5) % pods.length);
    lab.put(dp.tables.lb_maglev, { set, chunk: 0 }, { slot });
    for (const proto of [PROTO.tcp, PROTO.udp]) lab.put(dp.tables.lb_frontend, { ...key, proto }, { ...sets, flags });
    lab.bump();
  }
}

const clear = (lab: Lab, ...names: readonly string[]): void => {
  for (const name of names) for (const [k] of [...lab.map(name).entries()]) lab.map(name).delete(k);
};
const rows = (lab: Lab, f: Family): dp.NatValue[] =>
  [...lab.map(f === 4 ? 'nat4' : 'nat6').entries()].map(([, v]) => dp.natValue.decode(v));

async function eventually(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((r) => setTimeout(r, 5));
}

describe.each([
  ['tunnel over IPv4', 4, 1450],
  ['tunnel over IPv6', 6, 1430],
  ['native routing', 0, 1500],
] as const)('%s', (_name, mode, pathMtu) => {
  let world: World;
  let out: Man;
  const men: Man[] = [];
  const endOf = (i: number): string | undefined => (mode === 0 ? undefined : mode === 4 ? `192.168.9.${i}` : `fd99::${i}`);

  const underlay = (less: number): void => {
    for (const { lab, name } of [world.n1, world.n2]) {
      sh(`ip -n ${ns(name)} link set eth0 mtu ${1500 - less}`);
      const config = dp.nodeConfig.decode(lab.map('node_config').lookup(Buffer.alloc(4))!);
      lab.put(dp.tables.node_config, 0, { ...config, pathMtu: pathMtu - less });
    }
  };

  beforeAll(async () => {
    build();
    world = createWorld(mode);
    const ip = (name: string, args: string): string => sh(`ip -n ${ns(name)} ${args}`);
    underlay(0);
    ip('out', `route add ${VIP[4]} via ${EDGE[4]}`);
    ip('out', `-6 route add ${VIP[6]} via ${EDGE[6]}`);
    // answers have a way of their own
    cable('n2', 'eth1', ['192.168.6.1/24', 'fd96::1/64'], 'out', 'eth1', ['192.168.6.2/24', 'fd96::2/64']);
    attach('n2', world.n2.lab, 'eth1', 'from_netdev', 'ingress');
    attach('n2', world.n2.lab, 'eth1', 'to_netdev', 'egress');
    ip('n2', 'route add 192.168.8.0/24 via 192.168.6.2');
    ip('n2', '-6 route add fd98::/64 via fd96::2');
    for (const n of [4, 5]) {
      addPod(world.n2, `c${n}`, n, 1003);
      for (const { lab } of [world.n1, world.n2])
        for (const f of [4, 6] as const) lab.ipcache(`${POD[f]}${n}/${f === 4 ? 32 : 128}`, 1003, endOf(2));
    }
    // neighbours are known before anybody counts the time
    for (const [name, to] of [
      ['n2', '192.168.6.2'],
      ['n2', 'fd96::2'],
      ['out', EDGE[4]],
      ['out', EDGE[6]],
      ['n1', '192.168.9.2'],
      ['n1', 'fd99::2'],
    ] as const)
      expect([to, tryIn(name, `ping -c1 -w5 ${to}`).ok]).toEqual([to, true]);
    out = await createMan('', ns('out'));
    men.push(out);
    for (const [name, n] of [
      ['c', 3],
      ['c4', 4],
      ['c5', 5],
    ] as const) {
      const man = await createMan('', ns(name));
      men.push(man);
      expect(await man.witness(name, PORT, [POD[4] + n, POD[6] + n])).toEqual({ port: PORT });
    }
  });
  afterAll(async () => {
    for (const m of men) await m.stop();
    for (const n of [4, 5]) sh(`ip netns del ${ns(`c${n}`)} 2>/dev/null || true`);
    world?.close();
  });
  beforeEach(() => {
    for (const { lab } of [world.n1, world.n2]) {
      clear(lab, 'lb_frontend', 'lb_slot', 'nat4', 'nat6');
      lab.policy(1003, 0);
      lab.bump();
      lab.events();
    }
  });

  describe.each([4, 6] as const)('IPv%i', (f) => {
    test.each([
      ['load balancer', LbFlag.loadBalancer, VIP[f], 80],
      ['node port', LbFlag.nodePort, EDGE[f], NODE_PORT],
    ] as const)('%s: the pod sees the client, the client the frontend, the first node no answer', async (kind, flag, to, port) => {
      publish(world, { f, port, flags: flag | LbFlag.dsr, ...(kind === 'node port' ? { address: ANY[f] } : {}) });
      if (kind === 'node port') for (const { lab } of [world.n2]) lab.ipcache(`${EDGE[f]}/${f === 4 ? 32 : 128}`, 6, endOf(1));
      const wanted = { text: `c ${CLIENT[f]}`, from: `${to} ${port}` };
      expect(await out.question(to, port)).toEqual(wanted);
      expect(await out.datagram(to, port)).toEqual(wanted);
      expect(rows(world.n1.lab, f).filter((r) => r.flags & dp.NatFlag.reply)).toEqual([]);
      expect(rows(world.n2.lab, f).map((r) => r.flags & (dp.NatFlag.reply | dp.NatFlag.src))).toEqual(
        [3, 3].map(() => dp.NatFlag.reply | dp.NatFlag.src),
      );
    });

    test('policy of the pod sees the client and its block', async () => {
      const { lab } = world.n2;
      publish(world, { f });
      lab.ipcache(f === 4 ? '192.168.8.0/24' : 'fd98::/64', 0x0100_0007);
      lab.policy(1003, dp.SubjectFlag.denyIngress, [{ direction: 'ingress', peer: 0x0100_0007, proto: PROTO.tcp, port: PORT }]);
      lab.bump();
      expect(await out.question(VIP[f], 80)).toMatchObject({ text: `c ${CLIENT[f]}` });
      expect(await out.datagram(VIP[f], 80)).toEqual({ error: 'silence' });
      expect(lab.events().find((e) => e.reason === Drop.policy)).toMatchObject({ srcIdentity: 0x0100_0007, dport: PORT });
    });

    test('one client port at two addresses of one backend: datagrams have their answers, a connection is told at once', async () => {
      publish(world, { f });
      publish(world, { f, address: ANY[f], port: NODE_PORT, flags: LbFlag.nodePort | LbFlag.dsr });
      world.n2.lab.ipcache(`${EDGE[f]}/${f === 4 ? 32 : 128}`, 6, endOf(1));
      const fronts = [
        [VIP[f], 80],
        [EDGE[f], NODE_PORT],
      ] as const;
      // the first one may teach the sender how long the path is
      await Promise.all(fronts.map(([to, port]) => out.datagram(to, port, { size: 4000 })));
      for (const size of [110, 1300, 4000])
        for (let round = 0; round < 3; round++)
          for (const [to, port] of fronts)
            expect(await out.datagram(to, port, { from: 4711, size })).toEqual({ text: String(size), from: `${to} ${port}` });
      const [[to, port], [other, otherPort]] = fronts;
      expect(await out.dial('first', to, port, 4712)).toEqual({ text: 'connected' });
      // to a socket that is still in connect() the kernel does not tell it: with the next SYN then
      expect(await out.dial('second', other, otherPort, 4712)).toEqual({ error: 'ECONNREFUSED' });
      expect(await out.say('first')).toEqual({ text: `c ${CLIENT[f]}` });
      expect(await out.question(other, otherPort, 4713)).toMatchObject({ from: `${other} ${otherPort}` });
      await out.hang('first');
      await eventually(() => rows(world.n2.lab, f).some((r) => r.dport === 4712 && r.flags & dp.NatFlag.closing));
      expect(await out.question(other, otherPort, 4712)).toMatchObject({ from: `${other} ${otherPort}` });
    });

    // real VLAN devices are in vlan.guest.ts; here what a tag takes away is taken from the devices between the nodes
    test.each([
      ['no', 0],
      ['VLAN', 4],
    ] as const)(
      'L3-a: packets of 1400-1500 bytes × option and SNAT × %s header: delivered or answered by ICMP, never silent',
      async (_link, tag) => {
        underlay(tag);
        for (const dsr of [LbFlag.dsr, 0]) {
          publish(world, { f, flags: LbFlag.loadBalancer | dsr });
          const limit = pathMtu - tag - (dsr ? OPTION[f] : 0);
          for (const length of new Set([1400, limit - 1, limit, limit + 1, 1450, 1499, 1500])) {
            if (length > 1500) continue;
            const size = length - HEAD[f];
            const first = await out.probe(VIP[f], 80, size);
            expect([dsr, length, first]).toEqual([dsr, length, length > limit ? { error: 'EMSGSIZE' } : { text: String(size) }]);
            // told once, the sender cuts it itself
            if (length > limit) expect([dsr, length, await out.probe(VIP[f], 80, size)]).toEqual([dsr, length, { text: String(size) }]);
            sh(`ip -n ${ns('out')} ${f === 6 ? '-6' : ''} route flush cache`);
          }
        }
        underlay(0);
      },
    );

    test('L3-b: ECMP reshuffle mid-flow gives no reply with a wrong source', async () => {
      publish(world, { f, pods: [3, 4, 5] });
      const ids = Array.from({ length: 12 }, (_, i) => `r${i}`);
      const said = async (id: string): Promise<unknown> => out.say(id);
      for (const id of ids) expect(await out.dial(id, VIP[f], 80)).toEqual({ text: 'connected' });
      const before = await Promise.all(ids.map(said));
      expect(new Set(before.map((a) => (a as { text: string }).text)).size).toBeGreaterThan(1);
      // a node that has never heard of these flows, with the same tables
      clear(world.n1.lab, 'nat4', 'nat6', 'flow4', 'flow6');
      expect(await Promise.all(ids.map(said))).toEqual(before);
      // the backend's node loses what the client knows: silence, not a stranger's answer
      const lost = (): number => world.n2.lab.dropped(Drop.natNoMapping, 0) + world.n2.lab.dropped(Drop.natNoMapping, 1);
      const resets = (): string => tryIn('out', 'nstat -asz TcpOutRsts').out;
      const [was, none] = [lost(), resets()];
      clear(world.n2.lab, 'nat4', 'nat6');
      void said(ids[0]!);
      await eventually(() => lost() > was);
      if (mode !== 0) {
        // nor when nobody remembers anything
        clear(world.n2.lab, 'flow4', 'flow6');
        const now = lost();
        void said(ids[1]!);
        await eventually(() => lost() > now);
      }
      expect(resets()).toBe(none);
      for (const id of ids) await out.hang(id);
    });
  });
});
