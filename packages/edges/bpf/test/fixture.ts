// Compiles the test objects once per suite and gives it a private bpffs.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBpffs } from '../src/index.ts';

export interface Fixture {
  readonly object: string;
  readonly rejected: string;
  readonly bpffs: string;
  remove(): void;
}

export function createFixture(): Fixture {
  const dir = mkdtempSync(join(tmpdir(), 'axbpf-'));
  const bpffs = join(dir, 'bpffs');
  const compile = (name: string): string => {
    const out = join(dir, `${name}.o`);
    const include = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
    execFileSync('clang', ['-O2', '-g', '-target', 'bpf', '-I', include, '-c', join(import.meta.dirname, `${name}.bpf.c`), '-o', out]);
    return out;
  };
  ensureBpffs(bpffs);
  return {
    object: compile('fixture'),
    rejected: compile('rejected'),
    bpffs,
    remove() {
      execFileSync('umount', [bpffs]);
      rmSync(dir, { recursive: true });
    },
  };
}

/** Waits for the event loop until `condition` holds; fails loudly instead of hanging. */
export async function eventually(condition: () => boolean, withinMs = 5000): Promise<void> {
  const end = Date.now() + withinMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error('condition did not come true'); // tests may throw bare errors
    await new Promise((r) => setImmediate(r));
  }
}

export const packet = (length = 64): Buffer =>
  Buffer.concat([Buffer.from('02000000000202000000000108004500', 'hex'), Buffer.alloc(length - 16)]);
