// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getU64, putU64, room, type Codec } from '../codec.ts';

/** `struct counter_value`, 16 bytes. */
export interface CounterValue {
  readonly packets: bigint;
  readonly bytes: bigint;
}

export const counterValue: Codec<CounterValue> = {
  name: 'counter_value',
  size: 16,
  encode(v, out, at = 0) {
    const b = room(out, at, 16);
    putU64(b, at, v.packets, 'counter_value.packets');
    putU64(b, at + 8, v.bytes, 'counter_value.bytes');
    return b;
  },
  decode(b, at = 0) {
    return {
      packets: getU64(b, at),
      bytes: getU64(b, at + 8),
    };
  },
};
