// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, getBytes, getU64, getU8, putBe16, putBytes, putU64, putU8, room, type Codec } from '../codec.ts';

/** `struct lb_sock_key`, 32 bytes. */
export interface LbSockKey {
  readonly cookie: bigint;
  /** 16 bytes. */
  readonly addr: Uint8Array;
  /** Network order in the table, plain number here. */
  readonly port: number;
  readonly family: number;
  readonly proto: number;
}

export const lbSockKey: Codec<LbSockKey> = {
  name: 'lb_sock_key',
  size: 32,
  encode(v, out, at = 0) {
    const b = room(out, at, 32);
    putU64(b, at, v.cookie, 'lb_sock_key.cookie');
    putBytes(b, at + 8, v.addr, 16, 'lb_sock_key.addr');
    putBe16(b, at + 24, v.port, 'lb_sock_key.port');
    putU8(b, at + 26, v.family, 'lb_sock_key.family');
    putU8(b, at + 27, v.proto, 'lb_sock_key.proto');
    return b;
  },
  decode(b, at = 0) {
    return {
      cookie: getU64(b, at),
      addr: getBytes(b, at + 8, 16),
      port: getBe16(b, at + 24),
      family: getU8(b, at + 26),
      proto: getU8(b, at + 27),
    };
  },
};
