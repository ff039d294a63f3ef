// Frontends whose backends outside the cluster get packets whole, IP in IP, on an ordinary node: in tc and in XDP, with a tunnel and without.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { bpf, build, dp, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { icmpError, type PacketSpec, packet, parse, sum16, TCP } from './packet.ts';
import { createXdpNode, FAMILIES, type Family, opening, PLACE, seen, told, type XdpNode } from './xdp-world.ts';

const { pass: PASS, tx: TX } = bpf.XdpVerdict;
const { LbFlag, NodeFlag, Drop } = dp;
const FLAGS = LbFlag.external | LbFlag.loadBalancer | LbFlag.reject | LbFlag.dsr | LbFlag.ipip;
/** Behind the gateway, nobody of the cluster. */
const SERVERS = { 4: ['192.0.2.33', '192.0.2.34', '192.0.2.35'], 6: ['2001:db8:2::33', '2001:db8:2::34', '2001:db8:2::35'] } as const;
const ROOM = { 4: 20, 6: 40 } as const;
let node: XdpNode;

beforeAll(() => {
  build();
  node = createXdpNode(['xdp', 'netdev']);
});
afterAll(() => node?.close());
afterEach(() => node.clear());

const tc = (frame: Buffer, ifindex = node.device.up) =>
  node.inside(() => {
    const context = bpf.skBuffContext({ ifindex, ingressIfindex: ifindex });
    const r = node.lab.program('from_netdev').testRun({ packet: frame, context, outSize: frame.length + 256 });
    return { verdict: r.verdict, packet: r.packet };
  });

/** What is in the envelope, which is seen to be right. */
function opened(f: Family, frame: Buffer, out: Buffer) {
  const room = ROOM[f];
  expect(out.length).toBe(frame.length + room);
  const outer = out.subarray(14, 14 + room);
  const [src, dst] = f === 4 ? [outer.subarray(12, 16), outer.subarray(16, 20)] : [outer.subarray(8, 24), outer.subarray(24, 40)];
  if (f === 4) expect([outer[9], sum16([outer]), outer.readUInt16BE(2), outer.readUInt16BE(6)]).toEqual([4, 0, out.length - 14, 0x4000]);
  else expect([outer[6], outer.readUInt16BE(4)]).toEqual([41, out.length - 54]);
  expect(IP.text(src)).toBe(told(PLACE[f].node));
  return { to: IP.text(dst), inner: seen(Buffer.concat([frame.subarray(0, 14), out.subarray(14 + room)])) };
}

type Send = (frame: Buffer) => { readonly verdict: number; readonly packet: Buffer };
const HOOKS: readonly (readonly [string, Send, number])[] = [
  ['tc', (frame) => tc(frame), VERDICT.redirect],
  ['XDP', (frame) => node.run(frame), TX],
];
const MODES = [
  ['native routing', 0],
  ['a tunnel', NodeFlag.tunnel],
] as const;

