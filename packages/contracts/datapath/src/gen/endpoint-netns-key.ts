// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getU64, putU64, room, type Codec } from '../codec.ts';

/** `struct endpoint_netns_key`, 8 bytes. */
export interface EndpointNetnsKey {
  readonly cookie: bigint;
}

export const endpointNetnsKey: Codec<EndpointNetnsKey> = {
  name: 'endpoint_netns_key',
  size: 8,
  encode(v, out, at = 0) {
    const b = room(out, at, 8);
    putU64(b, at, v.cookie, 'endpoint_netns_key.cookie');
    return b;
  },
  decode(b, at = 0) {
    return {
      cookie: getU64(b, at),
    };
  },
};
