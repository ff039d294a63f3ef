// One artifact as a file: a short header and the three byte strings. The file's name is the content digest, so a file that was cut
// short or altered is recognised when it is read. Called by the store only.

import { artifactDigest } from '@axoneme/proto';
import { AppError, type Digest, fail, ok, type Result } from '@axoneme/std';

export interface ArtifactContent {
  readonly table: string;
  readonly keys: Buffer;
  readonly values: Buffer;
  readonly blob: Buffer;
}

const magic = Buffer.from('AXOART01', 'latin1');
const headerSize = magic.length + 16;

export const contentDigest = (c: ArtifactContent): Digest => artifactDigest(c);

export function encodeArtifact(c: ArtifactContent): Buffer {
  const table = Buffer.from(c.table, 'utf8');
  const header = Buffer.alloc(headerSize);
  magic.copy(header);
  [table, c.keys, c.values, c.blob].forEach((part, i) => {
    header.writeUInt32LE(part.length, magic.length + i * 4);
  });
  return Buffer.concat([header, table, c.keys, c.values, c.blob]);
}

/** Errors: `agent/store-damaged` when the bytes are not the artifact the name promises. */
export function decodeArtifact(bytes: Buffer, expected: Digest): Result<ArtifactContent> {
  const damaged = (why: string): Result<never> =>
    fail({ code: 'agent/store-damaged', message: `artifact file ${expected} is damaged: ${why}`, retry: 'refresh' });
  if (bytes.length < headerSize || !bytes.subarray(0, magic.length).equals(magic)) return damaged('no header');
  const lengths = [0, 1, 2, 3].map((i) => bytes.readUInt32LE(magic.length + i * 4));
  if (bytes.length !== headerSize + lengths.reduce((a, b) => a + b, 0)) return damaged('wrong length');
  let at = headerSize;
  const [table, keys, values, blob] = lengths.map((n) => {
    at += n;
    return bytes.subarray(at - n, at);
  });
  if (!table || !keys || !values || !blob) throw new AppError({ code: 'agent/store-damaged', message: 'unreachable' });
  const content = { table: table.toString('utf8'), keys, values, blob };
  return contentDigest(content) === expected ? ok(content) : damaged('digest differs');
}
