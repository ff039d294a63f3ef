// exec and attach: a program in a container, or the container's own streams, over the channel protocol.
import { spawn } from 'node:child_process';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { joinSteps } from '../kubelet/container-spec.ts';
import type { PodWorker, RunningContainer } from '../kubelet/pod-worker.ts';
import { openPipes } from '../nodes/pipes.ts';
import { acceptWebSocket, type Channels, channelsOf, ERROR, RESIZE, STDERR, STDIN, STDOUT } from './channels.ts';
import { acceptSpdy } from './spdy-channels.ts';

const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
const DEFAULT_SIZE = { cols: 80, rows: 24 };
const EXEC_ENV = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' };

export interface StreamQuery {
  readonly container: string;
  readonly command: readonly string[];
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** WebSocket from kubectl and the like, plain SPDY from an API server that talks to a kubelet. */
function accept(req: IncomingMessage, socket: Duplex, head: Buffer, q: StreamQuery): Promise<Channels | undefined> {
  if (!/spdy\/3\.1/i.test(req.headers.upgrade ?? '')) return acceptWebSocket(req, socket, head, PROTOCOLS).then(channelsOf);
  const wanted = 1 + [q.stdin, q.stdout, q.stderr && !q.tty, q.tty].filter(Boolean).length;
  return acceptSpdy(req, socket, wanted);
}

const flag = (v: string | null): boolean => v === 'true' || v === '1';

export function streamQuery(req: IncomingMessage, fallback: string): StreamQuery {
  const q = new URL(req.url ?? '/', 'http://x').searchParams;
  return {
    container: q.get('container') ?? fallback,
    command: q.getAll('command'), // kubelets are asked with other names than API servers
    stdin: flag(q.get('stdin') ?? q.get('input')),
    stdout: flag(q.get('stdout') ?? q.get('output')),
    stderr: flag(q.get('stderr') ?? q.get('error')),
    tty: flag(q.get('tty')),
  };
}

export function exitStatus(code: number): string {
  if (code === 0) return JSON.stringify({ metadata: {}, status: 'Success' });
  return JSON.stringify({
    metadata: {},
    status: 'Failure',
    reason: 'NonZeroExitCode',
    message: `command terminated with non-zero exit code: exit status ${code}`,
    details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
  });
}

export const failureStatus = (message: string): string =>
  JSON.stringify({ metadata: {}, status: 'Failure', reason: 'InternalError', message, code: 500 });

function finish(ch: Channels, status: string): void {
  ch.send(ERROR, status);
  ch.close();
}

const execEnv = (c: RunningContainer, env: Readonly<Record<string, string>>): Record<string, string> => ({
  ...EXEC_ENV,
  ...env,
  TERM: 'xterm',
  CONTAINER: c.spec.name,
});

async function execPlain(sbx: string, steps: readonly string[], env: Record<string, string>, q: StreamQuery, ch: Channels): Promise<void> {
  const early: Buffer[] = [];
  let feed = (data: Buffer): void => void early.push(data);
  let inputOver = false;
  let endInput = (): void => {
    inputOver = true;
  };
  ch.onMessage((channel, data) => {
    if (channel === STDIN) feed(data);
  });
  ch.onHalfClose((channel) => {
    if (channel === STDIN) endInput();
  });
  const pipes = await openPipes(sbx, q.stdin);
  const child = spawn(sbx, steps, { stdio: [...pipes.stdio], env });
  pipes.started();
  ch.pipe(STDOUT, pipes.stdout);
  ch.pipe(STDERR, pipes.stderr);
  feed = (data) => void pipes.stdin?.write(data);
  endInput = () => void pipes.stdin?.end();
  for (const data of early) feed(data);
  if (inputOver) endInput();
  ch.onClose(() => {
    endInput();
    if (child.exitCode === null) child.kill('SIGHUP');
  });
  child.on('error', (e) => finish(ch, failureStatus(e.message)));
  child.on('exit', (code) => void pipes.drained().then(() => finish(ch, exitStatus(code ?? 137))));
}

interface Size {
  readonly Width?: number;
  readonly Height?: number;
}

async function execTty(sbx: string, steps: readonly string[], env: Record<string, string>, ch: Channels): Promise<void> {
  const { spawn: spawnPty } = await import('@lydell/node-pty');
  const pty = spawnPty(sbx, [...steps], { ...DEFAULT_SIZE, name: 'xterm-256color', env, encoding: null });
  pty.onData((d: string | Buffer) => ch.send(STDOUT, d));
  pty.onExit(({ exitCode }) => finish(ch, exitStatus(exitCode)));
  ch.onMessage((channel, data) => {
    if (channel === STDIN) pty.write(data.toString('utf8'));
    else if (channel === RESIZE) {
      const { Width, Height } = JSON.parse(data.toString('utf8')) as Size;
      if (Width !== undefined && Height !== undefined && Width > 0 && Height > 0) pty.resize(Width, Height);
    }
  });
  ch.onClose(() => {
    try {
      pty.kill();
    } catch {
      // the program has ended already
    }
  });
}

/** The container's environment as its program got it; exec sees the same. */
export type EnvironmentOf = (worker: PodWorker, container: string) => Promise<Readonly<Record<string, string>>>;

export async function handleExec(
  sbx: string,
  worker: PodWorker | undefined,
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  first: string,
): Promise<void> {
  const q = streamQuery(req, first);
  const ch = await accept(req, socket, head, q);
  if (ch === undefined) return;
  const c = worker?.running(q.container);
  if (c === undefined || worker === undefined) return finish(ch, failureStatus(`container not found ("${q.container}")`));
  if (q.command.length === 0) return finish(ch, failureStatus('you must specify at least one command for the container'));
  const steps = joinSteps(c.runtime.cgroup, c.pid, c.hostNetwork, q.command);
  const env = execEnv(c, await worker.environment(q.container));
  if (q.tty) await execTty(sbx, steps, env, ch);
  else await execPlain(sbx, steps, env, q, ch);
}

export async function handleAttach(
  worker: PodWorker | undefined,
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  first: string,
): Promise<void> {
  const q = streamQuery(req, first);
  const ch = await accept(req, socket, head, q);
  if (ch === undefined) return;
  const c = worker?.running(q.container);
  if (c === undefined) return finish(ch, failureStatus(`container not found ("${q.container}")`));
  const { child } = c;
  const pipes = c.runtime.pipes();
  const out = (d: Buffer): void => ch.send(STDOUT, d);
  const errOut = (d: Buffer): void => ch.send(STDERR, d);
  pipes?.stdout.on('data', out);
  pipes?.stderr.on('data', errOut);
  ch.onMessage((channel, data) => {
    if (channel === STDIN) pipes?.stdin?.write(data);
  });
  ch.onHalfClose((channel) => {
    if (channel === STDIN) pipes?.stdin?.end();
  });
  ch.onClose(() => {
    pipes?.stdout.off('data', out);
    pipes?.stderr.off('data', errOut);
  });
  child.on('close', (code) => finish(ch, exitStatus(code ?? 137)));
}
