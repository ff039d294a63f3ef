// Reads and writes /proc/sys. Inside `inNetns` the `net` subtree is that namespace's.
import { readFileSync, writeFileSync } from 'node:fs';
import { AppError } from '@axoneme/std';

/** Path as parts, because device names may hold dots: `['net', 'ipv4', 'conf', 'eth0.5', 'rp_filter']`. */
export type SysctlPath = readonly string[];
const fileOf = (path: SysctlPath): string => `/proc/sys/${path.join('/')}`;

export function readSysctl(path: SysctlPath): string | undefined {
  try {
    return readFileSync(fileOf(path), 'utf8').trim();
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw sysctlError(path, e);
  }
}

/** Writes only when it differs. False when it was right already. */
export function writeSysctl(path: SysctlPath, value: string | number): boolean {
  const before = readSysctl(path);
  if (before === String(value)) return false;
  try {
    writeFileSync(fileOf(path), String(value));
  } catch (e) {
    throw sysctlError(path, e);
  }
  return true;
}

function sysctlError(path: SysctlPath, cause: unknown): AppError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
  const hint = code === 'EROFS' ? 'Mount /proc/sys writable (privileged container).' : undefined;
  return new AppError({ code: 'netlink/sysctl', message: `${path.join('.')}: ${code}`, cause, ...(hint === undefined ? {} : { hint }) });
}
