// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getU32, getU64, putU32, putU64, room, type Codec } from '../codec.ts';

/** `struct lb_slot_key`, 16 bytes. */
export interface LbSlotKey {
  readonly set: bigint;
  readonly index: number;
}

export const lbSlotKey: Codec<LbSlotKey> = {
  name: 'lb_slot_key',
  size: 16,
  encode(v, out, at = 0) {
    const b = room(out, at, 16);
    putU64(b, at, v.set, 'lb_slot_key.set');
    putU32(b, at + 8, v.index, 'lb_slot_key.index');
    return b;
  },
  decode(b, at = 0) {
    return {
      set: getU64(b, at),
      index: getU32(b, at + 8),
    };
  },
};
