// AppError over gRPC: code and hint travel as metadata, so that the other side shows what was meant.
import { AppError, describeError, type Retry } from '@axoneme/std';
import { Metadata, type StatusObject, status } from '@grpc/grpc-js';

const codeKey = 'axoneme-code';
const hintKey = 'axoneme-hint';

/** Codes of this package that stand for a gRPC status of their own; every other AppError is FAILED_PRECONDITION. */
const statusOf: Readonly<Record<string, number>> = {
  'stream/unauthenticated': status.UNAUTHENTICATED,
  'stream/forbidden': status.PERMISSION_DENIED,
  'stream/not-found': status.NOT_FOUND,
  'stream/bad-request': status.INVALID_ARGUMENT,
  'stream/unavailable': status.UNAVAILABLE,
  'stream/timeout': status.DEADLINE_EXCEEDED,
  'stream/busy': status.RESOURCE_EXHAUSTED,
  'stream/replaced': status.ABORTED,
};
const codeOf = new Map<number, string>(Object.entries(statusOf).map(([code, s]) => [s, code]));

/** What a server handler passes to grpc-js. Errors that are not AppErrors say nothing about our insides. */
export function toStatus(e: unknown): Partial<StatusObject> & Error {
  const metadata = new Metadata();
  if (!(e instanceof AppError)) {
    return Object.assign(new AppError({ code: 'stream/internal', message: 'internal error' }), {
      code: status.INTERNAL as never,
      details: 'internal error',
      metadata,
    });
  }
  metadata.set(codeKey, encodeURIComponent(e.code));
  if (e.hint !== undefined) metadata.set(hintKey, encodeURIComponent(e.hint));
  const code = statusOf[e.code] ?? status.FAILED_PRECONDITION;
  return Object.assign(new AppError({ code: e.code, message: e.message }), { code: code as never, details: e.message, metadata });
}

function metadataText(e: object, key: string): string | undefined {
  const m = (e as { metadata?: unknown }).metadata;
  const v = m instanceof Metadata ? m.get(key)[0] : undefined;
  if (typeof v !== 'string') return undefined;
  try {
    return decodeURIComponent(v);
  } catch {
    return undefined;
  }
}

const retryOf = (s: number): Retry =>
  s === status.UNAUTHENTICATED || s === status.PERMISSION_DENIED || s === status.INVALID_ARGUMENT || s === status.NOT_FOUND
    ? 'never'
    : 'later';

/** What a client makes of a failed call. */
export function fromStatus(e: unknown): AppError {
  if (e instanceof AppError) return e;
  const s = (e as { code?: unknown } | null)?.code;
  if (typeof s !== 'number') return new AppError({ code: 'stream/unavailable', message: describeError(e), retry: 'later', cause: e });
  const hint = metadataText(e as object, hintKey);
  const details = (e as { details?: unknown }).details;
  return new AppError({
    code: metadataText(e as object, codeKey) ?? codeOf.get(s) ?? 'stream/internal',
    message: typeof details === 'string' && details !== '' ? details.replace(/\s*Resolution note:\s*$/, '') : describeError(e),
    retry: retryOf(s),
    ...(hint === undefined ? {} : { hint }),
    fields: { status: status[s] },
    cause: e,
  });
}
