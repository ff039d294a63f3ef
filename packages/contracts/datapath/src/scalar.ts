// Codecs of maps whose key or value is a plain integer. Called by the table registry.
import { type Codec, getU32, putU32, room } from './codec.ts';

const u32 = (name: string): Codec<number> => ({
  name,
  size: 4,
  encode(v, out, at = 0) {
    const b = room(out, at, 4);
    putU32(b, at, v, name);
    return b;
  },
  decode: (b, at = 0) => getU32(b, at),
});

export const u32Index: Codec<number> = u32('index');
export const u32Value: Codec<number> = u32('value');
