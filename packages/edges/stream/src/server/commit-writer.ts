// Writes one commit to one stream: everything the node lags behind, newest versions, at the pace of the reader. Called by a session.
import { SyncResponse } from '@axoneme/proto';
import { AppError, type Digest } from '@axoneme/std';
import { encodeMessage } from '../wire.ts';
import type { EncodedArtifact, Encoder } from './encoder.ts';
import type { NodeState, Position } from './node-state.ts';

export interface WrittenCommit extends Position {
  /** What the node holds differently after it. */
  readonly changes: ReadonlyMap<string, Digest | undefined>;
  readonly heldDigest: Buffer;
}

export interface CommitSink {
  /** Resolves when more may be written; rejects when the stream is over. Returns undefined if it may go on at once. */
  write(message: Buffer): Promise<void> | undefined;
  /** Counts what was sent. */
  sent(artifact: EncodedArtifact): void;
}

interface Entry {
  readonly name: string;
  readonly digest: Digest | undefined;
  readonly encoded: EncodedArtifact | undefined;
}

function load(name: string, digest: Digest | undefined, encoder: Encoder): Entry {
  if (digest === undefined) return { name, digest, encoded: undefined };
  const encoded = encoder.encode(name, digest);
  if (encoded === undefined) {
    throw new AppError({
      code: 'stream/artifact-missing',
      message: 'a desired artifact has no content',
      retry: 'later',
      fields: { name, digest },
    });
  }
  return { name, digest, encoded };
}

/** Names to look at: wanted ones before unwanted ones, so that adds precede removes. */
function lagInOrder(state: NodeState): Set<string> {
  const names = [...state.lag().keys()];
  return new Set([...names.filter((n) => state.desired(n) !== undefined), ...names.filter((n) => state.desired(n) === undefined)]);
}

/**
 * Versions are looked up when their turn comes, so a slow reader pins no memory; a name that changes after its turn is sent again. When a
 * reader cannot keep up with the changes, the rest is taken as it is at that moment, and later changes wait for the next commit.
 */
export async function writeCommit(state: NodeState, encoder: Encoder, sink: CommitSink): Promise<WrittenCommit> {
  const todo = lagInOrder(state);
  const changes = new Map<string, Digest | undefined>();
  const repeatsMax = Math.max(64, todo.size);
  let repeats = 0;
  let upserts = 0;
  let removes = 0;

  const current = (name: string): Digest | undefined => (changes.has(name) ? changes.get(name) : state.held(name));
  const put = async (e: Entry): Promise<void> => {
    if (changes.has(e.name)) repeats++;
    changes.set(e.name, e.digest);
    if (e.encoded === undefined) {
      removes++;
      await sink.write(encodeMessage(SyncResponse, { message: { $case: 'remove', value: { name: e.name } } }));
      return;
    }
    for (const m of e.encoded.messages) {
      upserts++;
      const wait = sink.write(m);
      if (wait !== undefined) await wait;
    }
    sink.sent(e.encoded);
  };
  const finish = async (at: Position, heldDigest: Buffer): Promise<WrittenCommit> => {
    const value = { ...at, upserts, removes, heldDigest };
    await sink.write(encodeMessage(SyncResponse, { message: { $case: 'commit', value } }));
    return { ...at, changes, heldDigest };
  };
  const position = (): Position => {
    const at = state.position();
    if (at === undefined) throw new AppError({ code: 'std/invariant', message: 'commit without a position' });
    return at;
  };

  const unwatch = state.watch((name) => todo.add(name));
  try {
    while (repeats <= repeatsMax) {
      const next = todo.values().next();
      if (next.done === true) return await finish(position(), state.desiredDigest());
      todo.delete(next.value);
      const wanted = state.desired(next.value);
      if (wanted !== current(next.value)) await put(load(next.value, wanted, encoder));
    }
  } finally {
    unwatch();
  }
  const at = position();
  const heldDigest = state.desiredDigest();
  const rest = [...todo].filter((n) => state.desired(n) !== current(n)).map((n) => load(n, state.desired(n), encoder));
  for (const e of rest) await put(e);
  return await finish(at, heldDigest);
}
