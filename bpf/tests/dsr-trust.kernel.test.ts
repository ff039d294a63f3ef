// Who is believed about the address a client has sent its packets to: nodes of the cluster, and nobody else.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, dp, type Lab, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { type PacketSpec, packet, parse, TCP, withFrontend } from './packet.ts';
import { A, ADDRESS, createPods, FAMILIES, type Family, freshPort, open } from './pods.ts';

const { LbFlag, Drop } = dp;
const VIP = { 4: '203.0.113.7', 6: 'fd20::7' } as const;
const WORLD = 2;
const TUNNEL = { nodeIp4: IP(ADDRESS[4].node), nodeIp6: IP(ADDRESS[6].node), flags: dp.NodeFlag.tunnel };
const NATIVE = { ...TUNNEL, flags: 0 };

let lab: Lab;
beforeAll(() => {
  build();
  lab = createPods({ objects: ['pod', 'netdev', 'overlay', 'floor'] });
});
afterAll(() => lab.close());
const clear = (...more: readonly string[]): void => {
  for (const name of ['nat4', 'nat6', ...more]) for (const [k] of [...lab.map(name).entries()]) lab.map(name).delete(k);
};
beforeEach(() => {
  lab.config(TUNNEL);
  clear('lb_frontend', 'lb_slot', 'flow4', 'flow6');
  open(lab);
  lab.events();
});

const rows = (f: Family): string => (f === 4 ? 'nat4' : 'nat6');
const known = (f: Family): number => [...lab.map(rows(f)).entries()].length;
const reason = (): number | undefined => lab.events().at(-1)?.reason;
function frontend(f: Family, flags: number, count = 0, set = 0n): void {
  const sets = { setOut: set, setIn: set, countOut: count, countIn: count, maglevSize: 0, serviceId: 1, affinityS: 0 };
  for (const proto of [PROTO.tcp, PROTO.udp])
    lab.put(dp.tables.lb_frontend, { addr: IP.table(VIP[f]), port: 80, proto, family: f }, { ...sets, flags });
  lab.bump();
}

