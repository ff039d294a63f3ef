// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBytes, getU8, putBytes, putU8, room, type Codec } from '../codec.ts';

/** `struct endpoint_key`, 20 bytes. */
export interface EndpointKey {
  /** 16 bytes. */
  readonly addr: Uint8Array;
  readonly family: number;
}

export const endpointKey: Codec<EndpointKey> = {
  name: 'endpoint_key',
  size: 20,
  encode(v, out, at = 0) {
    const b = room(out, at, 20);
    putBytes(b, at, v.addr, 16, 'endpoint_key.addr');
    putU8(b, at + 16, v.family, 'endpoint_key.family');
    return b;
  },
  decode(b, at = 0) {
    return {
      addr: getBytes(b, at, 16),
      family: getU8(b, at + 16),
    };
  },
};
