// Memory and CPU of the sandbox's own processes, read from /proc. Called by the cluster bench.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it ended while we looked
  }
};

/** Processes of one sandbox that run an app. */
export function processesOf(sandboxId: string, app: 'agent' | 'operator'): readonly number[] {
  const entry = new RegExp(`packages/apps/${app}/(src/main\\.ts|bin/[^/]+)$`);
  const pids = readdirSync('/proc').filter((d) => /^\d+$/.test(d));
  return pids
    .filter((pid) =>
      read(`/proc/${pid}/cmdline`)
        .split('\0')
        .some((a) => entry.test(a)),
    )
    .filter((pid) => read(`/proc/${pid}/cgroup`).includes(`axoneme-sandbox-${sandboxId}/`))
    .map(Number);
}

export const netnsOf = (pid: number): string => {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
};

export interface Memory {
  readonly rssMb: number;
  /** Without pages of files: the Node binary's own text is shared by all processes that run it. */
  readonly anonMb: number;
}

export function memoryOf(pid: number): Memory {
  const status = read(`/proc/${pid}/status`);
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN) / 1024;
  return { rssMb: field('VmRSS'), anonMb: field('RssAnon') };
}

/** CPU time of all its threads, of those that ended too, in ms. */
export function cpuMsOf(pid: number): number {
  const stat = read(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10; // USER_HZ is 100 on every Linux that we run on
}
