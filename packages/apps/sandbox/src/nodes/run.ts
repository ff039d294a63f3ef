// Short-lived programs: start, feed, collect, time out. Every program of the sandbox that is not a container goes through here.
import { spawn } from 'node:child_process';
import { AppError } from '@axoneme/std';

const OUTPUT_MAX = 1 << 20;
const TIMEOUT_MS = 30_000;

export interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export interface RunResult {
  /** Exit code; 128 + signal number is not used: a killed program has code -1. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Never rejects: a program that cannot start has code 127. */
export function run(file: string, args: readonly string[], opts: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], ...(opts.env === undefined ? {} : { env: { ...opts.env } }) });
    let stdout = '';
    let stderr = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), opts.timeoutMs ?? TIMEOUT_MS);
    child.stdout.setEncoding('utf8').on('data', (d: string) => {
      if (stdout.length < OUTPUT_MAX) stdout += d;
    });
    child.stderr.setEncoding('utf8').on('data', (d: string) => {
      if (stderr.length < OUTPUT_MAX) stderr += d;
    });
    child.stdin.on('error', () => undefined);
    child.on('error', (e) => {
      clearTimeout(timer);
      resolve({ code: 127, stdout, stderr: e.message });
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? -1, stdout, stderr });
    });
    child.stdin.end(opts.input ?? '');
  });
}

/** As `run`, but a failure is thrown with what the program said. */
export async function mustRun(what: string, file: string, args: readonly string[], opts: RunOptions = {}): Promise<string> {
  const r = await run(file, args, opts);
  if (r.code === 0) return r.stdout;
  throw new AppError({
    code: 'sandbox/command-failed',
    message: `${what}: ${(r.stderr || r.stdout).trim() || `exit code ${r.code}`}`,
    retry: 'later',
  });
}
