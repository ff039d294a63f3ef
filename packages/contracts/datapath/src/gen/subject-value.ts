// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getU32, getU64, getU8, putArray, putU32, putU64, putU8, room, type Codec } from '../codec.ts';

/** `struct subject_value`, 40 bytes. */
export interface SubjectValue {
  readonly handle: bigint;
  readonly denyRule: readonly [number, number];
  readonly peerMask: readonly [number, number];
  readonly anyMask: readonly [number, number];
  readonly flags: number;
}

export const subjectValue: Codec<SubjectValue> = {
  name: 'subject_value',
  size: 40,
  encode(v, out, at = 0) {
    const b = room(out, at, 40);
    putU64(b, at, v.handle, 'subject_value.handle');
    putArray(b, at + 8, v.denyRule, { length: 2, size: 4, put: putU32, name: 'subject_value.deny_rule' });
    putArray(b, at + 16, v.peerMask, { length: 2, size: 4, put: putU32, name: 'subject_value.peer_mask' });
    putArray(b, at + 24, v.anyMask, { length: 2, size: 4, put: putU32, name: 'subject_value.any_mask' });
    putU8(b, at + 32, v.flags, 'subject_value.flags');
    return b;
  },
  decode(b, at = 0) {
    return {
      handle: getU64(b, at),
      denyRule: [getU32(b, at + 8), getU32(b, at + 12)],
      peerMask: [getU32(b, at + 16), getU32(b, at + 20)],
      anyMask: [getU32(b, at + 24), getU32(b, at + 28)],
      flags: getU8(b, at + 32),
    };
  },
};
