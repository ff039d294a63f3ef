// Random packets through `from_netdev` and `axo_xdp` over the same tables: what XDP does tc would have done, byte for byte.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createDice, type Dice } from './dice.ts';
import { bpf, build, dp, VERDICT } from './kit.ts';
import { PROTO } from './names.ts';
import { parse, TCP } from './packet.ts';
import { createXdpNode, FAMILIES, type Family, opening, PLACE, seen, type XdpNode } from './xdp-world.ts';

const { drop: DROP, pass: PASS } = bpf.XdpVerdict;
const { LbFlag } = dp;
const SHARED = LbFlag.external | LbFlag.loadBalancer | LbFlag.reject;
const ROUNDS = Number(process.env.AXO_PACKETS ?? 400);
const REASONS = [158, 177] as const;
let node: XdpNode;

beforeAll(() => {
  build();
  node = createXdpNode(['xdp', 'netdev']);
});
afterAll(() => node?.close());

const tc = (frame: Buffer, ifindex: number) =>
  node.inside(() => {
    const context = bpf.skBuffContext({ ifindex, ingressIfindex: ifindex });
    const r = node.lab.program('from_netdev').testRun({ packet: frame, context, outSize: frame.length + 256 });
    return { verdict: r.verdict, packet: r.packet };
  });
const drops = (): string => REASONS.map((r) => node.lab.dropped(r, 0)).join();
const forget = (): void => {
  for (const name of ['nat4', 'nat6', 'flow4', 'flow6']) for (const [k] of [...node.lab.map(name).entries()]) node.lab.map(name).delete(k);
};
/** From the IP header on: MACs are tc's at its very end. */
const from3 = (frame: Buffer): string => frame.toString('hex', 14);

function services(f: Family, proto: number): void {
  const p = PLACE[f];
  const table = Array.from({ length: 251 }, (_, i) => (i * 7) % 3);
  const base = { vip: p.vip, proto };
  const three = [[p.nearPod, 8080], [p.farPod, 8081], [p.nearPod, 8082]] as const; // biome-ignore format: a table
  node.put({ ...base, port: 80, set: 1n, id: 1, backends: three, maglev: table, flags: SHARED });
  node.put({ ...base, port: 81, set: 2n, id: 2, backends: [[p.local, 8080]], flags: SHARED });
  node.put({ ...base, port: 82, set: 3n, id: 3, backends: [], flags: SHARED & ~LbFlag.reject });
  node.put({ ...base, port: 83, set: 4n, id: 4, backends: three, maglev: table, flags: SHARED | LbFlag.sourceRanges });
  node.source(4, f === 4 ? '203.0.113.128/25' : '2001:db8::8000/113');
  node.put({ ...base, port: 84, set: 5n, id: 5, backends: three, maglev: table, affinity: 60, flags: SHARED });
  node.put({ ...base, port: 0, proto: 0, set: 6n, id: 6, backends: [], flags: SHARED | LbFlag.blackhole });
  node.put({
    ...base,
    vip: f === 4 ? '0.0.0.0' : '::',
    port: 30_080,
    set: 1n,
    id: 7,
    backends: three,
    maglev: table,
    flags: LbFlag.external | LbFlag.nodePort,
  });
}

function randomPacket(f: Family, proto: number, d: Dice): Buffer {
  const p = PLACE[f];
  const client = f === 4 ? `203.0.113.${d.below(256)}` : `2001:db8::${(d.below(2) * 0x8000 + d.below(255) + 1).toString(16)}`;
  const src = d.of([client, client, client, client, client, p.farPod, p.near, p.local]);
  const [vip, port] = d.of([[p.vip, 80], [p.vip, 80], [p.vip, 81], [p.vip, 82], [p.vip, 83], [p.vip, 84], [p.vip, 85], [p.node, 30_080]] as const); // biome-ignore format: a table
  const flags = proto === PROTO.tcp ? d.of([TCP.syn, TCP.syn, TCP.ack, TCP.ack | TCP.fin, TCP.rst]) : undefined;
  const payload = Buffer.from(Array.from({ length: d.below(40) + 10 }, () => d.below(256)));
  return opening(
    f,
    { vip, port },
    { proto, src, sport: 1 + d.below(65535), ttl: d.of([64, 64, 64, 2, 1]), payload, ...(flags === undefined ? {} : { flags }) },
  );
}

