// Clients outside at the driver: every way a packet can go, packet by packet.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { bpf, build, dp } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { icmpError, mac, type PacketSpec, packet, parse, sum16, TCP } from './packet.ts';
import { createXdpNode, FAMILIES, type Family, MAC, opening, PLACE, seen, told, type XdpNode } from './xdp-world.ts';

const { drop: DROP, pass: PASS, tx: TX, redirect: REDIRECT } = bpf.XdpVerdict;
const { LbFlag } = dp;
const SHARED = LbFlag.external | LbFlag.loadBalancer;
let node: XdpNode;

beforeAll(() => {
  build();
  node = createXdpNode();
});
afterAll(() => node?.close());
beforeEach(() => {
  node.configure();
  node.lab.events();
});
afterEach(() => node.clear());

const KINDS = FAMILIES.flatMap((f) => [[f, 'TCP', PROTO.tcp] as const, [f, 'UDP', PROTO.udp] as const]);
const natRow = (f: Family, sport: number): dp.NatValue | undefined => {
  const codec = f === 4 ? dp.flow4Key : dp.flow6Key;
  const found = [...node.lab.map(f === 4 ? 'nat4' : 'nat6').entries()].find(([k]) => codec.decode(k).sport === sport);
  return found && dp.natValue.decode(found[1]);
};
/** Sends the packet and wants it back as it was. */
const untouched = (frame: Buffer, ifindex?: number): void => {
  const r = node.run(frame, ifindex);
  expect(r.verdict).toBe(PASS);
  expect(r.packet.equals(frame)).toBe(true);
};

