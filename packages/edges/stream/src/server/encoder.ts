// Encodes artifacts for the wire, once for all streams. Called by sessions; the operator supplies the content.
import { type ArtifactBody, artifactDigest, digestToBytes, heldTerm, SyncResponse } from '@axoneme/proto';
import { AppError, type Digest } from '@axoneme/std';
import { encodeMessage } from '../wire.ts';

/** Content of an artifact, by name and digest; undefined when that version is gone. Must answer for everything that is desired. */
export type ArtifactSource = (name: string, digest: Digest) => ArtifactBody | undefined;

export interface EncodedArtifact {
  /** Complete SyncResponse messages: one, or several chunks. */
  readonly messages: readonly Buffer[];
  readonly bytes: number;
}

export interface Encoder {
  encode(name: string, digest: Digest): EncodedArtifact | undefined;
  /** Times an artifact was really encoded. */
  encodes(): number;
  cachedBytes(): number;
}

export interface EncoderConfig {
  /** Encoded bytes kept for the next stream. */
  readonly cacheBytesMax: number;
  /** Payload of one message. */
  readonly chunkBytesMax: number;
}

const empty = Buffer.alloc(0);

function encodeChunks(name: string, digest: Digest, a: ArtifactBody, chunkBytesMax: number): Buffer[] {
  const total = a.keys.length + a.values.length + a.blob.length;
  const chunkCount = Math.max(1, Math.ceil(total / chunkBytesMax));
  const wireDigest = digestToBytes(digest);
  // Bytes [from, to) of keys ++ values ++ blob that fall into one field.
  const cut = (field: Uint8Array, offset: number, from: number, to: number): Buffer => {
    const start = Math.max(0, from - offset);
    const end = Math.min(field.length, to - offset);
    return start < end ? Buffer.from(field.buffer, field.byteOffset + start, end - start) : empty;
  };
  return Array.from({ length: chunkCount }, (_, chunkIndex) => {
    const from = chunkIndex * chunkBytesMax;
    const to = from + chunkBytesMax;
    const value = {
      name,
      table: a.table,
      digest: wireDigest,
      keys: cut(a.keys, 0, from, to),
      values: cut(a.values, a.keys.length, from, to),
      blob: cut(a.blob, a.keys.length + a.values.length, from, to),
      chunkIndex,
      chunkCount,
    };
    return encodeMessage(SyncResponse, { message: { $case: 'upsert', value } });
  });
}

export function createEncoder(source: ArtifactSource, config: EncoderConfig): Encoder {
  // Insertion order is age of last use.
  const cache = new Map<string, EncodedArtifact>();
  let cached = 0;
  let encodes = 0;
  const remember = (key: string, e: EncodedArtifact): void => {
    cache.set(key, e);
    cached += e.bytes;
    for (const [oldKey, old] of cache) {
      if (cached <= config.cacheBytesMax || oldKey === key) break;
      cache.delete(oldKey);
      cached -= old.bytes;
    }
  };
  return {
    encode(name, digest) {
      const key = `${name}=${digest}`;
      const hit = cache.get(key);
      if (hit !== undefined) {
        cache.delete(key);
        cache.set(key, hit);
        return hit;
      }
      const body = source(name, digest);
      if (body === undefined) return undefined;
      const actual = artifactDigest(body);
      if (actual !== digest) {
        throw new AppError({
          code: 'stream/digest-mismatch',
          message: 'artifact content does not have its digest',
          fields: { name, digest, actual },
        });
      }
      const messages = encodeChunks(name, digest, body, config.chunkBytesMax);
      const encoded = { messages, bytes: messages.reduce((n, m) => n + m.length, 0) };
      encodes++;
      remember(key, encoded);
      return encoded;
    },
    encodes: () => encodes,
    cachedBytes: () => cached,
  };
}

/** Held-digest terms shared by all nodes; two generations bound the memory. */
export function createTermCache(sizeMax: number): typeof heldTerm {
  let young = new Map<string, bigint>();
  let old = new Map<string, bigint>();
  return (name, digest) => {
    const key = `${name}=${digest}`;
    let term = young.get(key);
    if (term !== undefined) return term;
    term = old.get(key) ?? heldTerm(name, digest);
    if (young.size >= sizeMax) {
      old = young;
      young = new Map();
    }
    young.set(key, term);
    return term;
  };
}
