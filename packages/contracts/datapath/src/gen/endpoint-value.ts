// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBytes, getU16, getU32, putBytes, putU16, putU32, room, type Codec } from '../codec.ts';

/** `struct endpoint_value`, 24 bytes. */
export interface EndpointValue {
  readonly ifindex: number;
  readonly identity: number;
  readonly id: number;
  readonly flags: number;
  /** 6 bytes. */
  readonly mac: Uint8Array;
  /** 6 bytes. */
  readonly hostMac: Uint8Array;
}

export const endpointValue: Codec<EndpointValue> = {
  name: 'endpoint_value',
  size: 24,
  encode(v, out, at = 0) {
    const b = room(out, at, 24);
    putU32(b, at, v.ifindex, 'endpoint_value.ifindex');
    putU32(b, at + 4, v.identity, 'endpoint_value.identity');
    putU16(b, at + 8, v.id, 'endpoint_value.id');
    putU16(b, at + 10, v.flags, 'endpoint_value.flags');
    putBytes(b, at + 12, v.mac, 6, 'endpoint_value.mac');
    putBytes(b, at + 18, v.hostMac, 6, 'endpoint_value.host_mac');
    return b;
  },
  decode(b, at = 0) {
    return {
      ifindex: getU32(b, at),
      identity: getU32(b, at + 4),
      id: getU16(b, at + 8),
      flags: getU16(b, at + 10),
      mac: getBytes(b, at + 12, 6),
      hostMac: getBytes(b, at + 18, 6),
    };
  },
};
