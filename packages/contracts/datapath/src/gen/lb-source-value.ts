// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getU32, putU32, room, type Codec } from '../codec.ts';

/** `struct lb_source_value`, 4 bytes. */
export interface LbSourceValue {
  readonly allowed: number;
}

export const lbSourceValue: Codec<LbSourceValue> = {
  name: 'lb_source_value',
  size: 4,
  encode(v, out, at = 0) {
    const b = room(out, at, 4);
    putU32(b, at, v.allowed, 'lb_source_value.allowed');
    return b;
  },
  decode(b, at = 0) {
    return {
      allowed: getU32(b, at),
    };
  },
};
