// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBytes, getU32, getU8, putBytes, putU32, putU8, room, type Codec } from '../codec.ts';

/** `struct l2_announce_key`, 24 bytes. */
export interface L2AnnounceKey {
  readonly ifindex: number;
  readonly family: number;
  /** 16 bytes. */
  readonly addr: Uint8Array;
}

export const l2AnnounceKey: Codec<L2AnnounceKey> = {
  name: 'l2_announce_key',
  size: 24,
  encode(v, out, at = 0) {
    const b = room(out, at, 24);
    putU32(b, at, v.ifindex, 'l2_announce_key.ifindex');
    putU8(b, at + 4, v.family, 'l2_announce_key.family');
    putBytes(b, at + 8, v.addr, 16, 'l2_announce_key.addr');
    return b;
  },
  decode(b, at = 0) {
    return {
      ifindex: getU32(b, at),
      family: getU8(b, at + 4),
      addr: getBytes(b, at + 8, 16),
    };
  },
};
