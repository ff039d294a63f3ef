// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, getBe32, getU8, putBe16, putBe32, putU8, room, type Codec } from '../codec.ts';

/** `struct flow4_key`, 16 bytes. */
export interface Flow4Key {
  /** Network order in the table, plain number here. */
  readonly saddr: number;
  /** Network order in the table, plain number here. */
  readonly daddr: number;
  /** Network order in the table, plain number here. */
  readonly sport: number;
  /** Network order in the table, plain number here. */
  readonly dport: number;
  readonly proto: number;
  readonly kind: number;
}

export const flow4Key: Codec<Flow4Key> = {
  name: 'flow4_key',
  size: 16,
  encode(v, out, at = 0) {
    const b = room(out, at, 16);
    putBe32(b, at, v.saddr, 'flow4_key.saddr');
    putBe32(b, at + 4, v.daddr, 'flow4_key.daddr');
    putBe16(b, at + 8, v.sport, 'flow4_key.sport');
    putBe16(b, at + 10, v.dport, 'flow4_key.dport');
    putU8(b, at + 12, v.proto, 'flow4_key.proto');
    putU8(b, at + 13, v.kind, 'flow4_key.kind');
    return b;
  },
  decode(b, at = 0) {
    return {
      saddr: getBe32(b, at),
      daddr: getBe32(b, at + 4),
      sport: getBe16(b, at + 8),
      dport: getBe16(b, at + 10),
      proto: getU8(b, at + 12),
      kind: getU8(b, at + 13),
    };
  },
};
