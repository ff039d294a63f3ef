// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getU64, putU64, room, type Codec } from '../codec.ts';

/** `struct drop_value`, 16 bytes. */
export interface DropValue {
  readonly packets: bigint;
  readonly bytes: bigint;
}

export const dropValue: Codec<DropValue> = {
  name: 'drop_value',
  size: 16,
  encode(v, out, at = 0) {
    const b = room(out, at, 16);
    putU64(b, at, v.packets, 'drop_value.packets');
    putU64(b, at + 8, v.bytes, 'drop_value.bytes');
    return b;
  },
  decode(b, at = 0) {
    return {
      packets: getU64(b, at),
      bytes: getU64(b, at + 8),
    };
  },
};
