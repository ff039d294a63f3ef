// Network namespaces: work inside one, make and remove named ones. Called by the agent's endpoint code, the sandbox and tests.
import { closeSync, mkdirSync, openSync, readdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { AppError } from '@axoneme/std';
import { check, libcHandle } from './ffi.ts';

const CLONE_NEWNET = 0x40000000;
const CURRENT = '/proc/thread-self/ns/net';
const MS_BIND = 4096n;
const MNT_DETACH = 2;
export const NETNS_DIR = '/run/netns';
export const netnsPath = (name: string): string => `${NETNS_DIR}/${name}`;

/**
 * Runs `fn` with this thread in another network namespace. `fn` must be synchronous and must not start processes or
 * workers that shall live outside: they would stay inside. `netns` is a path or an open descriptor.
 */
export function inNetns<T>(netns: string | number, fn: () => T): T {
  const target = typeof netns === 'number' ? netns : openNetns(netns);
  const home = openSync(CURRENT, 'r');
  try {
    check('setns', libcHandle().setns(target, CLONE_NEWNET), String(netns));
    try {
      return synchronous(fn());
    } finally {
      comeHome(home);
    }
  } finally {
    closeSync(home);
    if (typeof netns === 'string') closeSync(target);
  }
}

function synchronous<T>(result: T): T {
  if (typeof (result as { then?: unknown } | null | undefined)?.then !== 'function') return result;
  throw new AppError({
    code: 'netlink/async-in-netns',
    message: 'inNetns needs a synchronous function: an await would leak into the rest of the program',
  });
}

function comeHome(home: number): void {
  // in the wrong namespace nothing this process does can be trusted
  if (libcHandle().setns(home, CLONE_NEWNET) !== 0) process.abort();
}

/** Descriptor of a namespace, for `netnsFd` of links. The caller closes it. */
export function openNetns(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    throw new AppError({ code: 'netlink/no-netns', message: `no network namespace at ${path}`, cause });
  }
}

/** Makes a namespace and keeps it at `path` (`netnsPath(name)` is where `ip netns` looks). */
export function createNetns(path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '', { flag: 'wx' });
  const home = openSync(CURRENT, 'r');
  try {
    check('netns-create', libcHandle().unshare(CLONE_NEWNET), path);
    try {
      check('netns-create', libcHandle().mount(CURRENT, path, 'none', MS_BIND, null), path);
    } finally {
      comeHome(home);
    }
  } catch (e) {
    unlinkSync(path);
    throw e;
  } finally {
    closeSync(home);
  }
}

/** Absent is fine. Processes inside keep the namespace alive until they end. */
export function deleteNetns(path: string): void {
  libcHandle().umount2(path, MNT_DETACH);
  try {
    unlinkSync(path);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e;
  }
}

/** Where container runtimes keep the namespaces of pods. */
const NETNS_DIRS = [NETNS_DIR, '/var/run/netns'] as const;

function entries(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

/** A path for every other network namespace this process can see, by name or through a process: no namespace twice, not its own. */
export function otherNetns(): readonly string[] {
  const inode = (path: string): bigint | undefined => statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
  const seen = new Set([inode(CURRENT)]);
  const named = NETNS_DIRS.flatMap((dir) => entries(dir).map((name) => `${dir}/${name}`));
  const ofProcesses = entries('/proc').flatMap((pid) => (/^\d+$/.test(pid) ? [`/proc/${pid}/ns/net`] : []));
  return [...named, ...ofProcesses].filter((path) => {
    let at: bigint | undefined;
    try {
      at = inode(path);
    } catch {
      return false; // gone meanwhile, or not ours to look at
    }
    if (at === undefined || seen.has(at)) return false;
    seen.add(at);
    return true;
  });
}
