// 32-bit hashes of Maglev: one for texts (order of backends), one for flows. The flow hash is the same in bpf/lib; both are held against
// test/lookup-vectors.json. Called by maglev.ts and by whoever explains a choice.
import { type IpAddr, ipBytes, type PortProtocol, protocolNumbers } from '@axoneme/model';

/** Seed of every table and lookup; one value for the whole cluster, the same in bpf/lib. */
export const MAGLEV_SEED = 0x41786f6e;

const rotate = (x: number, bits: number): number => (x << bits) | (x >>> (32 - bits));

function mixWord(hash: number, word: number): number {
  const k = Math.imul(rotate(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593);
  return (Math.imul(rotate(hash ^ k, 13), 5) + 0xe6546b64) | 0;
}

function finish(hash: number, bytes: number): number {
  let h = hash ^ bytes;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** MurmurHash3 (x86, 32 bits) of ASCII text. */
export function hashText(text: string, seed: number): number {
  const whole = text.length & ~3;
  let h = seed | 0;
  for (let i = 0; i < whole; i += 4) {
    const word = text.charCodeAt(i) | (text.charCodeAt(i + 1) << 8) | (text.charCodeAt(i + 2) << 16) | (text.charCodeAt(i + 3) << 24);
    h = mixWord(h, word);
  }
  let tail = 0;
  for (let i = text.length - 1; i >= whole; i--) tail = (tail << 8) | text.charCodeAt(i);
  if (whole < text.length) h ^= Math.imul(rotate(Math.imul(tail, 0xcc9e2d51), 15), 0x1b873593);
  return finish(h, text.length);
}

export interface FlowTuple {
  readonly client: IpAddr;
  /** 0 for Services with affinity: all of a client's flows go one way. */
  readonly clientPort: number;
  readonly protocol: PortProtocol;
}

/** MurmurHash3 of 20 bytes: the address as in keys (IPv4: 4 bytes, then zeros), then `protocol << 16 | port` as a little-endian word. */
export function lookupHash(flow: FlowTuple, seed: number = MAGLEV_SEED): number {
  const bytes = ipBytes(flow.client);
  let h = seed | 0;
  for (let i = 0; i < 16; i += 4) {
    const word = i < bytes.length ? bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24) : 0;
    h = mixWord(h, word);
  }
  return finish(mixWord(h, (protocolNumbers[flow.protocol] << 16) | flow.clientPort), 20);
}
