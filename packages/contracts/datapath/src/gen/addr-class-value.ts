// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getU32, putU32, room, type Codec } from '../codec.ts';

/** `struct addr_class_value`, 4 bytes. */
export interface AddrClassValue {
  readonly class: number;
}

export const addrClassValue: Codec<AddrClassValue> = {
  name: 'addr_class_value',
  size: 4,
  encode(v, out, at = 0) {
    const b = room(out, at, 4);
    putU32(b, at, v.class, 'addr_class_value.class');
    return b;
  },
  decode(b, at = 0) {
    return {
      class: getU32(b, at),
    };
  },
};
