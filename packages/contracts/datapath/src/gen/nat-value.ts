// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, getBytes, getU32, getU64, getU8, putBe16, putBytes, putU32, putU64, putU8, room, type Codec } from '../codec.ts';

/** `struct nat_value`, 104 bytes. */
export interface NatValue {
  readonly revision: number;
  readonly expires: number;
  /** 16 bytes. */
  readonly daddr: Uint8Array;
  /** 16 bytes. */
  readonly saddr: Uint8Array;
  /** Network order in the table, plain number here. */
  readonly dport: number;
  /** Network order in the table, plain number here. */
  readonly sport: number;
  readonly action: number;
  readonly flags: number;
  readonly set: bigint;
  readonly backendId: number;
  readonly serviceId: number;
  readonly ifindexOut: number;
  readonly checked: number;
  /** 16 bytes. */
  readonly hop: Uint8Array;
  /** 6 bytes. */
  readonly dmac: Uint8Array;
  /** 6 bytes. */
  readonly smac: Uint8Array;
  readonly mtu: number;
}

export const natValue: Codec<NatValue> = {
  name: 'nat_value',
  size: 104,
  encode(v, out, at = 0) {
    const b = room(out, at, 104);
    putU32(b, at, v.revision, 'nat_value.revision');
    putU32(b, at + 4, v.expires, 'nat_value.expires');
    putBytes(b, at + 8, v.daddr, 16, 'nat_value.daddr');
    putBytes(b, at + 24, v.saddr, 16, 'nat_value.saddr');
    putBe16(b, at + 40, v.dport, 'nat_value.dport');
    putBe16(b, at + 42, v.sport, 'nat_value.sport');
    putU8(b, at + 44, v.action, 'nat_value.action');
    putU8(b, at + 45, v.flags, 'nat_value.flags');
    putU64(b, at + 48, v.set, 'nat_value.set');
    putU32(b, at + 56, v.backendId, 'nat_value.backend_id');
    putU32(b, at + 60, v.serviceId, 'nat_value.service_id');
    putU32(b, at + 64, v.ifindexOut, 'nat_value.ifindex_out');
    putU32(b, at + 68, v.checked, 'nat_value.checked');
    putBytes(b, at + 72, v.hop, 16, 'nat_value.hop');
    putBytes(b, at + 88, v.dmac, 6, 'nat_value.dmac');
    putBytes(b, at + 94, v.smac, 6, 'nat_value.smac');
    putU32(b, at + 100, v.mtu, 'nat_value.mtu');
    return b;
  },
  decode(b, at = 0) {
    return {
      revision: getU32(b, at),
      expires: getU32(b, at + 4),
      daddr: getBytes(b, at + 8, 16),
      saddr: getBytes(b, at + 24, 16),
      dport: getBe16(b, at + 40),
      sport: getBe16(b, at + 42),
      action: getU8(b, at + 44),
      flags: getU8(b, at + 45),
      set: getU64(b, at + 48),
      backendId: getU32(b, at + 56),
      serviceId: getU32(b, at + 60),
      ifindexOut: getU32(b, at + 64),
      checked: getU32(b, at + 68),
      hop: getBytes(b, at + 72, 16),
      dmac: getBytes(b, at + 88, 6),
      smac: getBytes(b, at + 94, 6),
      mtu: getU32(b, at + 100),
    };
  },
};
