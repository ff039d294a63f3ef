// Builds commit requests for tests, with digests as the operator computes them.
import { createHeldDigest } from '@axoneme/proto';
import type { Digest } from '@axoneme/std';
import type { CommitRequest } from '../src/apply/apply.ts';
import { type ArtifactContent, contentDigest } from '../src/store/artifact-file.ts';
import { fakeSpecs } from './fake-tables.ts';

const none = Buffer.alloc(0);

/** Rows as {key number: value number}, encoded to the fake table's sizes. */
export function rowsArtifact(table: keyof typeof fakeSpecs, rows: Readonly<Record<number, number>>): ArtifactContent {
  const [ks, vs] = fakeSpecs[table];
  const fit = (n: number, size: number): Buffer => Buffer.from(n.toString(16).padStart(size * 2, '0'), 'hex');
  const entries = Object.entries(rows);
  return {
    table,
    keys: Buffer.concat(entries.map(([k]) => fit(Number(k), ks))),
    values: Buffer.concat(entries.map(([, v]) => fit(v, vs))),
    blob: none,
  };
}

export const blobArtifact = (table: string, text: string): ArtifactContent => ({
  table,
  keys: none,
  values: none,
  blob: Buffer.from(text),
});

/** The operator's side: remembers what the node should hold and makes the next commit. */
export function createScript(): {
  commit(upserts: Readonly<Record<string, ArtifactContent>>, removes?: readonly string[], epoch?: number): CommitRequest;
  /** Forget the last commit (it was refused). */
  back(): void;
} {
  let held = new Map<string, Digest>();
  let before = held;
  let revision = 0;
  return {
    commit(upserts, removes = [], epoch = 1) {
      before = held;
      held = new Map(held);
      const list = Object.entries(upserts).map(([name, content]) => ({ name, content, digest: contentDigest(content) }));
      for (const u of list) held.set(u.name, u.digest);
      for (const r of removes) held.delete(r);
      return { revision: ++revision, epoch, heldDigest: createHeldDigest(held).bytes(), upserts: list, removes };
    },
    back() {
      held = before;
    },
  };
}
