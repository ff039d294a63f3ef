// One cycle over one object: cause → handlers → one patch. Called by operator.ts through the keyed queue.
import { AppError, type Clock, createBackoff, type Log } from '@axoneme/std';
import type { KubeClient } from './client.ts';
import { isKubeError } from './errors.ts';
import { type CauseKind, type PatchDraft, type Registered, TemporaryError } from './handlers.ts';
import { type KubeObject, keyOf, type Resource } from './resource.ts';
import {
  type Attempted,
  annotationOf,
  type Cause,
  detectCause,
  fieldDigests,
  finalizerOf,
  type HandledState,
  readState,
  selectHandlers,
} from './state.ts';

export interface CycleDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly prefix: string;
  readonly resource: Resource;
  readonly handlers: readonly Registered[];
  readonly signal: AbortSignal;
  /** A finalizer is needed: delete handlers or daemons exist. */
  readonly finalize: boolean;
  /** Stops what runs for this object before its finalizer goes. */
  readonly release: (key: string) => Promise<void>;
  /** Keys that were handled or resumed by this process. */
  readonly resumed: Set<string>;
  /** Progress of resume handlers; not worth a write. */
  readonly resuming: Map<string, Readonly<Record<string, Attempted>>>;
}

export interface CycleEnd {
  /** Version after our write; the caller waits for it before the next cycle. */
  readonly written?: string;
  /** Come back after so long. */
  readonly againMs?: number;
}

interface Draft extends PatchDraft {
  readonly statusPart: Record<string, unknown>;
  readonly annotationPart: Record<string, string | null>;
}

export function createDraft(): Draft {
  const statusPart: Record<string, unknown> = {};
  const annotationPart: Record<string, string | null> = {};
  return {
    statusPart,
    annotationPart,
    status: (p) => void Object.assign(statusPart, p),
    annotations: (p) => void Object.assign(annotationPart, p),
  };
}

function delayAfter(e: unknown, h: Registered, attempts: number): number {
  if (e instanceof TemporaryError) return e.delayMs;
  const backoff = createBackoff({ baseMs: h.options.backoffMs ?? 1_000, maxMs: 60_000 });
  let delay = 0;
  for (let i = 0; i < Math.min(attempts, 10); i++) delay = backoff.nextMs();
  return delay;
}

async function runOne(
  d: CycleDeps,
  h: Registered,
  o: KubeObject,
  cause: CauseKind,
  before: Attempted,
  draft: PatchDraft,
): Promise<Attempted> {
  const key = keyOf(o);
  const log = d.log.child({ handler: h.id, key });
  const attempts = before.attempts + 1;
  try {
    await h.run({ object: o, key, cause, attempt: before.attempts, patch: draft, log, signal: d.signal });
    return { attempts, outcome: 'succeeded' };
  } catch (error) {
    const final = (error instanceof AppError && error.retry === 'never') || attempts >= (h.options.attemptsMax ?? Number.POSITIVE_INFINITY);
    log.warn(final ? 'handler failed for good' : 'handler failed, will be tried again', { cause, attempts, error });
    return final ? { attempts, outcome: 'failed' } : { attempts, nextMs: d.clock.nowMs() + delayAfter(error, h, attempts) };
  }
}

/** True when merging `part` into `whole` would change nothing. */
export function covers(whole: unknown, part: unknown): boolean {
  if (part === null) return whole === undefined;
  if (typeof part !== 'object' || Array.isArray(part)) return JSON.stringify(whole) === JSON.stringify(part);
  if (whole === null || typeof whole !== 'object' || Array.isArray(whole)) return false;
  return Object.entries(part).every(([k, v]) => covers((whole as Record<string, unknown>)[k], v));
}

