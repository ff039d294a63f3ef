// What the user sees when a command fails, and the exit code scripts can rely on.
import { AppError, describeError } from '@axoneme/std';

/** 0 done, 1 failed, 2 wrong usage, 3 no way to the cluster or the operator, 4 not allowed, 5 no such thing, 6 not in time. */
export const exitCodes = { done: 0, failed: 1, usage: 2, unreachable: 3, forbidden: 4, notFound: 5, timeout: 6 } as const;

const byCode: Readonly<Record<string, number>> = {
  'kube/config': exitCodes.unreachable,
  'kube/unreachable': exitCodes.unreachable,
  'kube/timeout': exitCodes.unreachable,
  'kube/port-forward': exitCodes.unreachable,
  'kube/unauthorized': exitCodes.forbidden,
  'kube/forbidden': exitCodes.forbidden,
  'cli/no-operator': exitCodes.unreachable,
  'cli/no-certificate': exitCodes.unreachable,
  'cli/usage': exitCodes.usage,
  'cli/not-found': exitCodes.notFound,
  'cli/no-file': exitCodes.usage,
  'stream/unavailable': exitCodes.unreachable,
  'stream/timeout': exitCodes.unreachable,
  'stream/forbidden': exitCodes.forbidden,
  'stream/unauthenticated': exitCodes.forbidden,
  'stream/not-found': exitCodes.notFound,
  'operator/unknown-node': exitCodes.notFound,
  'balancer/not-running': exitCodes.unreachable,
  'balancer/no-backend': exitCodes.notFound,
  'balancer/bad-file': exitCodes.usage,
};

export function exitCodeOf(e: unknown): number {
  return e instanceof AppError ? (byCode[e.code] ?? exitCodes.failed) : exitCodes.failed;
}

/** One line, or two when there is something to do about it. */
export function failureText(e: unknown): string {
  if (!(e instanceof AppError)) return `axoneme: ${describeError(e)}\n`;
  return `axoneme: ${e.message}\n${e.hint === undefined ? '' : `         ${e.hint}\n`}`;
}
