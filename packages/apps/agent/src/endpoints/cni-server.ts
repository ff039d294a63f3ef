// The unix socket on which CNI plugins call. One request and one answer per connection line; requests run concurrently, bounded.
// Started by wiring; what a request means is the handler's business.
import { chmodSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { AppError, describeError, type Log } from '@axoneme/std';
import { errnoOf } from '../store/errno.ts';
import { type CniRequest, parseRequest, toCniError } from './cni-types.ts';

export type CniHandler = (request: CniRequest) => Promise<Record<string, unknown> | null>;

export interface CniServer {
  /** Errors: `agent/socket`. Takes over a socket nobody listens on. */
  start(): Promise<void>;
  /** Stops listening; requests under way are answered first, for at most `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

const lineBytesMax = 4 << 20;
const connectionsMax = 512;

export async function answerLine(line: string, handle: CniHandler, log: Log): Promise<string> {
  const request = parseRequest(line);
  if (!request.ok) return JSON.stringify({ error: toCniError(request.error, '1.1.0') });
  const { command, containerId, ifname, conf } = request.value;
  try {
    return JSON.stringify({ result: await handle(request.value) });
  } catch (e) {
    log.warn('cni request failed', { command, container: containerId, ifname, error: describeError(e) });
    return JSON.stringify({ error: toCniError(e, conf.cniVersion) });
  }
}

/** Errors: `agent/already-running`. */
export async function assertAlone(path: string): Promise<void> {
  if (!(await answered(path))) return;
  throw new AppError({ code: 'agent/already-running', message: `another agent of this node listens on ${path}` });
}

function answered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const finish = (yes: boolean): void => {
      probe.destroy();
      resolve(yes);
    };
    probe.once('connect', () => finish(true));
    probe.once('error', () => finish(false));
  });
}

export function createCniServer(path: string, handle: CniHandler, log: Log): CniServer {
  const open = new Set<Socket>();
  let running = 0;
  let server: Server | undefined;

  const serve = (socket: Socket): void => {
    open.add(socket);
    socket.setEncoding('utf8');
    let text = '';
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > lineBytesMax) return void socket.destroy();
      for (let eol = text.indexOf('\n'); eol >= 0; eol = text.indexOf('\n')) {
        const line = text.slice(0, eol);
        text = text.slice(eol + 1);
        running++;
        void answerLine(line, handle, log).then((answer) => {
          running--;
          if (!socket.destroyed) socket.write(`${answer}\n`);
        });
      }
    });
  };

  return {
    start() {
      mkdirSync(dirname(path), { recursive: true });
      try {
        // left over from an agent that was killed
        unlinkSync(path);
      } catch (e) {
        if (errnoOf(e) !== 'ENOENT') throw e;
      }
      const made = createServer(serve);
      made.maxConnections = connectionsMax;
      server = made;
      return new Promise((resolve, reject) => {
        made.once('error', (e) =>
          reject(new AppError({ code: 'agent/socket', message: `cannot listen on ${path}: ${e.message}`, cause: e })),
        );
        made.listen(path, () => {
          chmodSync(path, 0o600);
          resolve();
        });
      });
    },
    async stop(graceMs) {
      const until = performance.now() + graceMs;
      server?.close();
      while (running > 0 && performance.now() < until) await new Promise((r) => setTimeout(r, 10));
      for (const s of open) s.end();
    },
  };
}