describe.each(MODES)('%s', (_mode, mode) => {
  beforeEach(() => {
    node.configure(mode);
    node.lab.events();
  });

  describe.each(FAMILIES.flatMap((f) => [[f, 'TCP', PROTO.tcp] as const, [f, 'UDP', PROTO.udp] as const]))(
    'IPv%i %s',
    (f, _name, proto) => {
      const p = PLACE[f];
      const [one, two, three] = SERVERS[f];
      const put = (backends: readonly string[], more: Partial<Parameters<XdpNode['put']>[0]> = {}): void =>
        node.put({ vip: p.vip, port: 80, proto, backends: backends.map((b) => [b, 80] as const), flags: FLAGS, ...more });
      const first = (s: Partial<PacketSpec> = {}): Buffer =>
        opening(f, {}, { proto, sport: node.freshPort(), ...(proto === PROTO.tcp ? { flags: TCP.syn } : {}), ...s });
      const next = (sport: number): Buffer => first({ sport, ...(proto === PROTO.tcp ? { flags: TCP.ack } : {}) });

      test.each(HOOKS)('%s: to a server outside, whole, from the address of the node', (_hook, send, verdict) => {
        put([one]);
        const sport = node.freshPort();
        for (const frame of [first({ sport, ttl: 20 }), next(sport)]) {
          const r = send(frame);
          expect(r.verdict).toBe(verdict);
          const { to, inner } = opened(f, frame, r.packet);
          expect(to).toBe(told(one));
          const { ttl } = seen(frame);
          expect(inner).toMatchObject({ src: told(p.client), sport, dst: told(p.vip), dport: 80, ttl: ttl - 1, sumsRight: true });
        }
      });

      test('tc and XDP send the same, whoever makes the row', () => {
        put([one, two, three], { maglev: Array.from({ length: 251 }, (_, i) => (i * 7) % 3) });
        const all = new Set<string>();
        for (let i = 0; i < 24; i++) {
          const frame = first();
          const both = i % 2 ? [node.run(frame), tc(frame)] : [tc(frame), node.run(frame)].toReversed();
          expect(both.map((r) => r.verdict)).toEqual([TX, VERDICT.redirect]);
          const [x, t] = both.map((r) => r.packet.toString('hex', 14));
          expect(x).toBe(t);
          const { to } = opened(f, frame, both[0]!.packet);
          node.lab.map(f === 4 ? 'nat4' : 'nat6').delete([...node.lab.map(f === 4 ? 'nat4' : 'nat6').entries()][0]![0]);
          // another node, which has no row of it, chooses alike
          expect(opened(f, frame, tc(frame).packet).to).toBe(to);
          all.add(to);
          node.clear();
          put([one, two, three], { maglev: Array.from({ length: 251 }, (_, k) => (k * 7) % 3) });
        }
        expect([...all].sort()).toEqual([one, two, three].map(told).sort());
      });

      test('pods and nodes of the cluster get it as packets from this node', () => {
        for (const [backend, src] of [
          [p.nearPod, p.router],
          [p.near, p.node],
        ] as const) {
          put([backend]);
          const frame = first();
          if (mode === 0 || backend === p.near) {
            const x = node.run(frame);
            expect([backend, x.verdict]).toEqual([backend, TX]);
            expect(seen(x.packet)).toMatchObject({ src: told(src), dst: told(backend), dport: 80, sumsRight: true });
            expect(x.packet.length).toBe(frame.length);
          } else expect(node.run(frame).verdict).toBe(PASS);
          const t = tc(frame);
          expect([backend, t.verdict]).toEqual([backend, VERDICT.redirect]);
          expect(seen(t.packet)).toMatchObject({ src: told(src), dst: told(backend), dport: 80, sumsRight: true });
          node.clear();
        }
        // a pod of this node sees the client
        put([p.local]);
        const frame = first();
        expect(node.run(frame).verdict).toBe(PASS);
        node.lab.policy(1001, 0);
        expect(seen(tc(frame).packet)).toMatchObject({ src: told(p.client), dst: told(p.local), sumsRight: true });
      });

      test('clients of the cluster get no envelope', () => {
        put([one]);
        const frame = first({ src: p.near });
        expect(node.run(frame).verdict).toBe(PASS);
        const r = tc(frame);
        expect(r.verdict).toBe(VERDICT.redirect);
        expect(seen(r.packet)).toMatchObject({ src: told(p.node), dst: told(one), dport: 80, sumsRight: true });
      });

      test('what does not fit with the outer header is told to the client; what nodes take of each other does not matter', () => {
        node.configure(mode, { pathMtu: 1400 });
        put([one]);
        const empty = first({ payload: Buffer.alloc(0) }).length - 14;
        const sized = (n: number): Buffer => first({ sport: 2999, payload: Buffer.alloc(n - empty) });
        const fits = sized(1500 - ROOM[f]);
        expect(node.run(fits).verdict).toBe(TX);
        expect(opened(f, fits, tc(fits).packet).to).toBe(told(one));
        const long = sized(1501 - ROOM[f]);
        expect(node.run(long).verdict).toBe(PASS);
        const answer = parse(tc(long).packet);
        expect([answer.proto, answer.l4[0], answer.l4.readUInt16BE(6)]).toEqual(f === 4 ? [PROTO.icmp, 3, 1480] : [PROTO.icmp6, 2, 1460]);
        expect([answer.dst, answer.sumsRight]).toEqual([told(p.client), true]);
      });

      test('source ranges, and the backend a client had', () => {
        put([one, two, three], { id: 9, affinity: 60, flags: FLAGS | LbFlag.sourceRanges });
        node.source(9, f === 4 ? '203.0.113.0/29' : '2001:db8::/124');
        const to = new Set(
          Array.from({ length: 8 }, () => first()).map((frame, i) => opened(f, frame, (i % 2 ? node.run : tc)(frame).packet).to),
        );
        expect(to.size).toBe(1);
        for (const send of [node.run, tc]) send(first({ src: f === 4 ? '203.0.113.70' : '2001:db8::70' }));
        expect(node.lab.events().filter((e) => e.reason === Drop.sourceRange).length).toBe(2);
      });

      test.each(HOOKS)('%s: flows go on when services change, with the backend they have if it is TCP', (_hook, send) => {
        put([one]);
        const sport = node.freshPort();
        const to = (frame: Buffer): string => opened(f, frame, send(frame).packet).to;
        expect(to(first({ sport }))).toBe(told(one));
        expect(to(next(sport))).toBe(told(one));
        node.change();
        expect(to(next(sport))).toBe(told(one));
        put([one, two], { set: 20n });
        expect(to(next(sport))).toBe(told(one));
        put([two], { set: 21n });
        expect(to(next(sport))).toBe(told(proto === PROTO.tcp ? one : two));
        expect(to(first())).toBe(told(two));
      });

      test.each(HOOKS)(
        '%s: a connection goes on as it began when the mode changes, datagrams and new ones do not',
        (_hook, send, verdict) => {
          for (const [before, after] of [
            [FLAGS, FLAGS & ~(LbFlag.dsr | LbFlag.ipip)],
            [FLAGS & ~(LbFlag.dsr | LbFlag.ipip), FLAGS],
          ] as const) {
            put([one], { flags: before });
            const sport = node.freshPort();
            const look = (frame: Buffer): string => {
              const r = send(frame);
              expect(r.verdict).toBe(verdict);
              if (r.packet.length > frame.length) return `whole to ${opened(f, frame, r.packet).to}`;
              const { src, dst, sport: port, sumsRight } = seen(r.packet);
              expect([src, dst, sumsRight]).toEqual([told(p.node), told(one), true]);
              return `lent ${port}`;
            };
            const first = look(opening(f, {}, { proto, sport, ...(proto === PROTO.tcp ? { flags: TCP.syn } : {}) }));
            expect(first).toMatch(before === FLAGS ? /^whole/ : /^lent/);
            expect(look(next(sport))).toBe(first);
            put([one], { flags: after });
            if (proto === PROTO.tcp) for (let i = 0; i < 2; i++) expect(look(next(sport))).toBe(first);
            else expect(look(next(sport))).toMatch(after === FLAGS ? /^whole/ : /^lent/);
            expect(look(opening(f, {}, { proto, sport: node.freshPort(), flags: TCP.syn }))).toMatch(after === FLAGS ? /^whole/ : /^lent/);
            node.clear();
          }
        },
      );

      test('a node without an address of the family drops it, counted', () => {
        node.configure(mode, f === 4 ? { nodeIp4: IP('0.0.0.0') } : { nodeIp6: IP('::') });
        put([one]);
        for (const send of [node.run, tc]) send(first());
        expect(node.lab.events().map((e) => e.reason)).toEqual([Drop.natNoMapping, Drop.natNoMapping]);
      });

      test('what the network says about an answer reaches the server that sent it', () => {
        put([one]);
        const sport = node.freshPort();
        tc(first({ sport }));
        const answer = packet({
          src: p.vip,
          dst: p.client,
          proto,
          sport: 80,
          dport: sport,
          ...(proto === PROTO.tcp ? { flags: TCP.ack } : {}),
        });
        const about = icmpError(p.client, p.vip, answer);
        const r = tc(about);
        expect(r.verdict).toBe(VERDICT.redirect);
        expect(r.packet.length).toBe(about.length + ROOM[f]);
      });
    },
  );
});