describe.each(KINDS)('IPv%i %s', (f, _name, proto) => {
  const p = PLACE[f];
  const flags = proto === PROTO.tcp ? TCP.syn : undefined;
  const first = (sport: number, s: Partial<PacketSpec> = {}): Buffer => opening(f, {}, { proto, sport, ...(flags ? { flags } : {}), ...s });
  const later = (sport: number, s: Partial<PacketSpec> = {}): Buffer => first(sport, { flags: TCP.ack, ...s });
  const answer = (backend: string, to: ReturnType<typeof seen>): Buffer =>
    packet({ src: backend, dst: p.router, proto, sport: 8080, dport: to.sport, flags: TCP.syn | TCP.ack, srcMac: '02:00:00:00:0f:33' });

  test('to a node on the same device and back', () => {
    node.put({ vip: p.vip, port: 80, proto, backends: [[p.nearPod, 8080]] });
    const sport = node.freshPort();
    const there = node.run(first(sport));
    expect(there.verdict).toBe(TX);
    const out = seen(there.packet);
    expect(out).toMatchObject({ src: told(p.router), dst: told(p.nearPod), dport: 8080, ttl: 63, dstMac: MAC.near, sumsRight: true });
    expect(out.sport).toBeGreaterThanOrEqual(1024);
    expect(out.sport < 30_000 || out.sport > 32_767).toBe(true);
    const back = node.run(answer(p.nearPod, out));
    expect(back.verdict).toBe(TX);
    expect(seen(back.packet)).toMatchObject({
      src: told(p.vip),
      sport: 80,
      dst: told(p.client),
      dport: sport,
      ttl: 63,
      dstMac: MAC.gateway,
      sumsRight: true,
    });
    const again = node.run(later(sport));
    expect(again.verdict).toBe(TX);
    expect(seen(again.packet)).toMatchObject({ sport: out.sport, dst: told(p.nearPod), sumsRight: true });
  });

  test('to a node behind another device', () => {
    node.put({ vip: p.vip, port: 80, proto, backends: [[p.farPod, 8080]] });
    const there = node.run(first(node.freshPort()));
    expect(there.verdict).toBe(REDIRECT);
    expect(seen(there.packet)).toMatchObject({ src: told(p.router), dst: told(p.farPod), dstMac: MAC.far, sumsRight: true });
    const back = node.run(answer(p.farPod, seen(there.packet)), node.device.down);
    expect(back.verdict).toBe(REDIRECT);
    expect(seen(back.packet)).toMatchObject({ src: told(p.vip), dst: told(p.client), dstMac: MAC.gateway, sumsRight: true });
  });

  test('a device that takes no frames from here is left to tc', () => {
    node.put({ vip: p.vip, port: 80, proto, backends: [[p.farPod, 8080]] });
    node.forbid(node.device.down);
    try {
      untouched(first(node.freshPort()));
    } finally {
      node.allow(node.device.down);
    }
  });

  test('a NodePort on an address of this node', () => {
    node.put({
      vip: f === 4 ? '0.0.0.0' : '::',
      port: 30_080,
      proto,
      backends: [[p.nearPod, 8080]],
      flags: LbFlag.external | LbFlag.nodePort,
    });
    const r = node.run(opening(f, { vip: p.node, port: 30_080 }, { proto, sport: node.freshPort() }));
    expect(r.verdict).toBe(TX);
    expect(seen(r.packet)).toMatchObject({ src: told(p.router), dst: told(p.nearPod), dport: 8080, sumsRight: true });
    untouched(opening(f, { vip: p.near, port: 30_080 }, { proto, sport: node.freshPort() }));
  });

  test('IP in IP: whole, from the node’s address to the backend’s', () => {
    node.configure(dp.NodeFlag.balancer | dp.NodeFlag.dsrIpip);
    node.put({ vip: p.vip, port: 80, proto, backends: [[p.near, 80]], flags: SHARED | LbFlag.dsr });
    const frame = first(node.freshPort(), { ttl: 20 });
    const { verdict, packet: out } = node.run(frame);
    expect(verdict).toBe(TX);
    const room = f === 4 ? 20 : 40;
    expect(out.length).toBe(frame.length + room);
    expect(out.toString('hex', 0, 6)).toBe(MAC.near);
    expect(out.readUInt16BE(12)).toBe(f === 4 ? 0x0800 : 0x86dd);
    const outer = out.subarray(14, 14 + room);
    if (f === 4) {
      expect([outer[9], sum16([outer]), outer.readUInt16BE(2)]).toEqual([4, 0, out.length - 14]);
      expect([IP.text(outer.subarray(12, 16)), IP.text(outer.subarray(16, 20))]).toEqual([p.node, p.near]);
      expect(outer.readUInt16BE(6)).toBe(0x4000);
    } else {
      expect([outer[6], outer.readUInt16BE(4)]).toEqual([41, out.length - 54]);
      expect([IP.text(outer.subarray(8, 24)), IP.text(outer.subarray(24, 40))]).toEqual([told(p.node), told(p.near)]);
    }
    const inner = seen(Buffer.concat([frame.subarray(0, 14), out.subarray(14 + room)]));
    expect(inner).toMatchObject({ src: told(p.client), dst: told(p.vip), dport: 80, ttl: 19, sumsRight: true });
    // the longest that fits, and the first that does not: tc answers that one
    const sized = (n: number): Buffer => {
      const empty = first(2999, { payload: Buffer.alloc(0) });
      return first(2999, { payload: Buffer.alloc(n - (empty.length - 14)) });
    };
    expect(node.run(sized(1500 - room)).verdict).toBe(TX);
    untouched(sized(1501 - room));
  });

  test('DSR: the address the client knows travels with datagrams and SYNs', () => {
    node.put({ vip: p.vip, port: 80, proto, backends: [[p.nearPod, 8080]], flags: SHARED | LbFlag.dsr });
    const sport = node.freshPort();
    const frame = first(sport);
    const { verdict, packet: out } = node.run(frame);
    expect(verdict).toBe(TX);
    const [head, room] = f === 4 ? [34, 8] : [54, 24];
    expect(out.length).toBe(frame.length + room);
    const option = out.subarray(head, head + room);
    const address = Buffer.from([...[0, 80], ...(f === 4 ? [] : [0, 0]), ...IP(p.vip)]);
    expect(option.toString('hex')).toBe(
      Buffer.concat([f === 4 ? Buffer.from([0x9a, 8]) : Buffer.from([proto, 2, 0x1b, 20]), address]).toString('hex'),
    );
    if (f === 4) expect([out[14], sum16([out.subarray(14, 42)]), out.readUInt16BE(16)]).toEqual([0x47, 0, out.length - 14]);
    else expect([out[20], out.readUInt16BE(18)]).toEqual([60, out.length - 54]);
    // without the option it is the client's packet to the backend
    const plain = Buffer.concat([out.subarray(0, head), out.subarray(head + room)]);
    if (f === 4) {
      plain[14] = 0x45;
      plain.writeUInt16BE(plain.length - 14, 16);
      plain.writeUInt16BE(0, 24);
      plain.writeUInt16BE(sum16([plain.subarray(14, 34)]), 24);
    } else {
      plain[20] = proto;
      plain.writeUInt16BE(plain.length - 54, 18);
    }
    const expected = { src: told(p.client), sport, dst: told(p.nearPod), dport: 8080, ttl: 63, dstMac: MAC.near, sumsRight: true };
    expect(seen(plain)).toEqual(expected);
    const next = node.run(later(sport));
    expect(next.verdict).toBe(TX);
    if (proto === PROTO.tcp) expect(seen(next.packet)).toEqual(expected);
    else expect(next.packet.length).toBe(frame.length + room);
  });

  test('what tc has to do goes up as it came', () => {
    const put = (backend: string, more = {}): void => node.put({ vip: p.vip, port: 80, proto, backends: [[backend, 8080]], ...more });
    put(p.local);
    untouched(first(node.freshPort())); // a pod of this node
    node.clear();
    put(p.nearPod);
    node.configure(dp.NodeFlag.tunnel);
    untouched(first(node.freshPort()));
    node.configure();
    node.clear();
    put(p.silent);
    untouched(first(node.freshPort())); // no neighbour yet
    node.clear();
    put(p.nearPod);
    untouched(first(node.freshPort(), { ttl: 1 }));
    untouched(first(node.freshPort(), { dstMac: '01:00:5e:00:00:01' }));
    untouched(first(node.freshPort(), { frag: { id: 9, offset: 0, more: true } }));
    untouched(first(node.freshPort(), { extensions: 1, ...(f === 4 ? { frag: { id: 9, offset: 0, more: true } } : {}) }));
    untouched(first(node.freshPort(), { src: p.farPod })); // a client of the cluster
    untouched(first(node.freshPort(), { src: p.far }));
    untouched(first(node.freshPort(), { src: p.local }));
    untouched(first(node.freshPort()).subarray(0, f === 4 ? 40 : 60)); // cut short
    untouched(opening(f, { port: 81 }, { proto, sport: node.freshPort() })); // no service
    untouched(icmpError(p.gateway, p.router, first(node.freshPort())));
    if (proto === PROTO.tcp) untouched(first(node.freshPort(), { proto: PROTO.sctp }));
    const tagged = first(node.freshPort());
    untouched(Buffer.concat([tagged.subarray(0, 12), Buffer.from('81000005', 'hex'), tagged.subarray(12)]));
    // a way that takes less
    node.clear();
    put(p.narrow);
    const sport = node.freshPort();
    expect(node.run(first(sport)).verdict).toBe(TX);
    expect(node.run(later(sport, { payload: Buffer.alloc(1200) })).verdict).toBe(TX);
    untouched(later(sport, { payload: Buffer.alloc(1300) }));
    node.clear();
    put(p.nearPod);
    node.configure(0, { pathMtu: 1200 });
    const other = node.freshPort();
    const there = seen(node.run(first(other)).packet);
    untouched(later(other, { payload: Buffer.alloc(1250) }));
    const back = packet({
      src: p.nearPod,
      dst: p.router,
      proto,
      sport: 8080,
      dport: there.sport,
      flags: TCP.ack,
      payload: Buffer.alloc(1250),
    });
    expect(node.run(back).verdict).toBe(TX);
  });

  test('refused: counted and told as tc does', () => {
    const refused = (frame: Buffer, reason: number): void => {
      const before = node.lab.dropped(reason, 0);
      expect(node.run(frame).verdict).toBe(DROP);
      expect(node.lab.dropped(reason, 0)).toBe(before + 1);
      const event = node.lab.events().at(-1)!;
      expect(event).toMatchObject({
        type: dp.EventType.drop,
        reason,
        direction: 0,
        hook: dp.Hook.fromNetdev,
        length: frame.length,
        proto,
        ifindex: node.device.up,
      });
      expect([event.saddr, event.daddr]).toEqual([new Uint8Array(IP.table(p.client)), new Uint8Array(IP.table(p.vip))]);
    };
    const put = (more: object): void => node.put({ vip: p.vip, port: 80, proto, backends: [[p.nearPod, 8080]], id: 9, ...more });
    put({ flags: SHARED | LbFlag.sourceRanges });
    refused(first(node.freshPort()), 177);
    node.source(9, f === 4 ? '203.0.113.0/24' : '2001:db8::/64');
    expect(node.run(first(node.freshPort())).verdict).toBe(TX);
    put({ flags: SHARED | LbFlag.sourceRanges | LbFlag.sourceRangesDeny });
    refused(first(node.freshPort()), 177);
    put({ flags: SHARED, backends: [] });
    refused(first(node.freshPort()), 158);
    put({ flags: SHARED | LbFlag.reject, backends: [] });
    untouched(first(node.freshPort())); // tc answers
    put({ flags: SHARED | LbFlag.outLocal, backends: [[p.nearPod, 8080]] });
    refused(first(node.freshPort()), 158); // never another node's
    put({ flags: 0 });
    untouched(first(node.freshPort())); // a ClusterIP
    node.put({ vip: p.vip, port: 0, proto: 0, backends: [], flags: SHARED | LbFlag.blackhole });
    refused(opening(f, { port: 81 }, { proto, sport: node.freshPort() }), 158);
  });

  test('a change of the service: the flow stays while its backend serves', () => {
    const put = (set: bigint, backends: readonly (readonly [string, number])[], more = {}): void =>
      node.put({ vip: p.vip, port: 80, proto, set, backends, ...more });
    put(1n, [[p.nearPod, 8080]]);
    const sport = node.freshPort();
    const before = seen(node.run(first(sport)).packet);
    expect(seen(node.run(later(sport)).packet)).toEqual(before);
    put(2n, [[p.farPod, 8080]], { draining: [[p.nearPod, 8080]] });
    // slots know a backend by its number
    node.lab.put(dp.tables.lb_slot, { set: 2n, index: 1 }, { addr: IP.table(p.nearPod), port: 8080, family: f, flags: 0, backendId: 100 });
    node.change();
    expect(seen(node.run(later(sport)).packet)).toMatchObject({ dst: told(p.nearPod), sport: before.sport });
    expect(seen(node.run(first(node.freshPort())).packet)).toMatchObject({ dst: told(p.farPod) });
    put(3n, [[p.farPod, 8081]]);
    node.change();
    expect(seen(node.run(later(sport)).packet)).toMatchObject({ dst: told(proto === PROTO.tcp ? p.nearPod : p.farPod) });
    for (const [key] of [...node.lab.map('lb_frontend').entries()]) node.lab.map('lb_frontend').delete(key);
    node.change();
    untouched(later(sport)); // nobody's any more
  });

  test('affinity', () => {
    const backends = [[p.nearPod, 8080], [p.nearPod, 8081], [p.nearPod, 8082], [p.nearPod, 8083]] as const; // biome-ignore format: a table
    node.put({ vip: p.vip, port: 80, proto, backends, affinity: 60 });
    const ports = new Set(Array.from({ length: 20 }, () => seen(node.run(first(node.freshPort())).packet).dport));
    expect(ports.size).toBe(1);
    node.put({ vip: p.vip, port: 80, proto, backends });
    node.change();
    const spread = new Set(Array.from({ length: 60 }, () => seen(node.run(first(node.freshPort())).packet).dport));
    expect(spread.size).toBe(4);
  });

  test('the next hop is asked again after a second', async () => {
    node.put({ vip: p.vip, port: 80, proto, backends: [[p.nearPod, 8080]] });
    const sport = node.freshPort();
    expect(seen(node.run(first(sport)).packet).dstMac).toBe(MAC.near);
    const moved = '020000000f44';
    node.ip(`neigh replace ${p.near} lladdr 02:00:00:00:0f:44 nud permanent dev up0`);
    try {
      expect(seen(node.run(later(sport)).packet).dstMac).toBe(MAC.near);
      const start = performance.now();
      while (seen(node.run(later(sport)).packet).dstMac !== moved) {
        expect(performance.now() - start).toBeLessThan(3000);
        await new Promise((r) => setTimeout(r, 20));
      }
      expect(natRow(f, sport)).toMatchObject({ ifindexOut: node.device.up, mtu: 1500, dmac: new Uint8Array(mac('02:00:00:00:0f:44')) });
    } finally {
      node.ip(`neigh replace ${p.near} lladdr 02:00:00:00:0f:33 nud permanent dev up0`);
    }
  });
});

