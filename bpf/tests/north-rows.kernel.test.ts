// What becomes of a client's tuple, packet by packet: scopes, source ranges, backends by Maglev, affinity and lot, what is dropped, the
// lives of rows. From clients outside to a node with two pods here, one elsewhere.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, dp, type Lab, netlink, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { type PacketSpec, packet, parse, TCP } from './packet.ts';
import { A, ADDRESS, B, createPods, DENY, echo, FAMILIES, type Family, freshPort, icmpProto, open } from './pods.ts';
import { createUplink } from './uplink.ts';
import { sh } from './world.ts';

const { LbFlag, Drop } = dp;
const NETNS = `axd-north-${process.pid}`;
const CONFIG = {
  nodeIp4: IP(ADDRESS[4].node),
  nodeIp6: IP(ADDRESS[6].node),
  routerIp4: IP(ADDRESS[4].router),
  routerIp6: IP(ADDRESS[6].router),
  flags: dp.NodeFlag.tunnel,
  ifindexVxlan: 1,
};
const VIP = { 4: '203.0.113.7', 6: 'fd20::7' } as const;
const CLIENT = { 4: '198.51.100.5', 6: '2001:db8:1::5' } as const;
const ANY = { 4: '0.0.0.0', 6: '::' } as const;
let lab: Lab;
let uplink = 0;

beforeAll(() => {
  build();
  uplink = createUplink(NETNS).ifindex;
  lab = createPods();
});
afterAll(() => {
  lab.close();
  sh(`ip netns del ${NETNS}`);
});
beforeEach(() => {
  lab.config(CONFIG);
  for (const name of ['lb_frontend', 'lb_slot', 'lb_source', 'lb_maglev', 'lb_affinity', 'nat4', 'nat6'])
    for (const [key] of [...lab.map(name).entries()]) lab.map(name).delete(key);
  open(lab);
  lab.events();
});

interface Spec {
  readonly address?: string;
  readonly port?: number;
  readonly proto?: number;
  readonly flags?: number;
  readonly out?: readonly (readonly [string, number])[];
  readonly in?: readonly (readonly [string, number])[];
  readonly maglevSize?: number;
  readonly affinityS?: number;
  /** Slots behind the count. */
  readonly drains?: readonly (readonly [string, number])[];
}
let set = 1000n;
function front(f: Family, s: Spec): void {
  const out = s.out ?? [];
  const sets = [++set, ++set] as const;
  for (const [i, list] of [[...out, ...(s.drains ?? [])], s.in ?? []].entries())
    for (const [index, [ip, port]] of list.entries())
      lab.put(dp.tables.lb_slot, { set: sets[i]!, index }, { addr: IP.table(ip), port, family: f, flags: 0, backendId: port });
  lab.put(
    dp.tables.lb_frontend,
    { addr: IP.table(s.address ?? VIP[f]), port: s.port ?? 80, proto: s.proto ?? PROTO.tcp, family: f },
    {
      ...{ setOut: sets[0], setIn: sets[1], countOut: out.length, countIn: s.in?.length ?? 0 },
      ...{
        maglevSize: s.maglevSize ?? 0,
        serviceId: 5,
        affinityS: s.affinityS ?? 0,
        flags: s.flags ?? LbFlag.loadBalancer | LbFlag.external,
      },
    },
  );
  lab.bump();
}

const inside = <T>(fn: () => T): T => netlink.inNetns(netlink.netnsPath(NETNS), fn);
/** What becomes of a packet from outside: `dst dport` it goes on with and `src sport` it bears, or the reason for its end. */
function sent(f: Family, s: Partial<PacketSpec> = {}, program = 'from_netdev', ifindex = uplink): string | number | undefined {
  const frame = packet({ src: CLIENT[f], dst: VIP[f], sport: freshPort(), dport: 80, flags: TCP.syn, payload: Buffer.alloc(60), ...s });
  const r = inside(() => lab.run(program, frame, ifindex));
  if (r.verdict === VERDICT.drop) return lab.events().at(-1)?.reason;
  lab.events();
  const p = parse(r.packet);
  expect(p.sumsRight).toBe(true);
  return r.packet.equals(frame) ? undefined : `${p.dst} ${p.dport}`;
}
const hex = (ip: string): string => IP.text(IP(ip));
const rows = (f: Family): dp.NatValue[] => [...lab.map(f === 4 ? 'nat4' : 'nat6').entries()].map(([, v]) => dp.natValue.decode(v));
function age(f: Family, expires: number): void {
  const table = lab.map(f === 4 ? 'nat4' : 'nat6');
  for (const [k, v] of [...table.entries()]) table.update(k, dp.natValue.encode({ ...dp.natValue.decode(v), expires }));
}

