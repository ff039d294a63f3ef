// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBytes, getU32, getU8, putBytes, putU32, putU8, room, type Codec } from '../codec.ts';

/** `struct ipcache_value`, 24 bytes. */
export interface IpcacheValue {
  readonly identity: number;
  readonly tunnelFamily: number;
  readonly flags: number;
  /** 16 bytes. */
  readonly tunnel: Uint8Array;
}

export const ipcacheValue: Codec<IpcacheValue> = {
  name: 'ipcache_value',
  size: 24,
  encode(v, out, at = 0) {
    const b = room(out, at, 24);
    putU32(b, at, v.identity, 'ipcache_value.identity');
    putU8(b, at + 4, v.tunnelFamily, 'ipcache_value.tunnel_family');
    putU8(b, at + 5, v.flags, 'ipcache_value.flags');
    putBytes(b, at + 8, v.tunnel, 16, 'ipcache_value.tunnel');
    return b;
  },
  decode(b, at = 0) {
    return {
      identity: getU32(b, at),
      tunnelFamily: getU8(b, at + 4),
      flags: getU8(b, at + 5),
      tunnel: getBytes(b, at + 8, 16),
    };
  },
};
