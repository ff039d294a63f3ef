// IP addresses as numbers, for allocation, and as the 16 bytes the kernel tables use. Called by endpoints and datapath.
import {
  cidrBase,
  cidrBits,
  cidrFamily,
  type IpFamily,
  ipBytes,
  ipFamily,
  ipFromBigint,
  ipToBigint,
  parseCidr,
  parseIp as parseText,
} from '@axoneme/model';
import { unwrap } from '@axoneme/std';

export type Family = IpFamily;

export interface Ip {
  readonly family: Family;
  readonly value: bigint;
}

export interface Block extends Ip {
  readonly bits: number;
}

/** Throws `model/invalid-ip`. */
export function parseIp(text: string): Ip {
  const ip = unwrap(parseText(text));
  return { family: ipFamily(ip), value: ipToBigint(ip) };
}

/** Throws `model/invalid-cidr`. */
export function parseBlock(text: string): Block {
  const c = unwrap(parseCidr(text));
  return { ...parseIp(cidrBase(c)), family: cidrFamily(c), bits: cidrBits(c) };
}

export const blockSize = (b: Block): bigint => 1n << BigInt((b.family === 4 ? 32 : 128) - b.bits);
export const inBlock = (b: Block, ip: Ip): boolean => ip.family === b.family && ip.value >= b.value && ip.value < b.value + blockSize(b);
export const formatIp = (ip: Ip): string => ipFromBigint(ip.family, ip.value);
export const familyOf = (text: string): Family => (text.includes(':') ? 6 : 4);

/** Always 16 bytes, IPv4 in the first four. Throws `model/invalid-ip`. */
export const ipBytes16 = (text: string): Buffer => Buffer.from(ipBytes(unwrap(parseText(text))));
/** 4 or 16 bytes. */
export const ipBytesOf = (text: string): Buffer => ipBytes16(text).subarray(0, familyOf(text) === 4 ? 4 : 16);
