// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBytes, getU32, getU8, putBytes, putU32, putU8, room, type Codec } from '../codec.ts';

/** `struct lb_source_key`, 28 bytes. */
export interface LbSourceKey {
  readonly prefixlen: number;
  readonly serviceId: number;
  readonly family: number;
  /** 16 bytes. */
  readonly addr: Uint8Array;
}

export const lbSourceKey: Codec<LbSourceKey> = {
  name: 'lb_source_key',
  size: 28,
  encode(v, out, at = 0) {
    const b = room(out, at, 28);
    putU32(b, at, v.prefixlen, 'lb_source_key.prefixlen');
    putU32(b, at + 4, v.serviceId, 'lb_source_key.service_id');
    putU8(b, at + 8, v.family, 'lb_source_key.family');
    putBytes(b, at + 12, v.addr, 16, 'lb_source_key.addr');
    return b;
  },
  decode(b, at = 0) {
    return {
      prefixlen: getU32(b, at),
      serviceId: getU32(b, at + 4),
      family: getU8(b, at + 8),
      addr: getBytes(b, at + 12, 16),
    };
  },
};
