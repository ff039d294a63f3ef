#!/usr/bin/env node
// Starts the agent with compiled code taken from a cache: without it Node keeps its TypeScript stripper in memory, 30 MB for nothing.
// The cache is filled once, by a process of its own, beside the code or (read-only image without a filled cache) in the temporary directory.
import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

function cacheDirectory() {
  const beside = fileURLToPath(new URL('../build/compile-cache', import.meta.url));
  try {
    if (existsSync(`${beside}/${process.version}`)) return beside;
    mkdirSync(beside, { recursive: true });
    accessSync(beside, constants.W_OK);
    return beside;
  } catch {
    return `${tmpdir()}/axoneme-agent-cache`;
  }
}

function fill(dir) {
  if (existsSync(`${dir}/${process.version}`)) return;
  try {
    mkdirSync(dir, { recursive: true });
    const env = { ...process.env, NODE_COMPILE_CACHE: dir };
    execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', main, '--help'], { env, stdio: 'ignore' });
    writeFileSync(`${dir}/${process.version}`, '');
  } catch {
    // slower and larger, but the agent runs without
  }
}

const dir = process.env.NODE_COMPILE_CACHE ?? cacheDirectory();
fill(dir);
enableCompileCache(dir);
await import(main);
