// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getU32, getU64, putU32, putU64, room, type Codec } from '../codec.ts';

/** `struct lb_frontend_value`, 24 bytes. */
export interface LbFrontendValue {
  readonly set: bigint;
  readonly count: number;
  readonly flags: number;
  readonly serviceId: number;
  readonly affinityS: number;
}

export const lbFrontendValue: Codec<LbFrontendValue> = {
  name: 'lb_frontend_value',
  size: 24,
  encode(v, out, at = 0) {
    const b = room(out, at, 24);
    putU64(b, at, v.set, 'lb_frontend_value.set');
    putU32(b, at + 8, v.count, 'lb_frontend_value.count');
    putU32(b, at + 12, v.flags, 'lb_frontend_value.flags');
    putU32(b, at + 16, v.serviceId, 'lb_frontend_value.service_id');
    putU32(b, at + 20, v.affinityS, 'lb_frontend_value.affinity_s');
    return b;
  },
  decode(b, at = 0) {
    return {
      set: getU64(b, at),
      count: getU32(b, at + 8),
      flags: getU32(b, at + 12),
      serviceId: getU32(b, at + 16),
      affinityS: getU32(b, at + 20),
    };
  },
};
