// Turns answers and socket failures of the API server into AppErrors with stable codes. Called by transport, client and watch.
import { AppError, type Retry } from '@axoneme/std';

interface StatusBody {
  readonly reason?: string;
  readonly message?: string;
  readonly code?: number;
  readonly details?: { readonly retryAfterSeconds?: number; readonly causes?: readonly { field?: string; message?: string }[] };
}

const codeByStatus: Readonly<Record<number, readonly [code: string, retry: Retry]>> = {
  400: ['kube/bad-request', 'never'],
  401: ['kube/unauthorized', 'later'],
  403: ['kube/forbidden', 'later'],
  404: ['kube/not-found', 'refresh'],
  405: ['kube/method-not-allowed', 'never'],
  409: ['kube/conflict', 'refresh'],
  410: ['kube/gone', 'refresh'],
  413: ['kube/too-large', 'never'],
  422: ['kube/invalid', 'never'],
  429: ['kube/throttled', 'later'],
};

/** Every code that this package puts on an AppError. */
export type KubeErrorCode =
  | 'kube/bad-request'
  | 'kube/unauthorized'
  | 'kube/forbidden'
  | 'kube/not-found'
  | 'kube/method-not-allowed'
  | 'kube/conflict'
  | 'kube/already-exists'
  | 'kube/gone'
  | 'kube/too-large'
  | 'kube/invalid'
  | 'kube/throttled'
  | 'kube/server'
  | 'kube/unreachable'
  | 'kube/timeout'
  | 'kube/idle'
  | 'kube/aborted'
  | 'kube/garbage'
  | 'kube/config';

export function isKubeError(e: unknown, code: KubeErrorCode): e is AppError {
  return e instanceof AppError && e.code === code;
}

function parseStatus(body: string): StatusBody {
  try {
    const v: unknown = JSON.parse(body);
    return v !== null && typeof v === 'object' ? (v as StatusBody) : {};
  } catch {
    return {};
  }
}

/** An error answer. `retryAfterMs` is in `fields` when the server named one. */
export function errorFromStatus(status: number, body: string, request: string, retryAfterHeader?: string): AppError {
  const s = parseStatus(body);
  const [code, retry] = codeByStatus[status] ?? ['kube/server', 'later' as const];
  const seconds = s.details?.retryAfterSeconds ?? (retryAfterHeader === undefined ? undefined : Number(retryAfterHeader));
  const wait = seconds !== undefined && Number.isFinite(seconds) && seconds > 0 ? { retryAfterMs: Math.min(seconds, 300) * 1000 } : {};
  return new AppError({
    code: status === 409 && s.reason === 'AlreadyExists' ? 'kube/already-exists' : code,
    message: s.message ?? `${request} answered ${status}`,
    retry,
    ...(status === 403 ? { hint: 'check the RBAC rules of the service account' } : {}),
    fields: { status, request, ...(s.reason === undefined ? {} : { reason: s.reason }), ...wait },
  });
}

/** The ERROR event of a watch carries a Status object instead of an HTTP code. */
export function errorFromStatusObject(object: unknown, request: string): AppError {
  const s = (object ?? {}) as StatusBody;
  return errorFromStatus(s.code ?? 500, JSON.stringify(object ?? {}), request);
}

export function errorFromSocket(cause: unknown, request: string): AppError {
  const reason = cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? cause.message) : String(cause);
  return new AppError({
    code: 'kube/unreachable',
    message: `cannot reach the API server: ${reason}`,
    retry: 'later',
    cause,
    fields: { request, reason },
  });
}

export const kubeError = (code: KubeErrorCode, message: string, retry: Retry, fields: Readonly<Record<string, unknown>> = {}): AppError =>
  new AppError({ code, message, retry, fields });
