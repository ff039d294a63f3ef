// What the agent remembers of host policies on trial: one local artifact, stored in the same step as the rows it speaks of, so that a killed
// agent finds both or neither.
import { AppError, type Digest } from '@axoneme/std';
import { type Held, localPrefix } from '../apply/held.ts';
import type { Upsert } from '../apply/plan.ts';
import { type ArtifactContent, contentDigest } from '../store/artifact-file.ts';

export interface HostArtifact {
  readonly artifact: string;
  readonly digest: Digest;
}

/** A changed host policy that is in force and not confirmed yet. */
export interface Trial {
  readonly changes: readonly HostArtifact[];
  /** Wall clock: the count goes on after a restart. */
  readonly sinceMs: number;
}

export const sameTrial = (a: Trial | undefined, b: Trial | undefined): boolean =>
  a?.sinceMs === b?.sinceMs && a?.changes.length === b?.changes.length && !a?.changes.some((c, i) => c.digest !== b?.changes[i]?.digest);

/** One that cut this node off. */
export interface Refusal extends HostArtifact {
  readonly atMs: number;
  /** Not applied again before. */
  readonly untilMs: number;
  /** How often it was taken back. */
  readonly strikes: number;
}

export interface HostState {
  readonly trial: Trial | undefined;
  readonly refused: readonly Refusal[];
}

/** Name and table of what is no rows. */
export const stateArtifact = `${localPrefix}host`;
export const localTable = 'local';
const firstRefusalMs = 300_000;
const refusalMsMax = 3_600_000;
const none = Buffer.alloc(0);
const calm: HostState = { trial: undefined, refused: [] };

export function readState(held: Held, read: (a: { readonly digest: Digest }) => ArtifactContent): HostState {
  const stored = held.get(stateArtifact);
  if (stored === undefined) return calm;
  const { trial, refused } = JSON.parse(read(stored).blob.toString('utf8')) as Partial<HostState>;
  return { trial, refused: refused ?? [] };
}

/** The state as an artifact; nothing to remember is none. */
export function stateUpsert(state: HostState): Upsert | undefined {
  if (state.trial === undefined && state.refused.length === 0) return undefined;
  const content = { table: localTable, keys: none, values: none, blob: Buffer.from(JSON.stringify(state)) };
  return { entry: { name: stateArtifact, table: localTable, digest: contentDigest(content), seq: 0 }, content };
}

/** Each time it cuts the node off again it has to wait twice as long. */
export function afterRevert(state: HostState, nowMs: number): HostState {
  const changes = state.trial?.changes ?? [];
  const struck = changes.map((c): Refusal => {
    const strikes = (state.refused.find((r) => r.digest === c.digest)?.strikes ?? 0) + 1;
    return { ...c, atMs: nowMs, untilMs: nowMs + Math.min(refusalMsMax, firstRefusalMs * 2 ** (strikes - 1)), strikes };
  });
  const digests = new Set(changes.map((c) => c.digest));
  return { trial: undefined, refused: [...state.refused.filter((r) => !digests.has(r.digest)), ...struck] };
}

export const refusalOf = (state: HostState, digest: Digest, nowMs: number): Refusal | undefined =>
  state.refused.find((r) => r.digest === digest && nowMs < r.untilMs);

export const describeRefusal = (r: Refusal): string =>
  `the host policy was taken back at ${new Date(r.atMs).toISOString()}, because no operator could be reached under it; it stays out until ${new Date(r.untilMs).toISOString()} unless it changes`;

/** What the operator is told about a commit that names a refused host policy. */
export const refusalError = (r: Refusal): AppError =>
  new AppError({
    code: 'agent/host-policy-reverted',
    message: describeRefusal(r),
    retry: 'later',
    hint: 'allow the node to reach the operator: egress to its addresses and ports',
    fields: { artifact: r.artifact, strikes: r.strikes },
  });
