// Result and AppError: expected trouble is a value. Called by every package.

/** How the caller may proceed: `never` = permanent, `later` = retry with backoff, `refresh` = re-read inputs and retry. */
export type Retry = 'never' | 'later' | 'refresh';

export interface AppErrorFields {
  /** Stable machine-readable code, kebab-case, e.g. `policy/invalid-port`. */
  readonly code: string;
  readonly message: string;
  readonly retry?: Retry;
  /** One sentence that tells the user what to change. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Structured context for logs; no secrets. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** The only error class thrown or returned on purpose. */
export class AppError extends Error {
  readonly code: string;
  readonly retry: Retry;
  readonly hint: string | undefined;
  readonly fields: Readonly<Record<string, unknown>>;
  constructor(f: AppErrorFields) {
    super(f.message, f.cause === undefined ? undefined : { cause: f.cause });
    this.name = 'AppError';
    this.code = f.code;
    this.retry = f.retry ?? 'never';
    this.hint = f.hint;
    this.fields = f.fields ?? {};
  }
}

export type Result<T, E = AppError> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };

export const ok = <T>(value: T): Result<T, never> => ({ ok: true, value });
export const err = <E>(error: E): Result<never, E> => ({ ok: false, error });
/** Shorthand for `err(new AppError(fields))`. */
export const fail = (f: AppErrorFields): Result<never> => err(new AppError(f));

/** Unwraps, throwing the error. For tests and for places where failure is a bug. */
export function unwrap<T, E>(r: Result<T, E>): T {
  if (r.ok) return r.value;
  throw r.error instanceof Error ? r.error : new AppError({ code: 'std/unwrap', message: String(r.error) });
}

/** Text for a user: message, then hint. */
export function describeError(e: unknown): string {
  if (e instanceof AppError) return e.hint === undefined ? e.message : `${e.message} (${e.hint})`;
  return e instanceof Error ? e.message : String(e);
}

/** Exhaustiveness guard for tagged unions. */
export function assertNever(x: never): never {
  throw new AppError({ code: 'std/unreachable', message: `unexpected value ${JSON.stringify(x)}` });
}

/** A check for us, not for the world: throws when a program invariant is broken. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AppError({ code: 'std/invariant', message });
}
