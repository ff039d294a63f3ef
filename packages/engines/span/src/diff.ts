// Difference between what a node holds and what it should hold, in the order a commit carries it. Called by the dispatcher.
import type { Digest } from '@axoneme/std';
import { type ArtifactDescriptor, tableRank } from './names.ts';

/** Digest by artifact name. */
export type HeldSet = ReadonlyMap<string, Digest>;

export interface SpanDiff {
  /** Names to send. */
  readonly upserts: readonly string[];
  readonly removes: readonly string[];
}

/** Sorted by name; `orderUpserts` brings upserts into table order. */
export function diffHeld(held: HeldSet, desired: HeldSet): SpanDiff {
  const upserts: string[] = [];
  const removes: string[] = [];
  for (const [name, digest] of desired) if (held.get(name) !== digest) upserts.push(name);
  for (const name of held.keys()) if (!desired.has(name)) removes.push(name);
  return { upserts: upserts.sort(), removes: removes.sort() };
}

export function orderUpserts(list: readonly ArtifactDescriptor[]): ArtifactDescriptor[] {
  return [...list].sort((a, b) => tableRank(a.table) - tableRank(b.table) || (a.name < b.name ? -1 : 1));
}
