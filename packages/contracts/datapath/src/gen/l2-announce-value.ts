// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBytes, getU64, putBytes, putU64, room, type Codec } from '../codec.ts';

/** `struct l2_announce_value`, 16 bytes. */
export interface L2AnnounceValue {
  readonly untilNs: bigint;
  /** 6 bytes. */
  readonly mac: Uint8Array;
}

export const l2AnnounceValue: Codec<L2AnnounceValue> = {
  name: 'l2_announce_value',
  size: 16,
  encode(v, out, at = 0) {
    const b = room(out, at, 16);
    putU64(b, at, v.untilNs, 'l2_announce_value.until_ns');
    putBytes(b, at + 8, v.mac, 6, 'l2_announce_value.mac');
    return b;
  },
  decode(b, at = 0) {
    return {
      untilNs: getU64(b, at),
      mac: getBytes(b, at + 8, 6),
    };
  },
};
