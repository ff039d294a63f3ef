// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBytes, getU32, getU8, putBytes, putU32, putU8, room, type Codec } from '../codec.ts';

/** `struct lb_affinity_key`, 24 bytes. */
export interface LbAffinityKey {
  readonly serviceId: number;
  readonly family: number;
  readonly proto: number;
  readonly scope: number;
  /** 16 bytes. */
  readonly client: Uint8Array;
}

export const lbAffinityKey: Codec<LbAffinityKey> = {
  name: 'lb_affinity_key',
  size: 24,
  encode(v, out, at = 0) {
    const b = room(out, at, 24);
    putU32(b, at, v.serviceId, 'lb_affinity_key.service_id');
    putU8(b, at + 4, v.family, 'lb_affinity_key.family');
    putU8(b, at + 5, v.proto, 'lb_affinity_key.proto');
    putU8(b, at + 6, v.scope, 'lb_affinity_key.scope');
    putBytes(b, at + 8, v.client, 16, 'lb_affinity_key.client');
    return b;
  },
  decode(b, at = 0) {
    return {
      serviceId: getU32(b, at),
      family: getU8(b, at + 4),
      proto: getU8(b, at + 5),
      scope: getU8(b, at + 6),
      client: getBytes(b, at + 8, 16),
    };
  },
};
