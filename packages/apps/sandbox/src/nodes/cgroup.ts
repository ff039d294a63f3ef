// The cgroup v2 subtree of a sandbox. Everything the sandbox starts lives below it, which is what makes `down` complete: one write ends
// every process, whatever became of its parents.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@axoneme/std';

const MOUNTS = '/proc/self/mounts';
const EMPTY_POLL_MS = 10;
const EMPTY_TIMEOUT_MS = 10_000;

/** The cgroup v2 mount of this machine: the unified hierarchy, or its corner on a hybrid machine. */
export function cgroupMount(): string {
  const found = readFileSync(MOUNTS, 'utf8')
    .split('\n')
    .map((l) => l.split(' '))
    .find((f) => f[2] === 'cgroup2' && f[1]?.startsWith('/sys/fs/cgroup') === true);
  if (found?.[1] !== undefined) return found[1];
  throw new AppError({
    code: 'sandbox/no-cgroup2',
    message: 'no cgroup v2 mount below /sys/fs/cgroup',
    hint: 'mount -t cgroup2 none /sys/fs/cgroup',
  });
}

export function createCgroup(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}

export const cgroupPids = (path: string): number[] => {
  try {
    return readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  } catch {
    return [];
  }
};

function isPopulated(path: string): boolean {
  try {
    return readFileSync(join(path, 'cgroup.events'), 'utf8').includes('populated 1');
  } catch {
    return false;
  }
}

function children(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((e) => e.isDirectory())
      .map((e) => join(path, e.name));
  } catch {
    return [];
  }
}

function killTree(path: string): void {
  try {
    writeFileSync(join(path, 'cgroup.kill'), '1');
    return;
  } catch {
    // kernels before 5.14 have no cgroup.kill: one by one
  }
  for (const c of children(path)) killTree(c);
  for (const pid of cgroupPids(path)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // gone meanwhile
    }
  }
}

function removeTree(path: string): void {
  for (const c of children(path)) removeTree(c);
  try {
    rmdirSync(path);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e;
  }
}

/** Ends every process below `path` and removes the subtree. Succeeds when it is already gone. */
export async function destroyCgroup(path: string): Promise<void> {
  const deadline = Date.now() + EMPTY_TIMEOUT_MS;
  while (existsSync(path)) {
    killTree(path);
    if (!isPopulated(path)) {
      try {
        return removeTree(path);
      } catch {
        // a process that just died still holds its directory for a moment
      }
    }
    if (Date.now() > deadline)
      throw new AppError({ code: 'sandbox/cgroup-busy', message: `processes in ${path} do not end`, retry: 'later' });
    await delay(EMPTY_POLL_MS);
  }
}
