// ICMP errors about packets of services, with real stacks: whoever sent the packet recognizes it in the error.
import { type ChildProcess, spawn } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, dp, type Lab } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { createMan, type Man } from './sockets.ts';
import { attach, cable, createWorld, ns, sh, tryIn, type World } from './world.ts';

const { LbFlag } = dp;
const OPEN = 9000;
const CLOSED = 9;
const BACKEND = { 4: { a: '10.0.1.1', c: '10.0.2.3', n1: '192.168.9.1' }, 6: { a: 'fd00:1::1', c: 'fd00:2::3', n1: 'fd99::1' } } as const;
const VIP = { 4: '203.0.113.7', 6: 'fd20::7' } as const;
const SIZE = 400_000;
type Family = 4 | 6;
type Who = 'a' | 'c' | 'n1';

let last = 900n;
function publish(world: World, f: Family, who: Who | undefined, port: number, flags: number): void {
  const set = ++last;
  const count = who === undefined ? 0 : 1;
  const sets = { setOut: set, setIn: set, countOut: count, countIn: count, maglevSize: 251, serviceId: 5, affinityS: 0 };
  for (const { lab } of [world.n1, world.n2]) {
    if (who !== undefined)
      lab.put(dp.tables.lb_slot, { set, index: 0 }, { addr: IP.table(BACKEND[f][who]), port, family: f, flags: 0, backendId: 1 });
    lab.put(dp.tables.lb_maglev, { set, chunk: 0 }, { slot: new Array<number>(512).fill(0) });
    for (const proto of [PROTO.tcp, PROTO.udp])
      lab.put(
        dp.tables.lb_frontend,
        { addr: IP.table(VIP[f]), port: 80, proto, family: f },
        { ...sets, flags: flags | LbFlag.external | LbFlag.loadBalancer },
      );
    lab.bump();
  }
}
const forget = (lab: Lab): void => {
  for (const name of ['nat4', 'nat6', 'flow4', 'flow6']) for (const [k] of [...lab.map(name).entries()]) lab.map(name).delete(k);
};

/** What a client behind the narrow hop got. */
function received(f: Family): string {
  const script = `let n=0;const s=require("node:net").connect(80,"${VIP[f]}");s.on("data",(d)=>{n+=d.length});s.on("end",()=>{console.log(n);process.exit()});s.on("error",(e)=>{console.log(e.code);process.exit()});setTimeout(()=>{console.log("stuck at "+n);process.exit()},5000)`;
  return tryIn('far', `env NODE_OPTIONS= ${process.execPath} -e '${script}'`).out.trim();
}

