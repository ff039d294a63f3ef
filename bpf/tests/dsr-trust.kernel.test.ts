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
beforeEach(() => {
  lab.config(TUNNEL);
  for (const name of ['lb_frontend', 'lb_slot', 'nat4', 'nat6', 'flow4', 'flow6'])
    for (const [k] of [...lab.map(name).entries()]) lab.map(name).delete(k);
  open(lab);
  lab.events();
});

const known = (f: Family): number => [...lab.map(f === 4 ? 'nat4' : 'nat6').entries()].length;
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

  test('L3-b: who was passed on and is known to nobody is dropped; two addresses of one backend are not mixed up', () => {
    expect(lab.runFromOverlay(plain({ flags: TCP.ack }), WORLD).verdict).toBe(VERDICT.drop);
    expect(reason()).toBe(Drop.natNoMapping);
    const sport = freshPort();
    expect(lab.runFromOverlay(named({ proto: PROTO.udp, sport }), WORLD).verdict).toBe(VERDICT.redirect);
    expect(lab.runFromOverlay(withFrontend(plain({ proto: PROTO.udp, sport }), VIP[f], 81), WORLD).verdict).toBe(VERDICT.drop);
    expect(reason()).toBe(Drop.natNoMapping);
    const answer = packet({ src: at.a, dst: at.world, proto: PROTO.udp, sport: 8080, dport: sport });
    expect(parse(lab.run('from_pod', answer, A.ifindex).packet)).toMatchObject({ src: IP.text(IP(VIP[f])), sport: 80 });
    for (const [k] of [...lab.map(f === 4 ? 'nat4' : 'nat6').entries()]) lab.map(f === 4 ? 'nat4' : 'nat6').delete(k);
    expect(lab.run('from_pod', answer, A.ifindex).verdict).toBe(VERDICT.drop);
    expect(reason()).toBe(Drop.natNoMapping);
  });
});
