// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBytes, getU32, getU8, putBytes, putU32, putU8, room, type Codec } from '../codec.ts';

/** `struct frag_key`, 40 bytes. */
export interface FragKey {
  /** 16 bytes. */
  readonly saddr: Uint8Array;
  /** 16 bytes. */
  readonly daddr: Uint8Array;
  readonly id: number;
  readonly proto: number;
  readonly family: number;
}

export const fragKey: Codec<FragKey> = {
  name: 'frag_key',
  size: 40,
  encode(v, out, at = 0) {
    const b = room(out, at, 40);
    putBytes(b, at, v.saddr, 16, 'frag_key.saddr');
    putBytes(b, at + 16, v.daddr, 16, 'frag_key.daddr');
    putU32(b, at + 32, v.id, 'frag_key.id');
    putU8(b, at + 36, v.proto, 'frag_key.proto');
    putU8(b, at + 37, v.family, 'frag_key.family');
    return b;
  },
  decode(b, at = 0) {
    return {
      saddr: getBytes(b, at, 16),
      daddr: getBytes(b, at + 16, 16),
      id: getU32(b, at + 32),
      proto: getU8(b, at + 36),
      family: getU8(b, at + 37),
    };
  },
};
