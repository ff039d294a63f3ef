// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, getBytes, getU32, getU64, getU8, putBe16, putBytes, putU32, putU64, putU8, room, type Codec } from '../codec.ts';

/** `struct lb_affinity_value`, 40 bytes. */
export interface LbAffinityValue {
  readonly set: bigint;
  readonly lastNs: bigint;
  /** 16 bytes. */
  readonly addr: Uint8Array;
  /** Network order in the table, plain number here. */
  readonly port: number;
  readonly family: number;
  readonly backendId: number;
}

export const lbAffinityValue: Codec<LbAffinityValue> = {
  name: 'lb_affinity_value',
  size: 40,
  encode(v, out, at = 0) {
    const b = room(out, at, 40);
    putU64(b, at, v.set, 'lb_affinity_value.set');
    putU64(b, at + 8, v.lastNs, 'lb_affinity_value.last_ns');
    putBytes(b, at + 16, v.addr, 16, 'lb_affinity_value.addr');
    putBe16(b, at + 32, v.port, 'lb_affinity_value.port');
    putU8(b, at + 34, v.family, 'lb_affinity_value.family');
    putU32(b, at + 36, v.backendId, 'lb_affinity_value.backend_id');
    return b;
  },
  decode(b, at = 0) {
    return {
      set: getU64(b, at),
      lastNs: getU64(b, at + 8),
      addr: getBytes(b, at + 16, 16),
      port: getBe16(b, at + 32),
      family: getU8(b, at + 34),
      backendId: getU32(b, at + 36),
    };
  },
};
