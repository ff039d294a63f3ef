// Compiles the two C programs of the sandbox once per content. Called by sandbox start and by tests.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { AppError, digestOf } from '@axoneme/std';

const COMPILERS = ['cc', 'gcc', 'clang'];

export interface NativePrograms {
  /** The step interpreter (namespaces, mounts, exec). */
  readonly sbx: string;
  /** The built-in pod programs. */
  readonly demo: string;
  /** TCP relay. */
  readonly forward: string;
}

function compile(source: string, target: string): void {
  const staging = `${target}.${process.pid}`;
  let last = '';
  for (const cc of COMPILERS) {
    const r = spawnSync(cc, ['-O2', '-w', '-o', staging, source], { encoding: 'utf8' });
    if (r.status === 0) {
      renameSync(staging, target);
      return;
    }
    last = r.error === undefined ? r.stderr : r.error.message;
  }
  throw new AppError({
    code: 'sandbox/no-compiler',
    message: `cannot compile ${source}: ${last}`,
    hint: 'run `npm run setup`, it installs a C compiler',
  });
}

/** Builds into `dir`; a program whose source did not change is reused. */
export function buildNative(dir: string): NativePrograms {
  mkdirSync(dir, { recursive: true });
  const [sbx, demo, forward] = ['sbx', 'demo', 'forward'].map((name) => {
    const source = join(import.meta.dirname, `${name}.c`);
    const target = join(dir, `${name}-${digestOf(readFileSync(source)).slice(0, 12)}`);
    if (!existsSync(target)) compile(source, target);
    return target;
  });
  return { sbx: sbx as string, demo: demo as string, forward: forward as string };
}
