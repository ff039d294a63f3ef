// One connection to Redis that fails fast: nothing is queued or sent twice behind our back. Called by mirror, follower and leases.
// The only file that knows ioredis.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { AppError, describeError } from '@axoneme/std';
import { Redis } from 'ioredis';

export interface ConnectionConfig {
  /** redis://[user:password@]host:port[/db], or the path of a unix socket. */
  readonly url: string;
  /** Shown by CLIENT LIST. */
  readonly name: string;
  readonly commandTimeoutMs?: number;
}

export type Reply = string | number | null | readonly Reply[];

export interface Script {
  readonly text: string;
  readonly sha: string;
}

/** Reads `lua/<name>.lua` beside this file. */
export function loadScript(name: string): Script {
  const text = readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8');
  return { text, sha: createHash('sha1').update(text).digest('hex') };
}

export interface Connection {
  /** Throws `kvstore/unreachable`, `kvstore/refused` (Redis does not take writes now) or `kvstore/failed`. */
  command(name: string, ...args: readonly (string | number)[]): Promise<Reply>;
  script(s: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<Reply>;
  close(): void;
}

/** Replies that mean "not now": out of memory, replica, snapshot failed, starting, too few replicas, cluster trouble. */
const refusal = /^-?(OOM|READONLY|MISCONF|LOADING|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY)\b/;

function explain(cause: unknown): AppError {
  const text = describeError(cause);
  if (refusal.test(text)) {
    return new AppError({
      code: 'kvstore/refused',
      message: `redis refuses: ${text}`,
      retry: 'later',
      hint: 'look at the Redis server',
      cause,
    });
  }
  const isReply = cause instanceof Error && cause.name === 'ReplyError';
  if (isReply) return new AppError({ code: 'kvstore/failed', message: `redis: ${text}`, retry: 'later', cause });
  return new AppError({ code: 'kvstore/unreachable', message: `redis is not reachable: ${text}`, retry: 'later', cause });
}

export function connect(config: ConnectionConfig): Connection {
  const redis = new Redis(config.url, {
    connectionName: config.name.replace(/\s/g, '-'),
    // One shape of reply, whatever the server speaks.
    protocol: 2,
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 3_000,
    disconnectTimeout: 200,
    retryStrategy: (times) => Math.min(2_000, 50 * 2 ** Math.min(times, 6)),
  });
  const timeoutMs = config.commandTimeoutMs ?? 5_000;
  let closed = false;
  let lastError: Error | undefined;
  redis.on('error', (e: Error) => {
    lastError = e;
  });
  const ready = async (): Promise<void> => {
    if (redis.status === 'ready') return;
    if (redis.status === 'wait' || redis.status === 'end') await redis.connect().catch(() => undefined);
    if ((redis.status as string) !== 'ready')
      throw lastError ?? new AppError({ code: 'kvstore/unreachable', message: `connection is ${redis.status}` });
  };
  /** A command that hangs takes its connection with it: a dead peer would otherwise stay "connected" for hours. */
  const guarded = async (run: () => Promise<unknown>, extraMs = 0): Promise<Reply> => {
    if (closed) throw new AppError({ code: 'kvstore/unreachable', message: 'the connection was closed' });
    let timer: NodeJS.Timeout | undefined;
    try {
      await ready();
      const silence = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          redis.disconnect(true);
          reject(new AppError({ code: 'kvstore/unreachable', message: `no answer within ${timeoutMs + extraMs} ms` }));
        }, timeoutMs + extraMs);
      });
      return (await Promise.race([run(), silence])) as Reply;
    } catch (e) {
      throw e instanceof AppError && e.code.startsWith('kvstore/') ? e : explain(e);
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    command(name, ...args) {
      const block = args.indexOf('BLOCK');
      return guarded(() => redis.call(name, ...args), block >= 0 ? Number(args[block + 1]) : 0);
    },
    script: (s, keys, args) =>
      guarded(async () => {
        try {
          return await redis.evalsha(s.sha, keys.length, ...keys, ...args);
        } catch (e) {
          if (!describeError(e).startsWith('NOSCRIPT')) throw e;
          return await redis.eval(s.text, keys.length, ...keys, ...args);
        }
      }),
    close() {
      closed = true;
      redis.disconnect(false);
    },
  };
}
