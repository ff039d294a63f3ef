// What a pod may put on its link: its own addresses, questions for its gateway, whole and fragmented packets.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, dp, type Lab, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { packet, parse, sum16, TCP, whoHas } from './packet.ts';
import { A, ADDRESS, ab, B, createPods, DENY, FAMILIES, freshPort, open } from './pods.ts';

let lab: Lab;
beforeAll(() => {
  build();
  lab = createPods();
});
afterAll(() => lab.close());
beforeEach(() => {
  open(lab);
  lab.events();
});

const reasonOf = (frame: Buffer, ifindex: number = A.ifindex): number | undefined => {
  const { verdict } = lab.run('from_pod', frame, ifindex);
  const reason = lab.events().at(-1)?.reason;
  expect(verdict).toBe(VERDICT.drop);
  return reason;
};

describe.each(FAMILIES)('IPv%i', (f) => {
  const at = ADDRESS[f];

  test("a packet with another pod's address is dropped, whatever flow it pretends to belong to", () => {
    const frame = ab(f);
    expect(lab.run('from_pod', frame, A.ifindex).verdict).toBe(VERDICT.redirect);
    expect(lab.run('from_pod', frame, A.ifindex).verdict).toBe(VERDICT.redirect);
    lab.events();
    expect(reasonOf(frame, B.ifindex)).toBe(132);
    expect(lab.run('from_pod', frame, A.ifindex).verdict).toBe(VERDICT.redirect);
    expect(reasonOf(packet({ src: at.world, dst: at.b }))).toBe(132);
  });

  test('a device without an endpoint sends nothing', () => {
    expect(reasonOf(ab(f), 77)).toBe(203);
  });

  test('who has the gateway: its own device has', () => {
    const { verdict, packet: answer } = lab.run('from_pod', whoHas(at.a, at.router), A.ifindex);
    expect(verdict).toBe(VERDICT.redirect);
    expect(answer.subarray(0, 12).toString('hex')).toBe('02000000000102000000000a');
    if (f === 4) {
      expect(answer.readUInt16BE(20)).toBe(2);
      expect(answer.subarray(22, 28).toString('hex')).toBe('02000000000a');
      expect([...answer.subarray(28, 32)]).toEqual([10, 0, 1, 254]);
      expect([...answer.subarray(38, 42)]).toEqual([10, 0, 1, 1]);
    } else {
      const got = parse(answer);
      expect(got).toMatchObject({ src: IP(at.router).toString('hex'), dst: IP(at.a).toString('hex'), ttl: 255, sumsRight: true });
      expect(got.l4[0]).toBe(136);
      expect(got.l4.subarray(24).toString('hex')).toBe('020102000000000a');
    }
    expect(lab.events()).toEqual([]);
  });

  test('nobody is told that the address of the pod itself is taken', () => {
    const before = lab.dropped(dp.Info.ignored, 1);
    expect(lab.run('from_pod', whoHas(at.a, at.a, f === 4 ? '0.0.0.0' : '::'), A.ifindex).verdict).toBe(VERDICT.drop);
    expect(lab.dropped(dp.Info.ignored, 1)).toBe(before + 1);
    expect(lab.events()).toEqual([]);
  });

  test('hop limit 1 ends here, unless the node itself is the target', () => {
    expect(reasonOf(ab(f, { ttl: 1 }))).toBe(196);
    expect(lab.run('from_pod', packet({ src: at.a, dst: at.router, ttl: 1 }), A.ifindex).verdict).toBe(VERDICT.ok);
    const sport = freshPort();
    lab.run('from_pod', ab(f, { sport }), A.ifindex);
    lab.events();
    expect(reasonOf(ab(f, { sport, ttl: 1, flags: TCP.ack }))).toBe(196);
  });

  test('fragments follow their first one, and only it', () => {
    lab.policy(1001, DENY.egress, [{ direction: 'egress', peer: 1002, proto: PROTO.udp, port: 5000 }]);
    lab.bump();
    const part = (id: number, offset: number, dport = 5000): Buffer =>
      ab(f, { proto: PROTO.udp, sport: 4000, dport, frag: { id, offset, more: offset === 0 } });
    expect(reasonOf(part(50, 3))).toBe(175);
    expect(lab.run('from_pod', part(51, 0), A.ifindex).verdict).toBe(VERDICT.redirect);
    const later = lab.run('from_pod', part(51, 3), A.ifindex);
    expect(later.verdict).toBe(VERDICT.redirect);
    expect(f === 4 ? later.packet[22] : later.packet[21]).toBe(63);
    expect(reasonOf(part(52, 0, 5001))).toBe(133);
    expect(reasonOf(part(52, 3, 5001))).toBe(133);
    expect(lab.flow(f, 4000, 5000)).toMatchObject({ packets: 2n });
  });

  test('transport protocols we do not track, and stumps', () => {
    expect(reasonOf(ab(f, { proto: 47 }))).toBe(137);
    expect(reasonOf(ab(f).subarray(0, f === 4 ? 38 : 58))).toBe(135);
  });
});

