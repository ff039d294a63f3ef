// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getArray, getU16, putArray, putU16, room, type Codec } from '../codec.ts';

/** `struct lb_maglev_value`, 1024 bytes. */
export interface LbMaglevValue {
  readonly slot: readonly number[];
}

export const lbMaglevValue: Codec<LbMaglevValue> = {
  name: 'lb_maglev_value',
  size: 1024,
  encode(v, out, at = 0) {
    const b = room(out, at, 1024);
    putArray(b, at, v.slot, { length: 512, size: 2, put: putU16, name: 'lb_maglev_value.slot' });
    return b;
  },
  decode(b, at = 0) {
    return {
      slot: getArray(b, at, { length: 512, size: 2, get: getU16 }),
    };
  },
};
