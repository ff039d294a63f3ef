// A real redis-server on a unix socket, for the suites of this package.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Connection, connect } from '../src/index.ts';

export async function until(condition: () => boolean | Promise<boolean>, what: string, timeoutMs = 15_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${what}`);
    await new Promise((r) => setTimeout(r, 3));
  }
}

export interface RedisServer {
  readonly url: string;
  readonly admin: Connection;
  start(): Promise<void>;
  /** kill -9: nothing is saved. */
  kill(): Promise<void>;
  dispose(): Promise<void>;
}

export async function startRedis(): Promise<RedisServer> {
  const dir = mkdtempSync(join(tmpdir(), 'axo-redis-'));
  const url = join(dir, 's');
  let child: ChildProcess | undefined;
  let admin = connect({ url, name: 'admin' });
  const start = async (): Promise<void> => {
    child = spawn('redis-server', ['--port', '0', '--unixsocket', url, '--save', '', '--dir', dir], { stdio: 'ignore' });
    admin.close();
    admin = connect({ url, name: 'admin' });
    await until(async () => (await admin.command('PING').catch(() => '')) === 'PONG', 'redis answers');
  };
  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  await start();
  return {
    url,
    get admin() {
      return admin;
    },
    start,
    kill,
    async dispose() {
      admin.close();
      await kill();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