describe.each(FAMILIES)('IPv%i', (f) => {
  const at = ADDRESS[f];
  const a = hex(at.a);
  const b = hex(at.b);

  test('who is inside has other backends than who is outside; a plain ClusterIP is for those inside', () => {
    front(f, { out: [[at.a, 1]], in: [[at.b, 2]] });
    expect(sent(f)).toBe(`${a} 1`);
    expect(sent(f, { src: at.a }, 'from_pod', A.ifindex)).toBe(`${b} 2`);
    // a node of the cluster
    expect(sent(f, { src: at.tunnel })).toBe(`${b} 2`);
    front(f, { out: [[at.a, 1]], in: [[at.b, 2]], flags: 0 });
    expect(sent(f)).toBeUndefined();
    expect(sent(f, { src: at.a }, 'from_pod', A.ifindex)).toBe(`${b} 2`);
  });

  test('a pod that writes another address gets nothing translated', () => {
    front(f, { out: [[at.c, 1]], in: [[at.b, 2]] });
    const sport = freshPort();
    expect(sent(f, { sport })).toBe(`${hex(at.c)} 1`);
    for (const src of [CLIENT[f], at.b, at.c]) expect(sent(f, { src, sport }, 'from_pod', A.ifindex)).toBe(Drop.invalidSourceIp);
    // nor can it answer for a backend of another node
    const [there] = rows(f).filter((r) => !(r.flags & dp.NatFlag.reply));
    const forged = { src: at.c, dst: at.router, sport: 1, dport: there!.sport, flags: TCP.ack };
    expect(sent(f, forged, 'from_pod', A.ifindex)).toBe(Drop.invalidSourceIp);
    // nor can somebody outside, where there is a tunnel
    expect(sent(f, forged)).toBeUndefined();
    expect(sent(f, forged, 'from_overlay')).toBe(`${hex(CLIENT[f])} ${sport}`);
  });

  test('source ranges', () => {
    const range = (prefix: string): void => {
      const [ip = '', bits = ''] = prefix.split('/');
      lab.put(dp.tables.lb_source, { prefixlen: 64 + Number(bits), serviceId: 5, family: f, addr: IP.table(ip) }, { allowed: 1 });
    };
    const flags = LbFlag.loadBalancer | LbFlag.external | LbFlag.sourceRanges;
    front(f, { out: [[at.a, 1]], in: [[at.a, 1]], flags });
    range(f === 4 ? '198.51.100.0/24' : '2001:db8:1::/64');
    expect(sent(f)).toBe(`${a} 1`);
    expect(sent(f, { src: at.world })).toBe(Drop.sourceRange);
    expect(lab.dropped(Drop.sourceRange, 0)).toBeGreaterThan(0);
    // the cluster is not outside
    expect(sent(f, { src: at.tunnel })).toBe(`${a} 1`);
    front(f, { out: [[at.a, 1]], in: [[at.a, 1]], flags: flags | LbFlag.sourceRangesDeny });
    expect(sent(f)).toBe(Drop.sourceRange);
    expect(sent(f, { src: at.world })).toBe(`${a} 1`);
    // a connection that stands ends with the range that let it in
    const sport = freshPort();
    expect(sent(f, { src: at.world, sport })).toBe(`${a} 1`);
    front(f, { out: [[at.a, 1]], flags });
    expect(sent(f, { src: at.world, sport, flags: TCP.ack })).toBe(Drop.sourceRange);
  });

  test('no backend, no port, no service', () => {
    expect(sent(f)).toBeUndefined();
    front(f, {});
    expect(sent(f)).toBe(Drop.noServiceBackend);
    expect(sent(f, { dport: 81 })).toBeUndefined();
    front(f, { port: 0, proto: 0, flags: LbFlag.blackhole });
    for (const s of [{ dport: 81 }, { proto: PROTO.udp }, { proto: icmpProto(f), type: echo(f) }]) expect(sent(f, s)).toBe(158);
    const drop = packet({ src: CLIENT[f], dst: VIP[f], dport: 81, flags: TCP.syn });
    inside(() => lab.run('from_netdev', drop, uplink));
    const event = lab.events().at(-1)!;
    expect([IP.text(Buffer.from(event.daddr).subarray(0, f === 4 ? 4 : 16)), event.dport]).toEqual([hex(VIP[f]), 81]);
    // a node port is not on addresses of other nodes, a host port neither
    front(f, { address: ANY[f], port: 30001, out: [[at.a, 1]], flags: LbFlag.nodePort | LbFlag.external });
    expect(sent(f, { dst: at.node, dport: 30001 })).toBe(`${a} 1`);
    expect(sent(f, { dst: at.tunnel, dport: 30001 })).toBeUndefined();
    expect(sent(f, { dst: at.world, dport: 30001 })).toBeUndefined();
  });

  test('without its frontend an address is an address', () => {
    const sport = freshPort();
    front(f, { out: [[at.a, 1]] });
    expect(sent(f, { sport })).toBe(`${a} 1`);
    for (const [key] of [...lab.map('lb_frontend').entries()]) lab.map('lb_frontend').delete(key);
    lab.bump();
    expect(sent(f, { sport, flags: TCP.ack })).toBeUndefined();
    expect(sent(f)).toBeUndefined();
    // but not while the address is services' alone
    front(f, { port: 0, proto: 0, flags: LbFlag.blackhole });
    expect(sent(f, { sport, flags: TCP.ack })).toBe(158);
  });

  test('externalTrafficPolicy Local never passes anything on', () => {
    front(f, { out: [[at.c, 1]], flags: LbFlag.loadBalancer | LbFlag.external | LbFlag.outLocal });
    expect(sent(f)).toBe(158);
    expect(rows(f)).toEqual([]);
  });

  test('no service leads to the tunnel port of a node', () => {
    for (const [to, reason] of [
      [at.tunnel, Drop.encapProhibited],
      [at.node, Drop.encapProhibited],
    ] as const) {
      front(f, { proto: PROTO.udp, out: [[to, 8472]] });
      expect(sent(f, { proto: PROTO.udp })).toBe(reason);
    }
  });

  test('backends that drain keep what they have and get nothing new', () => {
    const [tcp, udp] = [freshPort(), freshPort()];
    for (const proto of [PROTO.tcp, PROTO.udp]) front(f, { proto, out: [[at.a, 1]] });
    expect([sent(f, { sport: tcp }), sent(f, { sport: udp, proto: PROTO.udp })]).toEqual([`${a} 1`, `${a} 1`]);
    for (const proto of [PROTO.tcp, PROTO.udp]) front(f, { proto, out: [[at.b, 2]], drains: [[at.a, 1]] });
    expect(sent(f, { sport: tcp, flags: TCP.ack })).toBe(`${a} 1`);
    expect(sent(f, { sport: udp, proto: PROTO.udp })).toBe(`${a} 1`);
    for (let i = 0; i < 8; i++) expect(sent(f)).toBe(`${b} 2`);
    // gone: TCP stays, UDP moves; a new connection on the old port is a new connection
    for (const proto of [PROTO.tcp, PROTO.udp]) front(f, { proto, out: [[at.b, 2]] });
    expect(sent(f, { sport: tcp, flags: TCP.ack })).toBe(`${a} 1`);
    expect(sent(f, { sport: udp, proto: PROTO.udp })).toBe(`${b} 2`);
    expect(sent(f, { sport: tcp, flags: TCP.syn })).toBe(`${b} 2`);
  });

  test('affinity by the client’s address, until it has been away too long', () => {
    const out = Array.from({ length: 16 }, (_, i) => [at.a, 100 + i] as const);
    const flags = LbFlag.loadBalancer | LbFlag.external | LbFlag.affinity;
    front(f, { out, flags, affinityS: 100 });
    const first = sent(f);
    for (let i = 0; i < 8; i++) expect(sent(f)).toBe(first);
    expect(
      new Set(Array.from({ length: 12 }, (_, i) => sent(f, { src: f === 4 ? `198.51.100.${i}` : `2001:db8:1::${i + 1}0` }))).size,
    ).toBeGreaterThan(1);
    // another set that has the backend keeps it
    front(f, { out: out.toReversed(), flags, affinityS: 100 });
    expect(sent(f)).toBe(first);
    const table = lab.map('lb_affinity');
    for (const [k, v] of [...table.entries()])
      table.update(k, dp.lbAffinityValue.encode({ ...dp.lbAffinityValue.decode(v), lastNs: process.hrtime.bigint() - 101_000_000_000n }));
    const later = new Set<unknown>();
    for (let i = 0; i < 6; i++) {
      for (const [k] of [...table.entries()]) table.delete(k);
      later.add(sent(f));
    }
    expect(later.size).toBeGreaterThan(1);
  });

  test('Maglev: the entry of the table the written vectors name', () => {
    const vectors = JSON.parse(
      readFileSync(new URL('../../packages/engines/service/test/lookup-vectors.json', import.meta.url), 'utf8'),
    ) as { flows: readonly { client: string; clientPort: number; protocol: 'TCP' | 'UDP' | 'SCTP'; hash: number }[] };
    const size = 251;
    const out = Array.from({ length: size }, (_, i) => [at.a, 1000 + i] as const);
    for (const proto of [PROTO.tcp, PROTO.udp]) {
      front(f, { out, proto, maglevSize: size });
      // the table turns the order round, so that nobody mistakes an entry for a slot
      const slot = Array.from({ length: 512 }, (_, i) => (i < size ? size - 1 - i : 0));
      lab.put(dp.tables.lb_maglev, { set: set - 1n, chunk: 0 }, { slot });
    }
    const mine = vectors.flows.filter((v) => v.client.includes(':') === (f === 6) && v.protocol !== 'SCTP');
    expect(mine.length).toBeGreaterThan(6);
    for (const v of mine) {
      const proto = v.protocol === 'TCP' ? PROTO.tcp : PROTO.udp;
      expect([v, sent(f, { src: v.client, sport: v.clientPort, proto })]).toEqual([v, `${a} ${1000 + size - 1 - (v.hash % size)}`]);
    }
  });

  test('a client that comes back on its port after a row has expired is a new one for UDP and goes on for TCP', () => {
    const out = [
      [at.a, 1],
      [at.c, 2],
    ] as const;
    for (const proto of [PROTO.tcp, PROTO.udp]) front(f, { out, proto });
    const sport = freshPort();
    const first = sent(f, { sport });
    age(f, 1);
    for (let i = 0; i < 6; i++) expect(sent(f, { sport, flags: TCP.ack })).toBe(first);
    const seen = new Set<unknown>();
    for (let i = 0; i < 40; i++) {
      seen.add(sent(f, { sport, proto: PROTO.udp }));
      age(f, 1);
    }
    expect(seen.size).toBe(2);
  });

  test('both rows of a flow live as long as one side talks; a reset ends both', () => {
    front(f, { out: [[at.c, 2]] });
    const sport = freshPort();
    sent(f, { sport });
    const lives = (): number[] => rows(f).map((r) => r.expires);
    const [syn] = lives();
    sent(f, { sport, flags: TCP.ack });
    const [one, other] = lives();
    expect(one).toBe(other);
    expect(one! - syn!).toBeGreaterThan(100_000);
    expect(rows(f).every((r) => (r.flags & dp.NatFlag.syn) === 0)).toBe(true);
    sent(f, { sport, flags: TCP.rst });
    expect(rows(f).every((r) => r.expires < syn! && r.flags & dp.NatFlag.closing)).toBe(true);
  });

  test('policy of the pod is asked about the client; established flows are found in the cache', () => {
    front(f, { out: [[at.b, 80]] });
    lab.policy(B.identity, DENY.ingress);
    lab.bump();
    expect(sent(f)).toBe(Drop.policy);
    lab.policy(B.identity, 0);
    lab.bump();
    const sport = freshPort();
    expect(sent(f, { sport })).toBe(`${b} 80`);
    expect(lab.flow(f, sport, 80)).toMatchObject({ ifindexIn: 0xffffffff });
    const reply = packet({ src: at.b, dst: CLIENT[f], sport: 80, dport: sport, flags: TCP.syn | TCP.ack, payload: Buffer.alloc(60) });
    for (let i = 0; i < 2; i++) {
      const r = inside(() => lab.run('from_pod', reply, B.ifindex));
      expect(parse(r.packet)).toMatchObject({ src: hex(VIP[f]), sport: 80, dport: sport, sumsRight: true });
    }
    expect(lab.flow(f, 80, sport)!.flags & dp.FlowFlag.nat).toBe(dp.FlowFlag.nat);
  });
});
