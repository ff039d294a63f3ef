// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, getU32, getU8, putBe16, putU32, putU8, room, type Codec } from '../codec.ts';

/** `struct counter_key`, 16 bytes. */
export interface CounterKey {
  readonly subject: number;
  readonly peer: number;
  readonly ruleId: number;
  /** Network order in the table, plain number here. */
  readonly port: number;
  readonly proto: number;
  readonly dirVerdict: number;
}

export const counterKey: Codec<CounterKey> = {
  name: 'counter_key',
  size: 16,
  encode(v, out, at = 0) {
    const b = room(out, at, 16);
    putU32(b, at, v.subject, 'counter_key.subject');
    putU32(b, at + 4, v.peer, 'counter_key.peer');
    putU32(b, at + 8, v.ruleId, 'counter_key.rule_id');
    putBe16(b, at + 12, v.port, 'counter_key.port');
    putU8(b, at + 14, v.proto, 'counter_key.proto');
    putU8(b, at + 15, v.dirVerdict, 'counter_key.dir_verdict');
    return b;
  },
  decode(b, at = 0) {
    return {
      subject: getU32(b, at),
      peer: getU32(b, at + 4),
      ruleId: getU32(b, at + 8),
      port: getBe16(b, at + 12),
      proto: getU8(b, at + 14),
      dirVerdict: getU8(b, at + 15),
    };
  },
};
