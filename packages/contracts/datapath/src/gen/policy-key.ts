// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, getU32, getU64, getU8, putBe16, putU32, putU64, putU8, room, type Codec } from '../codec.ts';

/** `struct policy_key`, 16 bytes. */
export interface PolicyKey {
  readonly handle: bigint;
  readonly peer: number;
  readonly proto: number;
  readonly dirPlen: number;
  /** Network order in the table, plain number here. */
  readonly port: number;
}

export const policyKey: Codec<PolicyKey> = {
  name: 'policy_key',
  size: 16,
  encode(v, out, at = 0) {
    const b = room(out, at, 16);
    putU64(b, at, v.handle, 'policy_key.handle');
    putU32(b, at + 8, v.peer, 'policy_key.peer');
    putU8(b, at + 12, v.proto, 'policy_key.proto');
    putU8(b, at + 13, v.dirPlen, 'policy_key.dir_plen');
    putBe16(b, at + 14, v.port, 'policy_key.port');
    return b;
  },
  decode(b, at = 0) {
    return {
      handle: getU64(b, at),
      peer: getU32(b, at + 8),
      proto: getU8(b, at + 12),
      dirPlen: getU8(b, at + 13),
      port: getBe16(b, at + 14),
    };
  },
};
