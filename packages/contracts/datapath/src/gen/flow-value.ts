// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, getBytes, getU32, getU64, getU8, putBe16, putBytes, putU32, putU64, putU8, room, type Codec } from '../codec.ts';

/** `struct flow_value`, 64 bytes. */
export interface FlowValue {
  readonly generation: number;
  readonly ifindexIn: number;
  readonly ifindexOut: number;
  readonly action: number;
  readonly flags: number;
  /** Network order in the table, plain number here. */
  readonly port: number;
  /** 6 bytes. */
  readonly dmac: Uint8Array;
  /** 6 bytes. */
  readonly smac: Uint8Array;
  readonly expires: number;
  /** 16 bytes. */
  readonly addr: Uint8Array;
  readonly packets: bigint;
  readonly bytes: bigint;
}

export const flowValue: Codec<FlowValue> = {
  name: 'flow_value',
  size: 64,
  encode(v, out, at = 0) {
    const b = room(out, at, 64);
    putU32(b, at, v.generation, 'flow_value.generation');
    putU32(b, at + 4, v.ifindexIn, 'flow_value.ifindex_in');
    putU32(b, at + 8, v.ifindexOut, 'flow_value.ifindex_out');
    putU8(b, at + 12, v.action, 'flow_value.action');
    putU8(b, at + 13, v.flags, 'flow_value.flags');
    putBe16(b, at + 14, v.port, 'flow_value.port');
    putBytes(b, at + 16, v.dmac, 6, 'flow_value.dmac');
    putBytes(b, at + 22, v.smac, 6, 'flow_value.smac');
    putU32(b, at + 28, v.expires, 'flow_value.expires');
    putBytes(b, at + 32, v.addr, 16, 'flow_value.addr');
    putU64(b, at + 48, v.packets, 'flow_value.packets');
    putU64(b, at + 56, v.bytes, 'flow_value.bytes');
    return b;
  },
  decode(b, at = 0) {
    return {
      generation: getU32(b, at),
      ifindexIn: getU32(b, at + 4),
      ifindexOut: getU32(b, at + 8),
      action: getU8(b, at + 12),
      flags: getU8(b, at + 13),
      port: getBe16(b, at + 14),
      dmac: getBytes(b, at + 16, 6),
      smac: getBytes(b, at + 22, 6),
      expires: getU32(b, at + 28),
      addr: getBytes(b, at + 32, 16),
      packets: getU64(b, at + 48),
      bytes: getU64(b, at + 56),
    };
  },
};
