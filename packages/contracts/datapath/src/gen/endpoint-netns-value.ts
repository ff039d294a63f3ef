// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBytes, putBytes, room, type Codec } from '../codec.ts';

/** `struct endpoint_netns_value`, 24 bytes. */
export interface EndpointNetnsValue {
  /** 16 bytes. */
  readonly ip6: Uint8Array;
  /** 4 bytes. */
  readonly ip4: Uint8Array;
}

export const endpointNetnsValue: Codec<EndpointNetnsValue> = {
  name: 'endpoint_netns_value',
  size: 24,
  encode(v, out, at = 0) {
    const b = room(out, at, 24);
    putBytes(b, at, v.ip6, 16, 'endpoint_netns_value.ip6');
    putBytes(b, at + 16, v.ip4, 4, 'endpoint_netns_value.ip4');
    return b;
  },
  decode(b, at = 0) {
    return {
      ip6: getBytes(b, at, 16),
      ip4: getBytes(b, at + 16, 4),
    };
  },
};
