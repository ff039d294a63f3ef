// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, getBytes, getU8, putBe16, putBytes, putU8, room, type Codec } from '../codec.ts';

/** `struct lb_frontend_key`, 20 bytes. */
export interface LbFrontendKey {
  /** 16 bytes. */
  readonly addr: Uint8Array;
  /** Network order in the table, plain number here. */
  readonly port: number;
  readonly proto: number;
  readonly family: number;
}

export const lbFrontendKey: Codec<LbFrontendKey> = {
  name: 'lb_frontend_key',
  size: 20,
  encode(v, out, at = 0) {
    const b = room(out, at, 20);
    putBytes(b, at, v.addr, 16, 'lb_frontend_key.addr');
    putBe16(b, at + 16, v.port, 'lb_frontend_key.port');
    putU8(b, at + 18, v.proto, 'lb_frontend_key.proto');
    putU8(b, at + 19, v.family, 'lb_frontend_key.family');
    return b;
  },
  decode(b, at = 0) {
    return {
      addr: getBytes(b, at, 16),
      port: getBe16(b, at + 16),
      proto: getU8(b, at + 18),
      family: getU8(b, at + 19),
    };
  },
};
