// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, getBytes, getU16, getU32, getU64, getU8, putArray, putBe16, putBytes, putU16, putU32, putU64, putU8, room, type Codec } from '../codec.ts';

/** `struct event`, 96 bytes. */
export interface Event {
  readonly timeNs: bigint;
  /** 16 bytes. */
  readonly saddr: Uint8Array;
  /** 16 bytes. */
  readonly daddr: Uint8Array;
  /** Network order in the table, plain number here. */
  readonly sport: number;
  /** Network order in the table, plain number here. */
  readonly dport: number;
  readonly proto: number;
  readonly family: number;
  readonly type: number;
  readonly reason: number;
  readonly srcIdentity: number;
  readonly dstIdentity: number;
  readonly ruleId: readonly [number, number];
  readonly ifindex: number;
  readonly length: number;
  readonly srcEndpoint: number;
  readonly dstEndpoint: number;
  readonly direction: number;
  readonly hook: number;
  readonly flags: number;
  readonly tcpFlags: number;
  readonly icmpType: number;
  readonly icmpCode: number;
  readonly nextHop: number;
  /** Network order in the table, plain number here. */
  readonly natPort: number;
  /** 2 bytes. */
  readonly shadow: Uint8Array;
  readonly shadowRule: readonly [number, number];
}

export const event: Codec<Event> = {
  name: 'event',
  size: 96,
  encode(v, out, at = 0) {
    const b = room(out, at, 96);
    putU64(b, at, v.timeNs, 'event.time_ns');
    putBytes(b, at + 8, v.saddr, 16, 'event.saddr');
    putBytes(b, at + 24, v.daddr, 16, 'event.daddr');
    putBe16(b, at + 40, v.sport, 'event.sport');
    putBe16(b, at + 42, v.dport, 'event.dport');
    putU8(b, at + 44, v.proto, 'event.proto');
    putU8(b, at + 45, v.family, 'event.family');
    putU8(b, at + 46, v.type, 'event.type');
    putU8(b, at + 47, v.reason, 'event.reason');
    putU32(b, at + 48, v.srcIdentity, 'event.src_identity');
    putU32(b, at + 52, v.dstIdentity, 'event.dst_identity');
    putArray(b, at + 56, v.ruleId, { length: 2, size: 4, put: putU32, name: 'event.rule_id' });
    putU32(b, at + 64, v.ifindex, 'event.ifindex');
    putU32(b, at + 68, v.length, 'event.length');
    putU16(b, at + 72, v.srcEndpoint, 'event.src_endpoint');
    putU16(b, at + 74, v.dstEndpoint, 'event.dst_endpoint');
    putU8(b, at + 76, v.direction, 'event.direction');
    putU8(b, at + 77, v.hook, 'event.hook');
    putU8(b, at + 78, v.flags, 'event.flags');
    putU8(b, at + 79, v.tcpFlags, 'event.tcp_flags');
    putU8(b, at + 80, v.icmpType, 'event.icmp_type');
    putU8(b, at + 81, v.icmpCode, 'event.icmp_code');
    putU8(b, at + 82, v.nextHop, 'event.next_hop');
    putBe16(b, at + 84, v.natPort, 'event.nat_port');
    putBytes(b, at + 86, v.shadow, 2, 'event.shadow');
    putArray(b, at + 88, v.shadowRule, { length: 2, size: 4, put: putU32, name: 'event.shadow_rule' });
    return b;
  },
  decode(b, at = 0) {
    return {
      timeNs: getU64(b, at),
      saddr: getBytes(b, at + 8, 16),
      daddr: getBytes(b, at + 24, 16),
      sport: getBe16(b, at + 40),
      dport: getBe16(b, at + 42),
      proto: getU8(b, at + 44),
      family: getU8(b, at + 45),
      type: getU8(b, at + 46),
      reason: getU8(b, at + 47),
      srcIdentity: getU32(b, at + 48),
      dstIdentity: getU32(b, at + 52),
      ruleId: [getU32(b, at + 56), getU32(b, at + 60)],
      ifindex: getU32(b, at + 64),
      length: getU32(b, at + 68),
      srcEndpoint: getU16(b, at + 72),
      dstEndpoint: getU16(b, at + 74),
      direction: getU8(b, at + 76),
      hook: getU8(b, at + 77),
      flags: getU8(b, at + 78),
      tcpFlags: getU8(b, at + 79),
      icmpType: getU8(b, at + 80),
      icmpCode: getU8(b, at + 81),
      nextHop: getU8(b, at + 82),
      natPort: getBe16(b, at + 84),
      shadow: getBytes(b, at + 86, 2),
      shadowRule: [getU32(b, at + 88), getU32(b, at + 92)],
    };
  },
};
