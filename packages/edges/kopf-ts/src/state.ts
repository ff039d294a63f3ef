// What a stateful handler's object remembers about us, and which cause follows from it. Pure.
import { canonicalJson, digestOf } from '@axoneme/std';
import type { CauseKind, Registered } from './handlers.ts';
import type { KubeObject } from './resource.ts';

/** Progress of one handler towards the current content of the object. */
export interface Attempted {
  readonly attempts: number;
  /** Wall clock, so that a restarted operator keeps the delay. */
  readonly nextMs?: number;
  readonly outcome?: 'succeeded' | 'failed';
}

export interface HandledState {
  /** Digest of the content that all handlers have finished with. */
  readonly handled?: string;
  /** Digest of each watched field at that time. */
  readonly fields?: Readonly<Record<string, string>>;
  /** Content and cause that `progress` is about. */
  readonly target?: string;
  readonly progress?: Readonly<Record<string, Attempted>>;
}

export const annotationOf = (prefix: string): string => `${prefix}/kopf`;
export const finalizerOf = (prefix: string): string => `${prefix}/kopf`;

const foreignAnnotations: ReadonlySet<string> = new Set(['kubectl.kubernetes.io/last-applied-configuration']);

/** Digest of what the user wrote: everything but status, server-managed metadata and our own notes. */
export function contentDigest(o: KubeObject, prefix: string): string {
  const { apiVersion: _a, kind: _k, metadata, status: _s, ...content } = o as KubeObject & { status?: unknown };
  const annotations = Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).filter(([k]) => !k.startsWith(`${prefix}/`) && !foreignAnnotations.has(k)),
  );
  return digestOf(canonicalJson({ content, labels: metadata.labels ?? {}, annotations }));
}

export function valueAt(o: KubeObject, path: readonly string[]): unknown {
  let v: unknown = o;
  for (const p of path) v = v !== null && typeof v === 'object' ? (v as Record<string, unknown>)[p] : undefined;
  return v;
}

const fieldDigest = (o: KubeObject, path: readonly string[]): string => {
  const v = valueAt(o, path);
  return v === undefined ? '' : digestOf(canonicalJson(v));
};

export function fieldDigests(o: KubeObject, handlers: readonly Registered[]): Record<string, string> {
  return Object.fromEntries(handlers.flatMap((h) => (h.path === undefined ? [] : [[h.path.join('.'), fieldDigest(o, h.path)]])));
}

/** Unreadable notes count as none: handlers are idempotent and run again. */
export function readState(o: KubeObject, prefix: string): HandledState {
  const text = o.metadata.annotations?.[annotationOf(prefix)];
  if (text === undefined) return {};
  try {
    const v: unknown = JSON.parse(text);
    return v !== null && typeof v === 'object' && !Array.isArray(v) ? (v as HandledState) : {};
  } catch {
    return {};
  }
}

export interface Cause {
  readonly kind: CauseKind | 'none' | 'leaving';
  readonly digest: string;
  /** Identifies content + cause; progress made for another target does not count. */
  readonly target: string;
}

/** The cause follows from the object and our notes on it, never from the kind of event. */
export function detectCause(o: KubeObject, state: HandledState, prefix: string, resumed: boolean): Cause {
  const digest = contentDigest(o, prefix);
  const of = (kind: Cause['kind']): Cause => ({ kind, digest, target: `${kind}/${digest}` });
  if (o.metadata.deletionTimestamp !== undefined)
    return of(o.metadata.finalizers?.includes(finalizerOf(prefix)) === true ? 'delete' : 'leaving');
  if (state.handled === undefined) return of('create');
  if (state.handled !== digest) return of('update');
  return of(resumed ? 'none' : 'resume');
}

/** Handlers that this cause calls. */
export function selectHandlers(all: readonly Registered[], cause: Cause, o: KubeObject, state: HandledState): readonly Registered[] {
  return all.filter((h) => {
    if (h.kind === cause.kind) return true;
    if (h.kind !== 'field' || h.path === undefined) return false;
    if (cause.kind === 'create') return valueAt(o, h.path) !== undefined;
    return cause.kind === 'update' && state.fields?.[h.path.join('.')] !== fieldDigest(o, h.path);
  });
}