describe.each(FAMILIES)('IPv%i', (f) => {
  const at = ADDRESS[f];
  const plain = (s: Partial<PacketSpec> = {}): Buffer =>
    packet({ src: at.world, dst: at.a, sport: freshPort(), dport: 8080, flags: TCP.syn, payload: Buffer.alloc(80), ...s });
  const named = (s: Partial<PacketSpec> = {}): Buffer => withFrontend(plain(s), VIP[f], 80);
  const untouched = (): void => expect(known(f)).toBe(0);

  test('out of the tunnel, from a node: answers bear the address, and the pod sees no option', () => {
    const sport = freshPort();
    const there = lab.runFromOverlay(named({ sport }), WORLD);
    expect(there.verdict).toBe(VERDICT.redirect);
    expect(there.packet.length).toBe(plain().length);
    const answer = packet({ src: at.a, dst: at.world, sport: 8080, dport: sport, flags: TCP.syn | TCP.ack });
    expect(parse(lab.run('from_pod', answer, A.ifindex).packet)).toMatchObject({ src: IP.text(IP(VIP[f])), sport: 80, sumsRight: true });
  });

  test('C14: an option from outside is not believed', () => {
    frontend(f, LbFlag.external | LbFlag.dsr);
    for (const proto of [PROTO.tcp, PROTO.udp]) {
      expect(lab.run('from_netdev', named({ proto }), 1).verdict).toBe(VERDICT.drop);
      expect(reason()).toBe(Drop.invalidPacket);
    }
    untouched();
  });

  test('C14: an option in the tunnel is not believed from pods, nor from who is no node', () => {
    for (const [vni, outer, why] of [
      [1003, '192.168.9.2', Drop.invalidIdentity],
      [6, '192.168.9.2', Drop.invalidIdentity],
      [WORLD, '192.168.9.77', Drop.unknownSender],
    ] as const) {
      expect([vni, lab.runFromOverlay(named(), vni, outer).verdict]).toEqual([vni, VERDICT.drop]);
      expect([vni, reason()]).toEqual([vni, why]);
    }
    // who has an address of the cluster was passed on by nobody
    expect(lab.runFromOverlay(named({ src: at.c }), WORLD).verdict).toBe(VERDICT.drop);
    expect(reason()).toBe(Drop.invalidIdentity);
    untouched();
  });

  test('C14: natively an option is believed about frontends that exist and are served so', () => {
    lab.config(NATIVE);
    for (const flags of [undefined, LbFlag.external, LbFlag.dsr]) {
      if (flags !== undefined) frontend(f, flags);
      expect([flags, lab.run('from_netdev', named(), 1).verdict]).toEqual([flags, VERDICT.drop]);
      expect(reason()).toBe(Drop.invalidPacket);
      untouched();
    }
    frontend(f, LbFlag.external | LbFlag.dsr);
    expect(lab.run('from_netdev', named(), 1).verdict).toBe(VERDICT.redirect);
    expect(known(f)).toBe(1);
  });

  test('C14: a client cannot name an address through the node that passes it on', () => {
    lab.put(dp.tables.lb_slot, { set: 9n, index: 0 }, { addr: IP.table(at.c), port: 8080, family: f, flags: 0, backendId: 1 });
    frontend(f, LbFlag.external, 1, 9n);
    expect(lab.run('from_netdev', plain({ dst: VIP[f], dport: 80 }), 1).verdict).toBe(VERDICT.redirect);
    expect(lab.run('from_netdev', withFrontend(plain({ dst: VIP[f], dport: 80 }), at.router, 22), 1).verdict).toBe(VERDICT.drop);
    expect(reason()).toBe(Drop.invalidPacket);
  });

  test('L3-b: who was passed on and is known to nobody is dropped, and so is an answer', () => {
    expect(lab.runFromOverlay(plain({ flags: TCP.ack }), WORLD).verdict).toBe(VERDICT.drop);
    expect(reason()).toBe(Drop.natNoMapping);
    const sport = freshPort();
    expect(lab.runFromOverlay(named({ proto: PROTO.udp, sport }), WORLD).verdict).toBe(VERDICT.redirect);
    clear();
    const answer = packet({ src: at.a, dst: at.world, proto: PROTO.udp, sport: 8080, dport: sport });
    expect(lab.run('from_pod', answer, A.ifindex).verdict).toBe(VERDICT.drop);
    expect(reason()).toBe(Drop.natNoMapping);
  });

  describe.each([
    ['UDP', PROTO.udp],
    ['SCTP', PROTO.sctp],
  ] as const)('one client port at two addresses of a backend: %s', (_name, proto) => {
    const arrive = (front: number, sport: number, s: Partial<PacketSpec> = {}) => {
      const r = lab.runFromOverlay(withFrontend(plain({ proto, sport, ...s }), VIP[f], front), WORLD);
      expect(r.verdict).toBe(VERDICT.redirect);
      return r.packet;
    };
    const portAt = (front: number, sport: number): number => {
      const p = parse(arrive(front, sport));
      expect(p).toMatchObject({ src: IP.text(IP(at.world)), dport: 8080, sumsRight: true });
      return p.sport;
    };
    const answered = (dport: number) =>
      parse(lab.run('from_pod', packet({ src: at.a, dst: at.world, proto, sport: 8080, dport }), A.ifindex).packet);

    test('the second flow has another port, answers bear what the client knows', () => {
      const sport = freshPort();
      expect(portAt(80, sport)).toBe(sport);
      const lent = portAt(81, sport);
      expect(lent).not.toBe(sport);
      const third = portAt(82, sport);
      expect(new Set([sport, lent, third]).size).toBe(3);
      for (const [front, port] of [
        [80, sport],
        [81, lent],
        [82, third],
        [81, lent],
      ] as const) {
        expect([front, portAt(front, sport)]).toEqual([front, port]);
        expect(answered(port)).toMatchObject({
          src: IP.text(IP(VIP[f])),
          sport: front,
          dst: IP.text(IP(at.world)),
          dport: sport,
          sumsRight: true,
        });
      }
      expect(known(f)).toBe(5);
    });

    test('the flow that goes on keeps its port when the first one has gone', () => {
      const sport = freshPort();
      portAt(80, sport);
      const first = lab.map(rows(f)).entries().next().value!;
      const lent = portAt(81, sport);
      lab.map(rows(f)).delete(first[0]);
      expect(portAt(81, sport)).toBe(lent);
      expect(portAt(80, sport)).toBe(sport);
      // its own row back is lost: it is made again, with the port
      for (const [k, v] of [...lab.map(rows(f)).entries()]) {
        const row = dp.natValue.decode(v);
        if (row.flags & dp.NatFlag.reply && row.sport === 81) lab.map(rows(f)).delete(k);
      }
      expect(portAt(81, sport)).toBe(lent);
      expect(answered(lent)).toMatchObject({ sport: 81, dport: sport });
    });

    test('a port that was lent is nobody else of the client', () => {
      const sport = freshPort();
      portAt(80, sport);
      const lent = portAt(81, sport);
      const other = portAt(81, lent);
      expect([sport, lent]).not.toContain(other);
      expect(answered(other)).toMatchObject({ sport: 81, dport: lent });
      expect(answered(lent)).toMatchObject({ sport: 81, dport: sport });
    });

    if (proto === PROTO.udp)
      test('fragments go where their first one went', () => {
        const sport = freshPort();
        portAt(80, sport);
        const lent = portAt(81, sport);
        const whole = plain({ proto, sport, payload: Buffer.alloc(232, 'q') });
        const l4 = whole.subarray(14 + (f === 4 ? 20 : 40));
        const piece = (offset: number, more: boolean, payload: Buffer): Buffer =>
          withFrontend(
            packet({ src: at.world, dst: at.a, proto, sport, dport: 8080, payload, frag: { id: 77, offset, more } }),
            VIP[f],
            81,
          );
        const first = piece(0, true, l4.subarray(8, 8 + 72));
        for (const frame of [first, piece(10, true, l4.subarray(80, 160)), piece(20, false, l4.subarray(160))]) {
          const r = lab.runFromOverlay(frame, WORLD);
          expect([frame.length, r.verdict]).toEqual([frame.length, VERDICT.redirect]);
          if (frame === first) expect(r.packet.readUInt16BE(14 + (f === 4 ? 20 : 48))).toBe(lent);
        }
        expect(known(f)).toBe(3);
      });
  });

  test('one client port at two addresses of a backend, TCP: the second connection is refused while the first lives', () => {
    const sport = freshPort();
    const arrive = (front: number, flags: number): number =>
      lab.runFromOverlay(withFrontend(plain({ sport, flags }), VIP[f], front), WORLD).verdict;
    expect(arrive(80, TCP.syn)).toBe(VERDICT.redirect);
    expect(lab.runFromOverlay(plain({ sport, flags: TCP.ack }), WORLD).verdict).toBe(VERDICT.redirect);
    // a client may say nothing for long after the handshake: its answers have their way still
    const [row] = [...lab.map(rows(f)).entries()].map(([, v]) => dp.natValue.decode(v));
    expect(row!.expires - Number(process.hrtime.bigint() >> 26n)).toBeGreaterThan(Number(3_600_000_000_000n >> 26n));
    lab.events();
    // what the client is told needs a way there: dsr.kernel.test.ts
    expect(arrive(81, TCP.syn)).toBe(VERDICT.drop);
    expect(reason()).toBe(Drop.natNoMapping);
    expect(lab.runFromOverlay(plain({ sport, flags: TCP.fin | TCP.ack }), WORLD).verdict).toBe(VERDICT.redirect);
    expect(arrive(81, TCP.syn)).toBe(VERDICT.redirect);
  });
});
