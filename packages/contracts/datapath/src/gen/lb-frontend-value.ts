// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getU32, getU64, putU32, putU64, room, type Codec } from '../codec.ts';

/** `struct lb_frontend_value`, 40 bytes. */
export interface LbFrontendValue {
  readonly setOut: bigint;
  readonly setIn: bigint;
  readonly countOut: number;
  readonly countIn: number;
  readonly maglevSize: number;
  readonly serviceId: number;
  readonly affinityS: number;
  readonly flags: number;
}

export const lbFrontendValue: Codec<LbFrontendValue> = {
  name: 'lb_frontend_value',
  size: 40,
  encode(v, out, at = 0) {
    const b = room(out, at, 40);
    putU64(b, at, v.setOut, 'lb_frontend_value.set_out');
    putU64(b, at + 8, v.setIn, 'lb_frontend_value.set_in');
    putU32(b, at + 16, v.countOut, 'lb_frontend_value.count_out');
    putU32(b, at + 20, v.countIn, 'lb_frontend_value.count_in');
    putU32(b, at + 24, v.maglevSize, 'lb_frontend_value.maglev_size');
    putU32(b, at + 28, v.serviceId, 'lb_frontend_value.service_id');
    putU32(b, at + 32, v.affinityS, 'lb_frontend_value.affinity_s');
    putU32(b, at + 36, v.flags, 'lb_frontend_value.flags');
    return b;
  },
  decode(b, at = 0) {
    return {
      setOut: getU64(b, at),
      setIn: getU64(b, at + 8),
      countOut: getU32(b, at + 16),
      countIn: getU32(b, at + 20),
      maglevSize: getU32(b, at + 24),
      serviceId: getU32(b, at + 28),
      affinityS: getU32(b, at + 32),
      flags: getU32(b, at + 36),
    };
  },
};