test('a datagram without a checksum keeps none, and none becomes zero', () => {
  const p = PLACE[4];
  node.put({ vip: p.vip, port: 80, proto: PROTO.udp, backends: [[p.nearPod, 8080]] });
  const bare = opening(4, {}, { proto: PROTO.udp, sport: node.freshPort() });
  bare.writeUInt16BE(0, 40);
  const r = node.run(bare);
  expect(r.verdict).toBe(TX);
  expect(r.packet.readUInt16BE(40)).toBe(0);
  // every sum a datagram can have: the two bytes at the end decide it
  const sport = node.freshPort();
  node.run(opening(4, {}, { proto: PROTO.udp, sport }));
  for (let n = 0; n < 65536; n += 1) {
    const payload = Buffer.from([n >> 8, n & 255]);
    if (n % 257 !== 0 && n % 251 !== 0) continue;
    const out = parse(node.run(opening(4, {}, { proto: PROTO.udp, sport, payload })).packet);
    expect(out.l4.readUInt16BE(6)).not.toBe(0);
    expect(out.sumsRight).toBe(true);
  }
});

test('Maglev picks what the written vectors say', async () => {
  const { default: vectors } = await import('../../packages/engines/service/test/lookup-vectors.json', { with: { type: 'json' } });
  const size = 16381;
  // every entry is a backend of its own where that matters: entry h leads to slot h % 4096, seen in the port
  const table = Array.from({ length: size }, (_, h) => h % 4096);
  const backends = Array.from({ length: 4096 }, (_, i) => [PLACE[4].nearPod, 10_000 + i] as const);
  const six = backends.map(([, port]) => [PLACE[6].nearPod, port] as const);
  const protocols: Readonly<Record<string, number>> = { TCP: PROTO.tcp, UDP: PROTO.udp };
  for (const proto of [PROTO.tcp, PROTO.udp]) {
    node.put({ vip: PLACE[4].vip, port: 80, proto, set: 4n, backends, maglev: table });
    node.put({ vip: PLACE[6].vip, port: 80, proto, set: 6n, backends: six, maglev: table });
  }
  let looked = 0;
  for (const v of vectors.flows) {
    const proto = protocols[v.protocol];
    const f = v.client.includes(':') ? 6 : 4;
    if (proto === undefined || v.clientPort === 0 || /^(0\.|::$|127\.)/.test(v.client)) continue;
    const r = node.run(opening(f, {}, { proto, src: v.client, sport: v.clientPort }));
    if (r.verdict === PASS) continue; // an address of this cluster's nodes, or nobody's
    expect(seen(r.packet).dport).toBe(10_000 + (v.slot16381 % 4096));
    looked++;
  }
  expect(looked).toBeGreaterThan(5);
});
