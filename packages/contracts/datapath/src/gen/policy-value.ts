// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, getU32, getU8, putBe16, putU32, putU8, room, type Codec } from '../codec.ts';

/** `struct policy_value`, 16 bytes. */
export interface PolicyValue {
  readonly precedence: number;
  readonly ruleId: number;
  /** Network order in the table, plain number here. */
  readonly proxyPort: number;
  readonly verdict: number;
  readonly flags: number;
}

export const policyValue: Codec<PolicyValue> = {
  name: 'policy_value',
  size: 16,
  encode(v, out, at = 0) {
    const b = room(out, at, 16);
    putU32(b, at, v.precedence, 'policy_value.precedence');
    putU32(b, at + 4, v.ruleId, 'policy_value.rule_id');
    putBe16(b, at + 8, v.proxyPort, 'policy_value.proxy_port');
    putU8(b, at + 10, v.verdict, 'policy_value.verdict');
    putU8(b, at + 11, v.flags, 'policy_value.flags');
    return b;
  },
  decode(b, at = 0) {
    return {
      precedence: getU32(b, at),
      ruleId: getU32(b, at + 4),
      proxyPort: getBe16(b, at + 8),
      verdict: getU8(b, at + 10),
      flags: getU8(b, at + 11),
    };
  },
};
