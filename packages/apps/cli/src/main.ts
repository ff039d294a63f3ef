#!/usr/bin/env node
// Entry of `axoneme`: terminal, signals, exit code.
import { enableCompileCache } from 'node:module';

// Halves the start of a command; loading comes after it for that reason.
enableCompileCache();
const { runCli } = await import('./program.ts');

const stop = new AbortController();
for (const s of ['SIGINT', 'SIGTERM'] as const) process.once(s, () => stop.abort());
// `axoneme … | head`: the reader may leave early.
process.stdout.on('error', (e: NodeJS.ErrnoException) => process.exit(e.code === 'EPIPE' ? 0 : 1));

const code = await runCli(process.argv.slice(2), {
  out: { write: (text) => void process.stdout.write(text) },
  err: { write: (text) => void process.stderr.write(text) },
  signal: stop.signal,
});
// Written output goes out first; connections that still linger do not keep the shell waiting.
process.stdout.write('', () => process.exit(code));
