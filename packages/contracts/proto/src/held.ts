// Digests both ends of the node protocol compute: of one artifact, and of everything a node holds.
import { createHash } from 'node:crypto';
import type { Digest } from '@axoneme/std';

export interface ArtifactBody {
  readonly table: string;
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
  readonly blob: Uint8Array;
}

/** Content hash of an artifact as node.proto defines it. */
export function artifactDigest(a: ArtifactBody): Digest {
  const u32 = (n: number): Buffer => {
    const b = Buffer.alloc(4);
    b.writeUInt32LE(n);
    return b;
  };
  const h = createHash('sha256').update(a.table).update('\0');
  h.update(u32(a.keys.length)).update(a.keys).update(u32(a.values.length)).update(a.values).update(a.blob);
  return h.digest('hex').slice(0, 32) as Digest;
}

/** 16 bytes on the wire from 32 hex characters. */
export const digestToBytes = (d: Digest): Buffer => Buffer.from(d, 'hex');
export const digestFromBytes = (b: Uint8Array): Digest => Buffer.from(b.buffer, b.byteOffset, b.byteLength).toString('hex') as Digest;

const mask128 = (1n << 128n) - 1n;

/** Share of one artifact in the held digest. Callers that hold many nodes may cache it per (name, digest). */
export function heldTerm(name: string, digest: Digest): bigint {
  return BigInt(`0x${createHash('sha256').update(`${name}=${digest}`).digest('hex').slice(0, 32)}`);
}

/** Held digest kept up to date by adding and removing artifacts; order does not matter. */
export interface HeldDigest {
  add(name: string, digest: Digest): void;
  remove(name: string, digest: Digest): void;
  /** 16 bytes, as sent in Hello, Commit and Ack. */
  bytes(): Buffer;
}

export function createHeldDigest(held: Iterable<readonly [string, Digest]> = [], term: typeof heldTerm = heldTerm): HeldDigest {
  let sum = 0n;
  for (const [name, digest] of held) sum += term(name, digest);
  sum &= mask128;
  return {
    add(name, digest) {
      sum = (sum + term(name, digest)) & mask128;
    },
    remove(name, digest) {
      sum = (sum - term(name, digest)) & mask128;
    },
    bytes: () => Buffer.from(sum.toString(16).padStart(32, '0'), 'hex'),
  };
}