describe.each(FAMILIES.flatMap((f) => [[f, 'TCP', PROTO.tcp] as const, [f, 'UDP', PROTO.udp] as const]))('IPv%i %s', (f, _name, proto) => {
  test.each([1, 2])('seed %i', (seed) => {
    node.clear();
    services(f, proto);
    const d = createDice(seed * 100 + f * 10 + proto);
    const done = { sent: 0, dropped: 0, passed: 0 };
    for (let i = 0; i < ROUNDS / 4; i++) {
      const frame = randomPacket(f, proto, d);
      // alone: the same backend, the same drops
      forget();
      const d0 = drops();
      const x = node.run(frame);
      const d1 = drops();
      forget();
      const t = tc(frame, node.device.up);
      const d2 = drops();
      const changed = (a: string, b: string): number[] => a.split(',').map((n, k) => Number(b.split(',')[k]) - Number(n));
      if (x.verdict === PASS) {
        expect(x.packet.equals(frame)).toBe(true);
        done.passed++;
        continue;
      }
      expect(changed(d1, d2)).toEqual(changed(d0, d1));
      if (x.verdict === DROP) {
        expect(t.verdict).toBe(VERDICT.drop);
        done.dropped++;
        continue;
      }
      done.sent++;
      expect(t.verdict).toBe(VERDICT.redirect);
      const { dst, dport, ttl, src, sumsRight } = seen(x.packet);
      expect(seen(t.packet)).toMatchObject({ dst, dport, ttl, src, sumsRight });
      expect(sumsRight).toBe(true);
      // after the other: the same bytes, there and back. tc has just made the rows.
      const again = node.run(frame);
      expect(from3(again.packet)).toBe(from3(t.packet));
      forget();
      const first = node.run(frame);
      expect(from3(tc(frame, node.device.up).packet)).toBe(from3(first.packet));
      const to = parse(first.packet);
      const back = opening(
        f,
        { vip: PLACE[f].router, port: to.sport },
        {
          proto,
          src: PLACE[f][to.dst === seen(x.packet).dst && to.dport === 8081 ? 'farPod' : 'nearPod'],
          sport: to.dport,
          flags: TCP.ack,
        },
      );
      const [bx, bt] = [node.run(back), tc(back, node.device.up)];
      expect(bt.verdict).toBe(VERDICT.redirect);
      expect([bpf.XdpVerdict.tx, bpf.XdpVerdict.redirect]).toContain(bx.verdict);
      expect(from3(bx.packet)).toBe(from3(bt.packet));
    }
    expect(done.sent).toBeGreaterThan(ROUNDS / 40);
    expect(done.dropped).toBeGreaterThan(ROUNDS / 80);
  });

  test('DSR by option', () => {
    node.clear();
    const p = PLACE[f];
    node.put({ vip: p.vip, port: 80, proto, backends: [[p.nearPod, 8080]], flags: SHARED | LbFlag.dsr });
    const sized = (n: number, sport: number, flags: number): Buffer =>
      opening(f, {}, { proto, sport, payload: Buffer.alloc(n, 'z'), ...(proto === PROTO.tcp ? { flags } : {}) });
    for (let i = 0; i < 10; i++) {
      for (const flags of [TCP.syn, TCP.ack, TCP.ack | TCP.fin]) {
        const frame = sized(i * 100, 7000 + i, flags);
        const both = [() => node.run(frame), () => tc(frame, node.device.up)] as const;
        // now one makes the row, now the other
        const [x, t] = i % 2 ? [both[0](), both[1]()] : [both[1](), both[0]()].toReversed();
        expect([x!.verdict, t!.verdict]).toEqual([bpf.XdpVerdict.tx, VERDICT.redirect]);
        expect(from3(x!.packet)).toBe(from3(t!.packet));
        const option = proto === PROTO.udp || flags === TCP.syn ? (f === 4 ? 8 : 24) : 0;
        expect(x!.packet.length).toBe(frame.length + option);
      }
    }
  });

  test('IP in IP', () => {
    node.clear();
    node.configure(dp.NodeFlag.balancer | dp.NodeFlag.dsrIpip);
    try {
      const p = PLACE[f];
      node.put({ vip: p.vip, port: 80, proto, backends: [[p.near, 80]], flags: SHARED | LbFlag.dsr });
      const sized = (n: number, sport: number): Buffer => opening(f, {}, { proto, sport, payload: Buffer.alloc(n, 'z') });
      for (let i = 0; i < 20; i++) {
        const frame = sized(i * 60, 5000 + i);
        const [x, t] =
          i % 2 ? [node.run(frame), tc(frame, node.device.up)] : ([tc(frame, node.device.up), node.run(frame)] as const).toReversed();
        expect([x!.verdict, t!.verdict]).toEqual([bpf.XdpVerdict.tx, VERDICT.redirect]);
        expect(from3(x!.packet)).toBe(from3(t!.packet));
      }
      // too long: XDP leaves it to tc, which tells the client what fits
      const long = sized(1460, 6000);
      expect(node.run(long).verdict).toBe(PASS);
      const told = tc(long, node.device.up);
      expect(told.verdict).toBe(VERDICT.redirect);
      const answer = parse(told.packet);
      expect([answer.proto, answer.l4[0], answer.l4.readUInt16BE(6)]).toEqual(f === 4 ? [PROTO.icmp, 3, 1480] : [PROTO.icmp6, 2, 1460]);
      expect(answer.sumsRight).toBe(true);
    } finally {
      node.configure();
    }
  });
});