test('IPv6 extension headers are followed, up to a limit', () => {
  lab.policy(1001, DENY.egress, [{ direction: 'egress', peer: 1002, proto: PROTO.tcp, port: 80 }]);
  lab.bump();
  for (const extensions of [1, 3, 5]) expect(lab.run('from_pod', ab(6, { extensions }), A.ifindex).verdict).toBe(VERDICT.redirect);
  expect(reasonOf(ab(6, { extensions: 2, dport: 81 }))).toBe(133);
  expect(reasonOf(ab(6, { extensions: 6 }))).toBe(156);
});

test('IPv4 options are followed', () => {
  lab.policy(1001, DENY.egress, [{ direction: 'egress', peer: 1002, proto: PROTO.tcp, port: 80 }]);
  lab.bump();
  const withOptions = (dport: number): Buffer => {
    const plain = ab(4, { dport });
    const ip = Buffer.concat([plain.subarray(14, 34), Buffer.from([1, 1, 1, 0])]);
    ip[0] = 0x46;
    ip.writeUInt16BE(ip.readUInt16BE(2) + 4, 2);
    ip.writeUInt16BE(0, 10);
    ip.writeUInt16BE(sum16([ip]), 10);
    return Buffer.concat([plain.subarray(0, 14), ip, plain.subarray(34)]);
  };
  const passed = lab.run('from_pod', withOptions(80), A.ifindex);
  expect(passed.verdict).toBe(VERDICT.redirect);
  expect(sum16([passed.packet.subarray(14, 38)])).toBe(0);
  expect(reasonOf(withOptions(81))).toBe(133);
});

test('noise of an interface that comes up is swallowed, other multicast is a drop', () => {
  const rs = packet({ src: 'fe80::1', dst: 'ff02::2', proto: PROTO.icmp6, type: 133, ttl: 255 });
  const mld = packet({ src: 'fe80::1', dst: 'ff02::16', proto: PROTO.icmp6, type: 143, ttl: 1 });
  const igmp = packet({ src: '10.0.1.1', dst: '224.0.0.22', proto: 2, ttl: 1 });
  for (const frame of [rs, mld, igmp]) expect(lab.run('from_pod', frame, A.ifindex).verdict).toBe(VERDICT.drop);
  expect(lab.events()).toEqual([]);
  expect(reasonOf(packet({ src: '10.0.1.1', dst: '224.0.0.251', proto: PROTO.udp, dport: 5353 }))).toBe(201);
  expect(reasonOf(packet({ src: 'fe80::1', dst: 'ff02::fb', proto: PROTO.udp, dport: 5353 }))).toBe(201);
  expect(reasonOf(packet({ src: '10.0.1.1', dst: '255.255.255.255', proto: PROTO.udp, dport: 67 }))).toBe(201);
});

test('what is not IP is dropped', () => {
  const lldp = ab(4);
  lldp.writeUInt16BE(0x88cc, 12);
  expect(reasonOf(lldp)).toBe(139);
});
