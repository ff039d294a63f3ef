// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBytes, getU32, getU8, putBytes, putU32, putU8, room, type Codec } from '../codec.ts';

/** `struct ipcache_key`, 24 bytes. */
export interface IpcacheKey {
  readonly prefixlen: number;
  readonly family: number;
  /** 16 bytes. */
  readonly addr: Uint8Array;
}

export const ipcacheKey: Codec<IpcacheKey> = {
  name: 'ipcache_key',
  size: 24,
  encode(v, out, at = 0) {
    const b = room(out, at, 24);
    putU32(b, at, v.prefixlen, 'ipcache_key.prefixlen');
    putU8(b, at + 4, v.family, 'ipcache_key.family');
    putBytes(b, at + 8, v.addr, 16, 'ipcache_key.addr');
    return b;
  },
  decode(b, at = 0) {
    return {
      prefixlen: getU32(b, at),
      family: getU8(b, at + 4),
      addr: getBytes(b, at + 8, 16),
    };
  },
};
