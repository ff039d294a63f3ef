// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getU32, getU64, putU32, putU64, room, type Codec } from '../codec.ts';

/** `struct lb_maglev_key`, 16 bytes. */
export interface LbMaglevKey {
  readonly set: bigint;
  readonly chunk: number;
}

export const lbMaglevKey: Codec<LbMaglevKey> = {
  name: 'lb_maglev_key',
  size: 16,
  encode(v, out, at = 0) {
    const b = room(out, at, 16);
    putU64(b, at, v.set, 'lb_maglev_key.set');
    putU32(b, at + 8, v.chunk, 'lb_maglev_key.chunk');
    return b;
  },
  decode(b, at = 0) {
    return {
      set: getU64(b, at),
      chunk: getU32(b, at + 8),
    };
  },
};
