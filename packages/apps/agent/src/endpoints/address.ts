// IP addresses as numbers and as the 16 bytes the kernel tables use. Called by endpoints and datapath.
import { AppError } from '@axoneme/std';

export type Family = 4 | 6;

export interface Ip {
  readonly family: Family;
  readonly value: bigint;
}

export interface Block extends Ip {
  readonly bits: number;
}

const width = (f: Family): number => (f === 4 ? 32 : 128);
const bad = (text: string): AppError => new AppError({ code: 'agent/bad-address', message: `"${text}" is no IP address or block` });

function parse4(text: string): bigint | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((p) => /^\d{1,3}$/.test(p) && Number(p) < 256)) return undefined;
  return parts.reduce((v, p) => (v << 8n) | BigInt(p), 0n);
}

function parse6(text: string): bigint | undefined {
  const tail4 = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (tail4) {
    const v4 = parse4(tail4[2] ?? '');
    return v4 === undefined ? undefined : parse6(`${tail4[1]}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}`);
  }
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const groups = halves.map((h) => (h === '' ? [] : h.split(':')));
  const [head = [], rest = []] = groups;
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...Array<string>(missing).fill('0'), ...rest];
  if (!all.every((g) => /^[0-9a-fA-F]{1,4}$/.test(g))) return undefined;
  return all.reduce((v, g) => (v << 16n) | BigInt(`0x${g}`), 0n);
}

/** Throws `agent/bad-address`. */
export function parseIp(text: string): Ip {
  const family: Family = text.includes(':') ? 6 : 4;
  const value = family === 6 ? parse6(text) : parse4(text);
  if (value === undefined) throw bad(text);
  return { family, value };
}

/** CIDR; host bits are cleared. Throws `agent/bad-address`. */
export function parseBlock(text: string): Block {
  const [addr = '', plen = ''] = text.split('/');
  const ip = parseIp(addr);
  const bits = Number(plen);
  if (!/^\d{1,3}$/.test(plen) || bits > width(ip.family)) throw bad(text);
  const host = BigInt(width(ip.family) - bits);
  return { family: ip.family, value: (ip.value >> host) << host, bits };
}

export const blockSize = (b: Block): bigint => 1n << BigInt(width(b.family) - b.bits);
export const inBlock = (b: Block, ip: Ip): boolean => ip.family === b.family && ip.value >= b.value && ip.value < b.value + blockSize(b);

/** 4 or 16 bytes. */
export function ipBytes(ip: Ip): Buffer {
  return Buffer.from(ip.value.toString(16).padStart(ip.family === 4 ? 8 : 32, '0'), 'hex');
}

/** Always 16 bytes, IPv4 in the first four. */
export function ipBytes16(ip: Ip): Buffer {
  const b = Buffer.alloc(16);
  ipBytes(ip).copy(b);
  return b;
}

/** Text form; IPv6 as RFC 5952 wants it. */
export function formatIp(ip: Ip): string {
  const bytes = ipBytes(ip);
  if (ip.family === 4) return [...bytes].join('.');
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2));
  let best = { at: -1, len: 1 };
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && groups[i + n] === 0) n++;
    if (n > best.len) best = { at: i, len: n };
  }
  const hex = (g: readonly number[]): string => g.map((n) => n.toString(16)).join(':');
  return best.at < 0 ? hex(groups) : `${hex(groups.slice(0, best.at))}::${hex(groups.slice(best.at + best.len))}`;
}

export const ipFromBytes = (family: Family, bytes: Uint8Array): Ip => ({
  family,
  value: BigInt(`0x${Buffer.from(bytes.subarray(0, family === 4 ? 4 : 16)).toString('hex')}`),
});