/** Sends what changed: metadata in one patch, status through its subresource. Returns the last version, undefined if nothing was sent. */
export async function flush(
  d: Pick<CycleDeps, 'client' | 'resource'>,
  o: KubeObject,
  draft: Draft,
  meta: { annotations?: Record<string, string>; finalizers?: readonly string[] } = {},
): Promise<string | undefined> {
  const ref = { name: o.metadata.name, ...(o.metadata.namespace === undefined ? {} : { namespace: o.metadata.namespace }) };
  let written: string | undefined;
  if (!covers((o as { status?: unknown }).status ?? {}, draft.statusPart)) {
    written = (await d.client.patchStatus(d.resource, ref, draft.statusPart)).metadata.resourceVersion;
  }
  const annotations = { ...draft.annotationPart, ...meta.annotations };
  // finalizers are a list: a merge patch replaces it, so it must be based on the version we read
  const guard =
    meta.finalizers === undefined ? {} : { finalizers: meta.finalizers, resourceVersion: written ?? o.metadata.resourceVersion };
  if (!covers(o.metadata.annotations ?? {}, annotations) || meta.finalizers !== undefined) {
    const body = { metadata: { annotations, ...guard } };
    written = (await d.client.patch(d.resource, ref, { type: 'merge', body })).metadata.resourceVersion;
  }
  return written;
}

interface Round {
  readonly progress: Record<string, Attempted>;
  readonly finished: boolean;
  readonly againMs: number | undefined;
}

async function runDue(
  d: CycleDeps,
  o: KubeObject,
  cause: Cause & { kind: CauseKind },
  state: HandledState,
  draft: PatchDraft,
): Promise<Round> {
  const chosen = selectHandlers(d.handlers, cause, o, state);
  const held = cause.kind === 'resume' ? d.resuming.get(keyOf(o)) : state.target === cause.target ? state.progress : undefined;
  const progress: Record<string, Attempted> = {};
  for (const h of chosen) {
    const before = held?.[h.id] ?? { attempts: 0 };
    const due = before.outcome === undefined && (before.nextMs ?? 0) <= d.clock.nowMs() && !d.signal.aborted;
    progress[h.id] = due ? await runOne(d, h, o, cause.kind, before, draft) : before;
  }
  const open = Object.values(progress).filter((p) => p.outcome === undefined);
  const next = Math.min(...open.map((p) => p.nextMs ?? 0));
  return { progress, finished: open.length === 0, againMs: open.length === 0 ? undefined : Math.max(0, next - d.clock.nowMs()) };
}

async function settle(d: CycleDeps, o: KubeObject, cause: Cause & { kind: CauseKind }, state: HandledState): Promise<CycleEnd> {
  const key = keyOf(o);
  const draft = createDraft();
  const round = await runDue(d, o, cause, state, draft);
  const again = round.againMs === undefined ? {} : { againMs: round.againMs };
  const end = (written: string | undefined): CycleEnd => ({ ...again, ...(written === undefined ? {} : { written }) });
  if (cause.kind === 'resume') {
    if (round.finished) d.resumed.add(key);
    d.resuming.set(key, round.progress);
    if (round.finished) d.resuming.delete(key);
    return end(await flush(d, o, draft));
  }
  if (cause.kind === 'delete' && round.finished) {
    await d.release(key);
    const finalizers = (o.metadata.finalizers ?? []).filter((f) => f !== finalizerOf(d.prefix));
    return end(await flush(d, o, draft, { finalizers }));
  }
  const done: HandledState = { handled: cause.digest, fields: fieldDigests(o, d.handlers) };
  const pending: HandledState = { ...state, target: cause.target, progress: round.progress };
  if (round.finished) d.resumed.add(key);
  const annotations = { [annotationOf(d.prefix)]: JSON.stringify(round.finished ? done : pending) };
  return end(await flush(d, o, draft, { annotations }));
}

/** A conflict or a vanished object is no failure: the next event brings the newest state. */
export async function runCycle(d: CycleDeps, o: KubeObject): Promise<CycleEnd> {
  const state = readState(o, d.prefix);
  const cause = detectCause(o, state, d.prefix, d.resumed.has(keyOf(o)));
  try {
    if (cause.kind === 'none' || cause.kind === 'leaving') return {};
    const held = o.metadata.finalizers ?? [];
    // the finalizer is there before any handler has an effect that deletion must undo
    if (d.finalize && cause.kind !== 'delete' && !held.includes(finalizerOf(d.prefix))) {
      const written = await flush(d, o, createDraft(), { finalizers: [...held, finalizerOf(d.prefix)] });
      return { againMs: 0, ...(written === undefined ? {} : { written }) };
    }
    return await settle(d, o, { ...cause, kind: cause.kind }, state);
  } catch (error) {
    if (isKubeError(error, 'kube/not-found')) return {};
    if (isKubeError(error, 'kube/conflict')) return { againMs: 200 };
    throw error;
  }
}
