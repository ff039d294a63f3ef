// Turns errno values of bpf(2) and libbpf into AppErrors with names. Called by every file of this package.
import { AppError, type Retry } from '@axoneme/std';
import koffi from 'koffi';
import { lastErrno } from './ffi.ts';

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(koffi.os.errno).map(([name, value]) => [value, name]));
/** The kernel's ENOTSUPP: not in any errno table, but bpf(2) returns it. */
export const ENOTSUPP = 524;
export const E = {
  NOENT: 2,
  INTR: 4,
  AGAIN: 11,
  EXIST: 17,
  NODEV: 19,
  NOSPC: 28,
  INVAL: 22,
  TOOBIG: 7,
  NOLINK: 67,
  BUSY: 16,
  PERM: 1,
  ACCES: 13,
} as const;

export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? (errno === ENOTSUPP ? 'ENOTSUPP' : `E${errno}`);
}

const HINTS: Readonly<Record<string, string>> = {
  EPERM: 'Run as root or with CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN.',
  ENOLINK: 'The device of this link was deleted.',
};

export interface BpfErrorContext {
  readonly retry?: Retry;
  readonly hint?: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** `bpf/<operation>` with errno, errnoName in `fields`. */
export function bpfError(operation: string, errno: number, detail: string, context: BpfErrorContext = {}): AppError {
  const name = errnoName(errno);
  const hint = context.hint ?? HINTS[name];
  return new AppError({
    code: `bpf/${operation}`,
    message: `${operation} ${detail}: ${name}`,
    ...(context.retry === undefined ? {} : { retry: context.retry }),
    ...(hint === undefined ? {} : { hint }),
    fields: { ...context.fields, errno, errnoName: name },
  });
}

/** errno of an AppError thrown by this package, else undefined. */
export function errnoOf(error: unknown): number | undefined {
  return error instanceof AppError && typeof error.fields.errno === 'number' ? error.fields.errno : undefined;
}

/** libbpf 1.x returns -errno; a bare -1 from libc means errno. */
export const errnoFrom = (result: number): number => (result === -1 ? lastErrno() || 1 : -result);

/** Passes results >= 0 on, throws for the rest. */
export function check(operation: string, result: number, detail: string): number {
  if (result < 0) throw bpfError(operation, errnoFrom(result), detail);
  return result;
}
