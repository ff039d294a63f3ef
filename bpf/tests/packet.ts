// Builds and checks packets for the datapath's packet tests: Ethernet, IPv4, IPv6, TCP, UDP, ICMP, ARP, with true checksums.
import { IP, PROTO } from './names.ts';

export interface PacketSpec {
  readonly src: string;
  readonly dst: string;
  readonly proto?: number;
  readonly sport?: number;
  readonly dport?: number;
  readonly flags?: number;
  readonly ttl?: number;
  readonly payload?: Uint8Array;
  /** ICMP type and code; id is `sport`. */
  readonly type?: number;
  readonly code?: number;
  /** IPv4: flags and offset field with `fragId`. IPv6: adds a fragment header. */
  readonly frag?: { readonly id: number; readonly offset: number; readonly more: boolean };
  /** IPv6: destination-options headers in front of the transport. */
  readonly extensions?: number;
  readonly srcMac?: string;
  readonly dstMac?: string;
}

export const TCP = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;

/** Whom packets are for unless they say otherwise. */
export const NODE_MAC = '02:00:00:00:00:fe';

export const mac = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex');

export function sum16(parts: readonly Uint8Array[]): number {
  let sum = 0;
  const b = Buffer.concat(parts);
  for (let i = 0; i < b.length; i += 2) sum += (b[i]! << 8) | (b[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** CRC-32C by its definition, bit by bit: RFC 9260 appendix A. */
export function crc32c(b: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of b) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

function pseudo(src: Buffer, dst: Buffer, proto: number, length: number): Buffer {
  const tail = src.length === 4 ? Buffer.from([0, proto, length >>> 8, length & 255]) : Buffer.alloc(8);
  if (src.length === 16) {
    tail.writeUInt32BE(length, 0);
    tail[7] = proto;
  }
  return Buffer.concat([src, dst, tail]);
}

const SUM_AT: Readonly<Record<number, number>> = { [PROTO.tcp]: 16, [PROTO.udp]: 6, [PROTO.icmp]: 2, [PROTO.icmp6]: 2 };

function transport(s: PacketSpec, proto: number, src: Buffer, dst: Buffer): Buffer {
  const payload = Buffer.from(s.payload ?? Buffer.alloc(20, 'x'));
  const head = Buffer.alloc(proto === PROTO.tcp ? 20 : proto === PROTO.sctp ? 12 : 8);
  if (proto === PROTO.icmp || proto === PROTO.icmp6) {
    head[0] = s.type ?? (proto === PROTO.icmp ? 8 : 128);
    head[1] = s.code ?? 0;
    head.writeUInt16BE(s.sport ?? 0, 4);
  } else {
    head.writeUInt16BE(s.sport ?? 1000, 0);
    head.writeUInt16BE(s.dport ?? 80, 2);
  }
  if (proto === PROTO.tcp) {
    head[12] = 0x50;
    head[13] = s.flags ?? TCP.ack;
    head.writeUInt16BE(1000, 14);
  }
  if (proto === PROTO.udp) head.writeUInt16BE(8 + payload.length, 4);
  const at = SUM_AT[proto];
  if (at !== undefined) {
    const over = proto === PROTO.icmp ? [] : [pseudo(src, dst, proto, head.length + payload.length)];
    const sum = sum16([...over, head, payload]);
    // zero would say that there is none
    head.writeUInt16BE(sum === 0 && proto === PROTO.udp ? 0xffff : sum, at);
  }
  const whole = Buffer.concat([head, payload]);
  if (proto === PROTO.sctp) whole.writeUInt32LE(crc32c(whole), 8);
  return whole;
}

/** With the field as zero. */
function sctpRight(l4: Buffer): boolean {
  const b = Buffer.from(l4);
  b.writeUInt32LE(0, 8);
  return crc32c(b) === l4.readUInt32LE(8);
}

function ip4(s: PacketSpec, proto: number, body: Buffer, src: Buffer, dst: Buffer): Buffer {
  const h = Buffer.alloc(20);
  h[0] = 0x45;
  h.writeUInt16BE(20 + body.length, 2);
  h.writeUInt16BE(s.frag?.id ?? 7, 4);
  if (s.frag !== undefined) h.writeUInt16BE((s.frag.more ? 0x2000 : 0) | s.frag.offset, 6);
  h[8] = s.ttl ?? 64;
  h[9] = proto;
  src.copy(h, 12);
  dst.copy(h, 16);
  h.writeUInt16BE(sum16([h]), 10);
  return Buffer.concat([h, body]);
}

function ip6(s: PacketSpec, proto: number, body: Buffer, src: Buffer, dst: Buffer): Buffer {
  const heads: Buffer[] = [];
  let next = proto;
  if (s.frag !== undefined) {
    const f = Buffer.alloc(8);
    f[0] = next;
    f.writeUInt16BE((s.frag.offset << 3) | (s.frag.more ? 1 : 0), 2);
    f.writeUInt32BE(s.frag.id, 4);
    heads.unshift(f);
    next = 44;
  }
  for (let i = 0; i < (s.extensions ?? 0); i++) {
    heads.unshift(Buffer.from([next, 0, 1, 4, 0, 0, 0, 0]));
    next = 60;
  }
  const all = Buffer.concat([...heads, body]);
  const h = Buffer.alloc(40);
  h[0] = 0x60;
  h.writeUInt16BE(all.length, 4);
  h[6] = next;
  h[7] = s.ttl ?? 64;
  src.copy(h, 8);
  dst.copy(h, 24);
  return Buffer.concat([h, all]);
}

export const isV6 = (address: string): boolean => address.includes(':');

/** A whole frame. Later fragments carry `payload` right behind the IP header. */
export function packet(s: PacketSpec): Buffer {
  const src = IP(s.src);
  const dst = IP(s.dst);
  const v6 = isV6(s.src);
  const proto = s.proto ?? PROTO.tcp;
  const later = s.frag !== undefined && s.frag.offset > 0;
  const body = later ? Buffer.from(s.payload ?? Buffer.alloc(16, 'y')) : transport(s, proto, src, dst);
  const eth = Buffer.concat([mac(s.dstMac ?? NODE_MAC), mac(s.srcMac ?? '02:00:00:00:00:01'), Buffer.from(v6 ? '86dd' : '0800', 'hex')]);
  return Buffer.concat([eth, v6 ? ip6(s, proto, body, src, dst) : ip4(s, proto, body, src, dst)]);
}

export interface Parsed {
  readonly dstMac: string;
  readonly srcMac: string;
  readonly v6: boolean;
  readonly src: string;
  readonly dst: string;
  readonly ttl: number;
  readonly proto: number;
  readonly sport: number;
  readonly dport: number;
  readonly l4: Buffer;
  /** Both the IPv4 header sum and the transport sum are right. */
  readonly sumsRight: boolean;
}

const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');

/** A frame without extension headers. */
export function parse(frame: Buffer): Parsed {
  const v6 = frame.readUInt16BE(12) === 0x86dd;
  const ip = frame.subarray(14);
  const src = v6 ? ip.subarray(8, 24) : ip.subarray(12, 16);
  const dst = v6 ? ip.subarray(24, 40) : ip.subarray(16, 20);
  const proto = v6 ? ip[6]! : ip[9]!;
  const l4 = v6 ? ip.subarray(40) : ip.subarray(20, ip.readUInt16BE(2));
  const icmp = proto === PROTO.icmp || proto === PROTO.icmp6;
  const headRight = v6 || sum16([ip.subarray(0, 20)]) === 0;
  const over = proto === PROTO.icmp ? [] : [pseudo(src, dst, proto, l4.length)];
  return {
    dstMac: hex(frame.subarray(0, 6)),
    srcMac: hex(frame.subarray(6, 12)),
    v6,
    src: IP.text(src),
    dst: IP.text(dst),
    ttl: v6 ? ip[7]! : ip[8]!,
    proto,
    sport: icmp ? l4.readUInt16BE(4) : l4.readUInt16BE(0),
    dport: icmp ? 0 : l4.readUInt16BE(2),
    l4,
    sumsRight: headRight && (proto === PROTO.sctp ? sctpRight(l4) : sum16([...over, l4]) === 0),
  };
}

/** An ICMP error of `from` to `to` about `about` (an Ethernet frame, whose first bytes it quotes). */
export function icmpError(from: string, to: string, about: Buffer, quote = 28 + 20): Buffer {
  const v6 = isV6(from);
  const payload = about.subarray(14, 14 + (v6 ? quote + 20 : quote));
  return packet({ src: from, dst: to, proto: v6 ? PROTO.icmp6 : PROTO.icmp, type: v6 ? 1 : 3, code: v6 ? 4 : 3, payload });
}

/** ARP or neighbour solicitation of `own` for `target`. */
export function whoHas(own: string, target: string, from = own): Buffer {
  const source = mac('02:00:00:00:00:01');
  if (!isV6(own)) {
    const body = Buffer.concat([Buffer.from('0001080006040001', 'hex'), source, IP(from), Buffer.alloc(6), IP(target)]);
    return Buffer.concat([Buffer.alloc(6, 255), source, Buffer.from('0806', 'hex'), body]);
  }
  const option = Buffer.concat([Buffer.from([1, 1]), source]);
  const payload = Buffer.concat([IP(target), from === '::' ? Buffer.alloc(0) : option]);
  return packet({ src: from, dst: `ff02::1:ff00:1`, proto: PROTO.icmp6, type: 135, ttl: 255, payload });
}

/** IPv4 with an option in front of those it has. */
export function withOption(frame: Buffer, option: Buffer): Buffer {
  const out = Buffer.concat([frame.subarray(0, 34), option, frame.subarray(34)]);
  out[14] = out[14]! + option.length / 4;
  out.writeUInt16BE(out.length - 14, 16);
  out.writeUInt16BE(0, 24);
  out.writeUInt16BE(sum16([out.subarray(14, 14 + (out[14]! & 15) * 4)]), 24);
  return out;
}

/** Direct server return: the packet as a node passes it on that a client had sent it to. */
export function withFrontend(frame: Buffer, address: string, port: number): Buffer {
  const word = Buffer.alloc(2);
  word.writeUInt16BE(port);
  if (!isV6(address)) return withOption(frame, Buffer.concat([Buffer.from([0x9a, 8]), word, IP(address)]));
  const option = Buffer.concat([Buffer.from([frame[20]!, 2, 0x1b, 20]), word, Buffer.alloc(2), IP(address)]);
  const out = Buffer.concat([frame.subarray(0, 54), option, frame.subarray(54)]);
  out.writeUInt16BE(frame.readUInt16BE(18) + 24, 18);
  out[20] = 60;
  return out;
}
