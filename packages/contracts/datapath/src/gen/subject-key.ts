// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getU32, putU32, room, type Codec } from '../codec.ts';

/** `struct subject_key`, 8 bytes. */
export interface SubjectKey {
  readonly identity: number;
  readonly layer: number;
}

export const subjectKey: Codec<SubjectKey> = {
  name: 'subject_key',
  size: 8,
  encode(v, out, at = 0) {
    const b = room(out, at, 8);
    putU32(b, at, v.identity, 'subject_key.identity');
    putU32(b, at + 4, v.layer, 'subject_key.layer');
    return b;
  },
  decode(b, at = 0) {
    return {
      identity: getU32(b, at),
      layer: getU32(b, at + 4),
    };
  },
};
