// The index: which artifacts the node holds at which revision. One text file with its own checksum in the first line.
import { createHash } from 'node:crypto';
import { type Digest, fail, ok, type Result } from '@axoneme/std';

export interface IndexEntry {
  readonly name: string;
  readonly table: string;
  readonly digest: Digest;
  /** Grows with every upsert: of two artifacts with one key the higher sequence wins. */
  readonly seq: number;
}

export interface StoreIndex {
  readonly revision: number;
  readonly epoch: number;
  readonly artifacts: readonly IndexEntry[];
}

const version = 'axoneme-store 1';
const sum = (text: string): string => createHash('sha256').update(text).digest('hex');

export function encodeIndex(index: StoreIndex): string {
  const body = [
    JSON.stringify([index.revision, index.epoch, index.artifacts.length]),
    ...index.artifacts.map((a) => JSON.stringify([a.name, a.table, a.digest, a.seq])),
  ].join('\n');
  return `${version} ${sum(body)}\n${body}\n`;
}

/** Errors: `agent/store-damaged`. */
export function decodeIndex(text: string): Result<StoreIndex> {
  const damaged = (why: string): Result<never> =>
    fail({ code: 'agent/store-damaged', message: `store index is damaged: ${why}`, retry: 'refresh' });
  const eol = text.indexOf('\n');
  if (eol < 0 || !text.endsWith('\n')) return damaged('cut short');
  const body = text.slice(eol + 1, -1);
  if (text.slice(0, eol) !== `${version} ${sum(body)}`) return damaged('checksum differs');
  const [first, ...rest] = body.split('\n');
  const [revision, epoch] = JSON.parse(first ?? '[]') as [number, number, number];
  const artifacts = rest.map((line) => {
    const [name, table, digest, seq] = JSON.parse(line) as [string, string, Digest, number];
    return { name, table, digest, seq };
  });
  return ok({ revision, epoch, artifacts });
}
