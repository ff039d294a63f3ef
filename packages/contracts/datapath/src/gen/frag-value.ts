// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, putBe16, room, type Codec } from '../codec.ts';

/** `struct frag_value`, 4 bytes. */
export interface FragValue {
  /** Network order in the table, plain number here. */
  readonly sport: number;
  /** Network order in the table, plain number here. */
  readonly dport: number;
}

export const fragValue: Codec<FragValue> = {
  name: 'frag_value',
  size: 4,
  encode(v, out, at = 0) {
    const b = room(out, at, 4);
    putBe16(b, at, v.sport, 'frag_value.sport');
    putBe16(b, at + 2, v.dport, 'frag_value.dport');
    return b;
  },
  decode(b, at = 0) {
    return {
      sport: getBe16(b, at),
      dport: getBe16(b, at + 2),
    };
  },
};
