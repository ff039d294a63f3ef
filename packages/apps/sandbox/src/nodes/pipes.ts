// Real pipes for the standard streams of a program. The runtime's own "pipes" are sockets, and a program that opens /dev/stdout or
// /dev/stdin cannot open a socket again.
import { closeSync, constants, openSync, unlinkSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { mustRun } from './run.ts';

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
let counter = 0;

function outputPair(path: string): { readonly inner: number; readonly outer: Socket } {
  // opening for reading first makes the writer's open return at once
  const read = openSync(path, O_RDONLY | O_NONBLOCK);
  const inner = openSync(path, O_WRONLY);
  unlinkSync(path);
  return { inner, outer: new Socket({ fd: read, readable: true, writable: false }) };
}

function inputPair(path: string): { readonly inner: number; readonly outer: Socket } {
  const opener = openSync(path, O_RDONLY | O_NONBLOCK);
  const write = openSync(path, O_WRONLY | O_NONBLOCK);
  // the program must not inherit a non-blocking end
  const inner = openSync(path, O_RDONLY);
  closeSync(opener);
  unlinkSync(path);
  return { inner, outer: new Socket({ fd: write, readable: false, writable: true }) };
}

const ended = (s: Socket): Promise<void> => new Promise((done) => (s.closed ? done() : s.once('close', () => done())));

/** Makes the pipes in `dir`; nothing stays there. */
export async function openPipes(sbx: string, dir: string, withStdin: boolean): Promise<Pipes> {
  const n = ++counter;
  const paths = ['in', 'out', 'err'].map((s) => join(dir, `.${process.pid}-${n}-${s}`));
  const wanted = withStdin ? paths : paths.slice(1);
  await mustRun(
    'make pipes',
    sbx,
    wanted.flatMap((p) => ['mkfifo', p]),
  );
  const input = withStdin ? inputPair(paths[0] as string) : undefined;
  const out = outputPair(paths[1] as string);
  const err = outputPair(paths[2] as string);
  for (const s of [input?.outer, out.outer, err.outer]) s?.on('error', () => s.destroy());
  return {
    stdio: [input?.inner ?? 'ignore', out.inner, err.inner],
    stdin: input?.outer,
    stdout: out.outer,
    stderr: err.outer,
    started() {
      for (const fd of [input?.inner, out.inner, err.inner]) if (fd !== undefined) closeSync(fd);
    },
    async drained() {
      await Promise.all([ended(out.outer), ended(err.outer)]);
    },
  };
}
