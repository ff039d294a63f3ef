// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, getBytes, getU8, putBe16, putBytes, putU8, room, type Codec } from '../codec.ts';

/** `struct flow6_key`, 40 bytes. */
export interface Flow6Key {
  /** 16 bytes. */
  readonly saddr: Uint8Array;
  /** 16 bytes. */
  readonly daddr: Uint8Array;
  /** Network order in the table, plain number here. */
  readonly sport: number;
  /** Network order in the table, plain number here. */
  readonly dport: number;
  readonly proto: number;
  readonly kind: number;
}

export const flow6Key: Codec<Flow6Key> = {
  name: 'flow6_key',
  size: 40,
  encode(v, out, at = 0) {
    const b = room(out, at, 40);
    putBytes(b, at, v.saddr, 16, 'flow6_key.saddr');
    putBytes(b, at + 16, v.daddr, 16, 'flow6_key.daddr');
    putBe16(b, at + 32, v.sport, 'flow6_key.sport');
    putBe16(b, at + 34, v.dport, 'flow6_key.dport');
    putU8(b, at + 36, v.proto, 'flow6_key.proto');
    putU8(b, at + 37, v.kind, 'flow6_key.kind');
    return b;
  },
  decode(b, at = 0) {
    return {
      saddr: getBytes(b, at, 16),
      daddr: getBytes(b, at + 16, 16),
      sport: getBe16(b, at + 32),
      dport: getBe16(b, at + 34),
      proto: getU8(b, at + 36),
      kind: getU8(b, at + 37),
    };
  },
};
