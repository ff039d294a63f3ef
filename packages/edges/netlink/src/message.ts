// Writing and reading of netlink bytes: headers, attributes, nesting. Called by the request builders and the socket.
import { type IpFamily, ipBytes, ipFamily, ipFromBytes, parseIp } from '@axoneme/model';
import { unwrap } from '@axoneme/std';

export const NLM = {
  request: 1,
  multi: 2,
  ack: 4,
  dump: 0x300,
  dumpInterrupted: 0x10,
  replace: 0x100,
  excl: 0x200,
  create: 0x400,
  append: 0x800,
} as const;
const HEADER = 16;
const align4 = (n: number): number => (n + 3) & ~3;

/** AF_INET or AF_INET6. */
export const AF = { any: 0, v4: 2, v6: 10 } as const;

export interface Address {
  readonly af: number;
  /** 4 or 16 bytes. */
  readonly bytes: Uint8Array;
  readonly bits: number;
}

/** `10.0.0.1`, `10.0.0.0/24`, `fd00::1`, `default4`-style callers pass `0.0.0.0/0`. Bits default to the whole address. */
export function parseAddress(text: string): Address {
  const slash = text.indexOf('/');
  const ip = unwrap(parseIp(slash < 0 ? text : text.slice(0, slash)));
  const family = ipFamily(ip);
  const whole = family === 4 ? 32 : 128;
  const bits = slash < 0 ? whole : Number(text.slice(slash + 1));
  return { af: family === 4 ? AF.v4 : AF.v6, bytes: ipBytes(ip).subarray(0, whole / 8), bits };
}

export const familyOf = (af: number): IpFamily => (af === AF.v6 ? 6 : 4);
export const formatAddress = (af: number, bytes: Uint8Array): string => ipFromBytes(familyOf(af), bytes);
export const parseMac = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex');
export const formatMac = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(':');

/** A growing buffer of requests. */
export class MessageWriter {
  bytes = Buffer.alloc(4096);
  length = 0;
  #start = 0;

  begin(type: number, flags: number, sequence: number, header: Uint8Array): this {
    this.#start = this.length;
    this.#room(HEADER);
    this.bytes.writeUInt16LE(type, this.length + 4);
    this.bytes.writeUInt16LE(flags, this.length + 6);
    this.bytes.writeUInt32LE(sequence, this.length + 8);
    this.bytes.writeUInt32LE(0, this.length + 12);
    this.length += HEADER;
    return this.raw(header);
  }
  end(): this {
    this.bytes.writeUInt32LE(this.length - this.#start, this.#start);
    return this;
  }
  raw(data: Uint8Array): this {
    const padded = align4(data.length);
    this.#room(padded);
    this.bytes.set(data, this.length);
    this.bytes.fill(0, this.length + data.length, this.length + padded);
    this.length += padded;
    return this;
  }
  attr(type: number, data: Uint8Array): this {
    this.#room(4);
    this.bytes.writeUInt16LE(4 + data.length, this.length);
    this.bytes.writeUInt16LE(type, this.length + 2);
    this.length += 4;
    return this.raw(data);
  }
  u8(type: number, value: number): this {
    return this.attr(type, Uint8Array.of(value));
  }
  u16be(type: number, value: number): this {
    return this.attr(type, Uint8Array.of(value >> 8, value & 0xff));
  }
  u32(type: number, value: number): this {
    const b = Buffer.alloc(4);
    b.writeUInt32LE(value >>> 0);
    return this.attr(type, b);
  }
  text(type: number, value: string): this {
    return this.attr(type, Buffer.from(`${value}\0`));
  }
  nest(type: number, fill: (m: this) => void, header?: Uint8Array): this {
    this.#room(4);
    const start = this.length;
    this.bytes.writeUInt16LE(type, start + 2);
    this.length += 4;
    if (header !== undefined) this.raw(header);
    fill(this);
    this.bytes.writeUInt16LE(this.length - start, start);
    return this;
  }
  #room(n: number): void {
    if (this.length + n + 4 <= this.bytes.length) return;
    const bigger = Buffer.alloc(Math.max(this.bytes.length * 2, this.length + n + 4));
    this.bytes.copy(bigger, 0, 0, this.length);
    this.bytes = bigger;
  }
}

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** After the netlink header; a copy-free view. */
  readonly payload: Buffer;
}

export function* messages(data: Buffer): Generator<Message> {
  for (let at = 0; at + HEADER <= data.length; ) {
    const length = data.readUInt32LE(at);
    if (length < HEADER || at + length > data.length) return;
    yield {
      type: data.readUInt16LE(at + 4),
      flags: data.readUInt16LE(at + 6),
      sequence: data.readUInt32LE(at + 8),
      payload: data.subarray(at + HEADER, at + length),
    };
    at += align4(length);
  }
}

/** Attributes from `at` on, by type; the last of a kind wins. NLA_F_NESTED and byte-order bits are masked off. */
export function attributes(data: Buffer, at: number): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let o = at; o + 4 <= data.length; ) {
    const length = data.readUInt16LE(o);
    if (length < 4 || o + length > data.length) break;
    found.set(data.readUInt16LE(o + 2) & 0x3fff, data.subarray(o + 4, o + length));
    o += align4(length);
  }
  return found;
}

export function textOf(attr: Buffer | undefined): string | undefined {
  if (attr === undefined) return undefined;
  const end = attr.indexOf(0);
  return attr.toString('utf8', 0, end < 0 ? attr.length : end);
}
export const u32Of = (attr: Buffer | undefined): number | undefined =>
  attr === undefined || attr.length < 4 ? undefined : attr.readUInt32LE(0);
