// A process that does nothing but keep namespaces alive. Detached: it outlives a crash of the sandbox, `down` finds it by cgroup.
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { AppError } from '@axoneme/std';

export interface Holder {
  readonly pid: number;
  readonly child: ChildProcess;
}

const READY_TIMEOUT_MS = 10_000;

/** Groups the words of steps on a line. */
export const words = (...list: readonly string[]): readonly string[] => list;

/** Steps for sbx as a file, when they are too many for a command line. */
export function writeSteps(path: string, steps: readonly string[]): string {
  writeFileSync(path, `${steps.join('\0')}\0`, { mode: 0o600 });
  return `@${path}`;
}

/** Starts sbx with steps that end in `hold` and waits for its "ready"; with `waitReady` false any long-lived program will do. */
export function startHolder(sbx: string, args: readonly string[], waitReady = true): Promise<Holder> {
  const child = spawn(sbx, args, { stdio: ['ignore', waitReady ? 'pipe' : 'ignore', 'pipe'], detached: true });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (d: string) => {
    said = (said + d).slice(-4096);
  });
  return new Promise((resolve, reject) => {
    const failed = (why: string): void => reject(new AppError({ code: 'sandbox/namespace', message: `cannot create namespaces: ${why}` }));
    const timer = setTimeout(() => failed('no answer in time'), READY_TIMEOUT_MS);
    const done = (): void => {
      clearTimeout(timer);
      child.unref();
      resolve({ pid: child.pid as number, child });
    };
    child.on('error', (e) => failed(e.message));
    child.on('exit', (code) => {
      clearTimeout(timer);
      failed(said.trim() || `exit code ${code}`);
    });
    if (waitReady) child.stdout?.once('data', done);
    else child.once('spawn', done);
  });
}
