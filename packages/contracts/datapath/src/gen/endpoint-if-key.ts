// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getU32, putU32, room, type Codec } from '../codec.ts';

/** `struct endpoint_if_key`, 4 bytes. */
export interface EndpointIfKey {
  readonly ifindex: number;
}

export const endpointIfKey: Codec<EndpointIfKey> = {
  name: 'endpoint_if_key',
  size: 4,
  encode(v, out, at = 0) {
    const b = room(out, at, 4);
    putU32(b, at, v.ifindex, 'endpoint_if_key.ifindex');
    return b;
  },
  decode(b, at = 0) {
    return {
      ifindex: getU32(b, at),
    };
  },
};
