// Real pipes for the standard streams of a program. The runtime's own "pipes" are sockets, and a program that opens /dev/stdout or
// /dev/stdin cannot open a socket again.
import { spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { AppError } from '@axoneme/std';

export interface Pipes {
  /** For `spawn`; closed by `started`. */
  readonly stdio: readonly (number | 'ignore')[];
  readonly stdin: Socket | undefined;
  readonly stdout: Socket;
  readonly stderr: Socket;
  /** The program has its ends: ours can go, so that the streams end with it. */
  started(): void;
  /** Resolves when both outputs are read to their end. */
  drained(): Promise<void>;
}

const { O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
/** First descriptor of each pipe in the helper: read end, then write end. */
const HELPER = { stdin: 10, stdout: 12, stderr: 14 } as const;
const READY_TIMEOUT_MS = 10_000;

interface Helper {
  readonly pid: number;
  release(): void;
}

/** A process that owns three fresh pipes until it is released. */
function startHelper(sbx: string): Promise<Helper> {
  const child = spawn(sbx, ['holdpipes'], { stdio: ['pipe', 'pipe', 'ignore'] });
  return new Promise((resolve, reject) => {
    const failed = (): void => reject(new AppError({ code: 'sandbox/pipes', message: 'cannot make pipes', retry: 'later' }));
    const timer = setTimeout(failed, READY_TIMEOUT_MS);
    child.on('error', failed);
    child.on('exit', failed);
    child.stdin.on('error', () => undefined);
    child.stdout.once('data', () => {
      clearTimeout(timer);
      resolve({ pid: child.pid as number, release: () => child.stdin.end() });
    });
  });
}

const ended = (s: Socket): Promise<void> => new Promise((done) => (s.closed ? done() : s.once('close', () => done())));

export async function openPipes(sbx: string, withStdin: boolean): Promise<Pipes> {
  const helper = await startHelper(sbx);
  const open = (fd: number, flags: number): number => openSync(`/proc/${helper.pid}/fd/${fd}`, flags);
  const output = (fd: number): Socket => new Socket({ fd: open(fd, O_RDONLY | O_NONBLOCK), readable: true, writable: false });
  const stdin = withStdin ? new Socket({ fd: open(HELPER.stdin + 1, O_WRONLY | O_NONBLOCK), readable: false, writable: true }) : undefined;
  const stdout = output(HELPER.stdout);
  const stderr = output(HELPER.stderr);
  const inner = [
    withStdin ? open(HELPER.stdin, O_RDONLY) : undefined,
    open(HELPER.stdout + 1, O_WRONLY),
    open(HELPER.stderr + 1, O_WRONLY),
  ];
  helper.release();
  for (const s of [stdin, stdout, stderr]) s?.on('error', () => s.destroy());
  return {
    stdio: inner.map((fd) => fd ?? 'ignore'),
    stdin,
    stdout,
    stderr,
    started() {
      for (const fd of inner) if (fd !== undefined) closeSync(fd);
    },
    async drained() {
      await Promise.all([ended(stdout), ended(stderr)]);
    },
  };
}
