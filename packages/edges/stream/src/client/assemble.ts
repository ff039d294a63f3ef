// Puts the messages of one commit together and checks them: chunks, digests, counts. Pure; called by the sync stream of the client.
import { type ArtifactBody, artifactDigest, type Commit, digestFromBytes, type Upsert } from '@axoneme/proto';
import { type Digest, fail, ok, type Result } from '@axoneme/std';

export interface ReceivedArtifact {
  readonly name: string;
  readonly digest: Digest;
  readonly content: { readonly table: string; readonly keys: Buffer; readonly values: Buffer; readonly blob: Buffer };
}

/** A complete commit: apply it whole or not at all. */
export interface ReceivedCommit {
  readonly revision: number;
  readonly epoch: number;
  /** Digest of everything held after it. */
  readonly heldDigest: Buffer;
  readonly upserts: readonly ReceivedArtifact[];
  readonly removes: readonly string[];
}

export interface Assembler {
  upsert(m: Upsert): void;
  remove(name: string): void;
  /** Errors: `agent/count-mismatch`, `agent/digest-mismatch`, `agent/commit-too-large`; `fields.artifact` names the artifact. */
  commit(m: Commit): Result<ReceivedCommit>;
}

const join = (chunks: readonly Upsert[], field: 'keys' | 'values' | 'blob'): Buffer =>
  chunks.length === 1 ? (chunks[0] as Upsert)[field] : Buffer.concat(chunks.map((c) => c[field]));

function whole(name: string, chunks: readonly Upsert[]): Result<ReceivedArtifact> {
  const first = chunks[0] as Upsert;
  if (chunks.length !== Math.max(1, first.chunkCount)) {
    return fail({
      code: 'agent/count-mismatch',
      message: `${chunks.length} of ${first.chunkCount} chunks arrived`,
      fields: { artifact: name },
    });
  }
  const content: ArtifactBody & ReceivedArtifact['content'] = {
    table: first.table,
    keys: join(chunks, 'keys'),
    values: join(chunks, 'values'),
    blob: join(chunks, 'blob'),
  };
  const digest = digestFromBytes(first.digest);
  if (artifactDigest(content) !== digest) {
    return fail({ code: 'agent/digest-mismatch', message: 'content differs from its digest', fields: { artifact: name } });
  }
  return ok({ name, digest, content });
}

export function createAssembler(bytesMax: number): Assembler {
  let parts = new Map<string, Upsert[]>();
  let removes = new Set<string>();
  let upsertCount = 0;
  let removeCount = 0;
  let bytes = 0;
  let broken: string | undefined;
  const reset = (): void => {
    parts = new Map();
    removes = new Set();
    upsertCount = 0;
    removeCount = 0;
    bytes = 0;
    broken = undefined;
  };
  const finish = (m: Commit): Result<ReceivedCommit> => {
    if (bytes > bytesMax) {
      return fail({ code: 'agent/commit-too-large', message: `the commit is larger than ${bytesMax} bytes`, fields: { artifact: '' } });
    }
    if (broken !== undefined || m.upserts !== upsertCount || m.removes !== removeCount) {
      const message = `${upsertCount} upserts and ${removeCount} removes arrived, ${m.upserts} and ${m.removes} were sent`;
      return fail({ code: 'agent/count-mismatch', message, fields: { artifact: broken ?? '' } });
    }
    const upserts: ReceivedArtifact[] = [];
    for (const [name, chunks] of parts) {
      const a = whole(name, chunks);
      if (!a.ok) return a;
      upserts.push(a.value);
    }
    return ok({ revision: m.revision, epoch: m.epoch, heldDigest: m.heldDigest, upserts, removes: [...removes] });
  };
  return {
    upsert(m) {
      upsertCount++;
      bytes += m.keys.length + m.values.length + m.blob.length;
      // Counted on, but not kept: the commit is refused anyway.
      if (bytes > bytesMax) return parts.clear();
      removes.delete(m.name);
      const chunks = m.chunkIndex === 0 ? [] : parts.get(m.name);
      if (chunks === undefined || chunks.length !== m.chunkIndex) {
        broken = m.name;
        return;
      }
      chunks.push(m);
      parts.set(m.name, chunks);
    },
    remove(name) {
      removeCount++;
      parts.delete(name);
      removes.add(name);
    },
    commit(m) {
      const result = finish(m);
      reset();
      return result;
    },
  };
}