describe.each([
  ['tunnel', 4],
  ['native routing', 0],
] as const)('%s', (_name, mode) => {
  let world: World;
  let out: Man;
  const servers: ChildProcess[] = [];

  beforeAll(async () => {
    build();
    world = createWorld(mode);
    const ip = (name: string, args: string): string => sh(`ip -n ${ns(name)} ${args}`);
    // n1 - hop - far: what the hop sends on is short
    for (const name of ['hop', 'far']) {
      sh(`ip netns add ${ns(name)}`);
      ip(name, 'link set lo up');
    }
    for (const s of ['ipv4.ip_forward=1', 'ipv6.conf.all.forwarding=1']) sh(`ip netns exec ${ns('hop')} sysctl -qw net.${s}`);
    cable('n1', 'eth2', ['192.168.4.1/24', 'fd94::1/64'], 'hop', 'eth0', ['192.168.4.2/24', 'fd94::2/64']);
    cable('hop', 'eth1', ['192.168.5.1/24', 'fd95::1/64'], 'far', 'eth0', ['192.168.5.2/24', 'fd95::2/64']);
    ip('hop', 'link set eth1 mtu 1300');
    attach('n1', world.n1.lab, 'eth2', 'from_netdev', 'ingress');
    attach('n1', world.n1.lab, 'eth2', 'to_netdev', 'egress');
    for (const x of ['192.168.4.1', 'fd94::1']) world.n1.lab.host(x);
    for (const [v, far, hop, n1, near] of [
      ['', '192.168.5.0/24', '192.168.4.2', '192.168.4.1', '192.168.5.1'],
      ['-6', 'fd95::/64', 'fd94::2', 'fd94::1', 'fd95::1'],
    ] as const) {
      ip('n1', `${v} route add ${far} via ${hop}`);
      ip('n2', `${v} route add ${far} via ${v === '' ? '192.168.9.1' : 'fd99::1'}`);
      ip('hop', `${v} route add default via ${n1}`);
      ip('far', `${v} route add default via ${near}`);
      ip('n2', `${v} route add ${v === '' ? '192.168.8.0/24 via 192.168.9.1' : 'fd98::/64 via fd99::1'}`);
      ip('out', `${v} route add ${v === '' ? '203.0.113.0/24 via 192.168.8.1' : 'fd20::/64 via fd98::1'}`);
    }
    const serve = `require("node:net").createServer((s)=>{s.on("error",()=>{});s.end(Buffer.alloc(${SIZE}))}).listen({host:"::",port:${OPEN}},()=>console.log("up"))`;
    for (const n of ['a', 'c', 'n1']) {
      const server = spawn('ip', ['netns', 'exec', ns(n), process.execPath, '-e', serve], {
        env: { ...process.env, NODE_OPTIONS: '' },
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      servers.push(server);
      await new Promise((ready) => server.stdout.once('data', ready));
    }
    for (const [name, to] of [
      ['far', '192.168.4.1'],
      ['far', 'fd94::1'],
      ['out', '192.168.8.1'],
      ['out', 'fd98::1'],
      ['n1', '192.168.9.2'],
      ['n1', 'fd99::2'],
    ] as const)
      expect([to, tryIn(name, `ping -c1 -w5 ${to}`).ok]).toEqual([to, true]);
    out = await createMan('', ns('out'));
  });
  afterAll(async () => {
    for (const s of servers) s.kill('SIGKILL');
    await out?.stop();
    for (const n of ['hop', 'far']) sh(`ip netns del ${ns(n)} 2>/dev/null || true`);
    world?.close();
  });
  beforeEach(() => {
    for (const { lab } of [world.n1, world.n2]) forget(lab);
  });

  const backends: readonly (readonly [string, Who, number])[] = [
    ['a pod here', 'a', 0],
    ['a pod of another node, SNAT', 'c', 0],
    ['a pod of another node, DSR', 'c', LbFlag.dsr],
    ['a program of the node', 'n1', 0],
  ];

  describe.each([4, 6] as const)('IPv%i', (f) => {
    test.each(backends)('%s: a closed port tells the client', async (_what, who, flags) => {
      publish(world, f, who, CLOSED, flags);
      expect(await out.probe(VIP[f], 80, 100)).toEqual({ error: 'ECONNREFUSED' });
    });

    test.each(backends)('%s: a stream finds the size that passes a narrow hop', (_what, who, flags) => {
      publish(world, f, who, OPEN, flags);
      expect(received(f)).toBe(String(SIZE));
    });

    test('answers out of another node find the size that this node can send', () => {
      const narrow = (dev: string, name: string, mtu: number): void => void sh(`ip -n ${ns(name)} link set ${dev} mtu ${mtu}`);
      publish(world, f, 'c', OPEN, 0);
      narrow('eth1', 'hop', 1500);
      narrow('eth2', 'n1', 1320);
      expect(received(f)).toBe(String(SIZE));
      narrow('eth2', 'n1', 1500);
      narrow('eth1', 'hop', 1300);
    });

    test('nobody serves it: the client is refused, by TCP and by UDP, unless silence is wanted', async () => {
      publish(world, f, undefined, OPEN, LbFlag.reject);
      // at once, or by the second SYN: an error that comes while connect() still runs is a soft one
      expect(await out.dial('x', VIP[f], 80)).toEqual({ error: 'ECONNREFUSED' });
      expect(await out.probe(VIP[f], 80, 1200)).toEqual({ error: 'ECONNREFUSED' });
      publish(world, f, undefined, OPEN, LbFlag.reject | LbFlag.outLocal);
      expect(await out.probe(VIP[f], 80, 100)).toEqual({ error: 'silence' });
    });

    test('clients of other ranges are dropped, and an event says what they asked for', async () => {
      const { lab } = world.n1;
      publish(world, f, 'a', OPEN, LbFlag.sourceRanges);
      lab.events();
      expect(await out.probe(VIP[f], 80, 100)).toEqual({ error: 'silence' });
      expect(lab.events().find((e) => e.reason === dp.Drop.sourceRange)).toMatchObject({ dport: 80, family: f });
    });
  });

  test('the stacks saw no bad checksum', () => {
    for (const name of ['out', 'far', 'a', 'c', 'n1']) {
      const { out: text } = tryIn(name, 'nstat -asz IcmpInCsumErrors Icmp6InCsumErrors TcpInCsumErrors');
      expect([name, ...[...text.matchAll(/CsumErrors\s+(\d+)/g)].map((m) => m[1])]).toEqual([name, '0', '0', '0']);
    }
  });
});
