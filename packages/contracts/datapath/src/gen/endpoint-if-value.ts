// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBytes, getU16, getU32, putBytes, putU16, putU32, room, type Codec } from '../codec.ts';

/** `struct endpoint_if_value`, 40 bytes. */
export interface EndpointIfValue {
  readonly identity: number;
  readonly id: number;
  readonly flags: number;
  /** 6 bytes. */
  readonly mac: Uint8Array;
  /** 6 bytes. */
  readonly hostMac: Uint8Array;
  /** 4 bytes. */
  readonly ip4: Uint8Array;
  /** 16 bytes. */
  readonly ip6: Uint8Array;
}

export const endpointIfValue: Codec<EndpointIfValue> = {
  name: 'endpoint_if_value',
  size: 40,
  encode(v, out, at = 0) {
    const b = room(out, at, 40);
    putU32(b, at, v.identity, 'endpoint_if_value.identity');
    putU16(b, at + 4, v.id, 'endpoint_if_value.id');
    putU16(b, at + 6, v.flags, 'endpoint_if_value.flags');
    putBytes(b, at + 8, v.mac, 6, 'endpoint_if_value.mac');
    putBytes(b, at + 14, v.hostMac, 6, 'endpoint_if_value.host_mac');
    putBytes(b, at + 20, v.ip4, 4, 'endpoint_if_value.ip4');
    putBytes(b, at + 24, v.ip6, 16, 'endpoint_if_value.ip6');
    return b;
  },
  decode(b, at = 0) {
    return {
      identity: getU32(b, at),
      id: getU16(b, at + 4),
      flags: getU16(b, at + 6),
      mac: getBytes(b, at + 8, 6),
      hostMac: getBytes(b, at + 14, 6),
      ip4: getBytes(b, at + 20, 4),
      ip6: getBytes(b, at + 24, 16),
    };
  },
};
