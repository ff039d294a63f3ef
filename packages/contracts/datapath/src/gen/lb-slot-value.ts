// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, getBytes, getU32, getU8, putBe16, putBytes, putU32, putU8, room, type Codec } from '../codec.ts';

/** `struct lb_slot_value`, 24 bytes. */
export interface LbSlotValue {
  /** 16 bytes. */
  readonly addr: Uint8Array;
  /** Network order in the table, plain number here. */
  readonly port: number;
  readonly family: number;
  readonly flags: number;
  readonly backendId: number;
}

export const lbSlotValue: Codec<LbSlotValue> = {
  name: 'lb_slot_value',
  size: 24,
  encode(v, out, at = 0) {
    const b = room(out, at, 24);
    putBytes(b, at, v.addr, 16, 'lb_slot_value.addr');
    putBe16(b, at + 16, v.port, 'lb_slot_value.port');
    putU8(b, at + 18, v.family, 'lb_slot_value.family');
    putU8(b, at + 19, v.flags, 'lb_slot_value.flags');
    putU32(b, at + 20, v.backendId, 'lb_slot_value.backend_id');
    return b;
  },
  decode(b, at = 0) {
    return {
      addr: getBytes(b, at, 16),
      port: getBe16(b, at + 16),
      family: getU8(b, at + 18),
      flags: getU8(b, at + 19),
      backendId: getU32(b, at + 20),
    };
  },
};
