// Compiles bpf/types.c and writes src/gen from its BTF. Called by ../../generate.ts and by the test that keeps them equal.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readBtf } from './btf.ts';
import { emit } from './emit.ts';
import { constants, mapLayouts, structLayouts } from './layout.ts';

export const ROOT = join(import.meta.dirname, '../../../../..');
export const GEN = join(import.meta.dirname, '../gen');

/** What src/gen should contain for the C sources as they are now. */
export function generate(): ReadonlyMap<string, string> {
  execFileSync('make', ['-s', '-C', join(ROOT, 'bpf'), 'build/types.o'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const btf = readBtf(readFileSync(join(ROOT, 'bpf/build/types.o')));
  const header = (name: string): string => readFileSync(join(ROOT, 'bpf/lib', name), 'utf8');
  return emit({
    structs: structLayouts(btf),
    maps: mapLayouts(btf),
    constants: constants(header('structs.h')),
    drops: constants(header('drops.h')),
  });
}

/** Replaces the contents of src/gen. */
export function writeGenerated(): void {
  const files = generate();
  mkdirSync(GEN, { recursive: true });
  for (const old of readdirSync(GEN)) if (!files.has(old)) rmSync(join(GEN, old));
  for (const [name, content] of files) writeFileSync(join(GEN, name), content);
}
