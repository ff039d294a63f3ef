// Builds real packets with correct checksums for packet tests: Ethernet, IPv4/IPv6, TCP/UDP/ICMP/ICMPv6/SCTP.
import { type IpAddr, ipBytes, ipFamily, protocolNumbers } from '@axoneme/model';

export interface PacketSpec {
  readonly srcMac?: string;
  readonly dstMac?: string;
  readonly src: IpAddr;
  readonly dst: IpAddr;
  readonly l4: L4Spec;
  /** TTL or hop limit. */
  readonly ttl?: number;
}

export type L4Spec =
  | {
      readonly kind: 'tcp';
      readonly srcPort: number;
      readonly dstPort: number;
      readonly flags?: number;
      readonly seq?: number;
      readonly ack?: number;
      readonly payload?: Uint8Array;
    }
  | { readonly kind: 'udp'; readonly srcPort: number; readonly dstPort: number; readonly payload?: Uint8Array }
  | { readonly kind: 'sctp'; readonly srcPort: number; readonly dstPort: number; readonly payload?: Uint8Array }
  | {
      readonly kind: 'icmp';
      readonly type: number;
      readonly code?: number;
      readonly id?: number;
      readonly seq?: number;
      readonly payload?: Uint8Array;
    };

export const tcpFlags = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;

/** Ethernet frame. */
export function buildFrame(spec: PacketSpec): Buffer {
  const header = Buffer.alloc(14);
  header.set(macBytes(spec.dstMac ?? '02:00:00:00:00:02'), 0);
  header.set(macBytes(spec.srcMac ?? '02:00:00:00:00:01'), 6);
  header.writeUInt16BE(ipFamily(spec.src) === 4 ? 0x0800 : 0x86dd, 12);
  return Buffer.concat([header, buildIp(spec)]);
}

/** IP packet without link header. */
export function buildIp(spec: PacketSpec): Buffer {
  const family = ipFamily(spec.src);
  const src = ipBytes(spec.src).subarray(0, family === 4 ? 4 : 16);
  const dst = ipBytes(spec.dst).subarray(0, family === 4 ? 4 : 16);
  const { protocol, bytes } = buildL4(spec.l4, family, src, dst);
  const header =
    family === 4
      ? ipv4Header(src, dst, protocol, bytes.length, spec.ttl ?? 64)
      : ipv6Header(src, dst, protocol, bytes.length, spec.ttl ?? 64);
  return Buffer.concat([header, bytes]);
}

export function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':').map((part) => Number.parseInt(part, 16)));
}

/** Internet checksum (RFC 1071) over the parts, each of which but the last has even length. */
export function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += (part[i]! << 8) | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function ipv4Header(src: Uint8Array, dst: Uint8Array, protocol: number, length: number, ttl: number): Buffer {
  const h = Buffer.alloc(20);
  h[0] = 0x45;
  h.writeUInt16BE(20 + length, 2);
  h.writeUInt16BE(0x4000, 6);
  h[8] = ttl;
  h[9] = protocol;
  h.set(src, 12);
  h.set(dst, 16);
  h.writeUInt16BE(checksum(h), 10);
  return h;
}

function ipv6Header(src: Uint8Array, dst: Uint8Array, protocol: number, length: number, hopLimit: number): Buffer {
  const h = Buffer.alloc(40);
  h[0] = 0x60;
  h.writeUInt16BE(length, 4);
  h[6] = protocol;
  h[7] = hopLimit;
  h.set(src, 8);
  h.set(dst, 24);
  return h;
}

function buildL4(l4: L4Spec, family: 4 | 6, src: Uint8Array, dst: Uint8Array): { protocol: number; bytes: Buffer } {
  const payload = l4.payload ?? new Uint8Array(0);
  const protocol = l4Protocol(l4, family);
  const finish = (header: Buffer, sumAt: number): { protocol: number; bytes: Buffer } => {
    const bytes = Buffer.concat([header, payload]);
    const plainIcmp = protocol === protocolNumbers.ICMP;
    const sum = plainIcmp ? checksum(bytes) : checksum(pseudoHeader(src, dst, protocol, bytes.length), bytes);
    bytes.writeUInt16BE(l4.kind === 'udp' && sum === 0 ? 0xffff : sum, sumAt);
    return { protocol, bytes };
  };
  switch (l4.kind) {
    case 'tcp':
      return finish(tcpHeader(l4), 16);
    case 'udp': {
      const h = ports(Buffer.alloc(8), l4);
      h.writeUInt16BE(8 + payload.length, 4);
      return finish(h, 6);
    }
    case 'icmp': {
      const h = Buffer.alloc(8);
      h[0] = l4.type;
      h[1] = l4.code ?? 0;
      h.writeUInt16BE(l4.id ?? 1, 4);
      h.writeUInt16BE(l4.seq ?? 1, 6);
      return finish(h, 2);
    }
    case 'sctp': {
      const bytes = Buffer.concat([ports(Buffer.alloc(12), l4), payload]);
      bytes.writeUInt32LE(crc32c(bytes), 8);
      return { protocol, bytes };
    }
  }
}

function l4Protocol(l4: L4Spec, family: 4 | 6): number {
  if (l4.kind === 'icmp') return family === 4 ? protocolNumbers.ICMP : protocolNumbers.ICMPv6;
  return l4.kind === 'tcp' ? protocolNumbers.TCP : l4.kind === 'udp' ? protocolNumbers.UDP : protocolNumbers.SCTP;
}

function tcpHeader(l4: Extract<L4Spec, { kind: 'tcp' }>): Buffer {
  const h = ports(Buffer.alloc(20), l4);
  h.writeUInt32BE(l4.seq ?? 1, 4);
  h.writeUInt32BE(l4.ack ?? 0, 8);
  h[12] = 5 << 4;
  h[13] = l4.flags ?? tcpFlags.syn;
  h.writeUInt16BE(0xffff, 14);
  return h;
}

function ports(h: Buffer, l4: { readonly srcPort: number; readonly dstPort: number }): Buffer {
  h.writeUInt16BE(l4.srcPort, 0);
  h.writeUInt16BE(l4.dstPort, 2);
  return h;
}

function pseudoHeader(src: Uint8Array, dst: Uint8Array, protocol: number, length: number): Buffer {
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(length, 0);
  tail[7] = protocol;
  return Buffer.concat([src, dst, tail]);
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? 0x82f6_3b78 : 0);
  }
  return ~crc >>> 0;
}
