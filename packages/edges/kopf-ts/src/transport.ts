// HTTP to the API server: connection pools, credentials, deadlines. Called by client.ts only.
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { AppError } from '@axoneme/std';
import type { Credentials, LoadedKubeConfig } from './config.ts';
import { errorFromSocket, errorFromStatus, kubeError } from './errors.ts';

export interface HttpCall {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly body?: string;
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** Until the headers arrive (watch) or until the body is complete (everything else). */
  readonly timeoutMs: number;
}

export interface Transport {
  /** Answer body of a successful call; throws AppError otherwise. */
  call(c: HttpCall): Promise<string>;
  /** Headers have arrived with a success code; the caller reads the stream. Uses its own sockets. */
  stream(c: HttpCall): Promise<IncomingMessage>;
  close(): void;
}

const credentialsTtlMs = 5_000;
const answerBytesMax = 256 * 1024 * 1024;
const errorBytesMax = 64 * 1024;

interface Pools {
  readonly of: (c: Credentials, long: boolean) => HttpAgent | HttpsAgent;
  close(): void;
}

function createPools(secure: boolean): Pools {
  let tag: readonly unknown[] = [];
  let agents: readonly [short: HttpAgent | HttpsAgent, long: HttpAgent | HttpsAgent] | undefined;
  const make = (c: Credentials, long: boolean): HttpAgent | HttpsAgent => {
    // keep-alive probes find a peer that vanished without a word, also on watches that are silent by nature
    const common = { keepAlive: true, keepAliveMsecs: 10_000, maxSockets: long ? 512 : 16, scheduling: 'lifo' as const };
    const { headers: _, ...tls } = c;
    return secure ? new HttpsAgent({ ...common, ...tls }) : new HttpAgent(common);
  };
  const close = (): void => {
    for (const a of agents ?? []) a.destroy();
  };
  return {
    of(c, long) {
      const next = [String(c.ca ?? ''), String(c.cert ?? ''), String(c.key ?? '')];
      if (agents === undefined || next.some((v, i) => v !== tag[i])) {
        // sockets of the old certificate finish their work and are not reused
        tag = next;
        agents = [make(c, false), make(c, true)];
      }
      return agents[long ? 1 : 0];
    },
    close,
  };
}

function readAll(res: IncomingMessage, max: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    res.on('data', (b: Buffer) => {
      size += b.length;
      if (size > max) res.destroy(kubeError('kube/too-large', `the answer exceeds ${max} bytes`, 'never'));
      else chunks.push(b);
    });
    res.on('end', () =>
      res.complete
        ? resolve(Buffer.concat(chunks, size).toString('utf8'))
        : reject(kubeError('kube/unreachable', 'the answer was cut short', 'later')),
    );
    res.on('error', reject);
    res.on('close', () => reject(kubeError('kube/unreachable', 'the connection closed inside the answer', 'later')));
  });
}

/** Credentials, read again every few seconds; a failed read is not kept. */
function cachedCredentials(config: LoadedKubeConfig): () => Promise<Credentials> {
  let held: { readonly at: number; readonly value: Promise<Credentials> } | undefined;
  return () => {
    const now = performance.now();
    if (held === undefined || now - held.at > credentialsTtlMs) {
      held = { at: now, value: config.credentials() };
      held.value.catch(() => {
        held = undefined;
      });
    }
    return held.value;
  };
}

function classify(e: unknown, c: HttpCall, deadline: AbortSignal): unknown {
  const request = `${c.method} ${c.path}`;
  if (c.signal?.aborted === true) return kubeError('kube/aborted', 'the request was aborted', 'never', { request });
  if (deadline.aborted) return kubeError('kube/timeout', `no answer within ${c.timeoutMs} ms`, 'later', { request });
  return e instanceof AppError ? e : errorFromSocket(e, request);
}

async function check(res: IncomingMessage, c: HttpCall): Promise<IncomingMessage> {
  const status = res.statusCode ?? 0;
  if (status >= 200 && status < 300) return res;
  const text = await readAll(res, errorBytesMax).catch(() => '');
  throw errorFromStatus(status, text, `${c.method} ${c.path}`, res.headers['retry-after']);
}

/** Ends with the deadline or with the caller's signal; afterwards nothing hangs on that long-lived signal. */
async function guarded<R>(c: HttpCall, work: (signal: AbortSignal) => Promise<R>): Promise<R> {
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  const timer = setTimeout(stop, c.timeoutMs);
  c.signal?.addEventListener('abort', stop, { once: true });
  if (c.signal?.aborted === true) stop();
  try {
    return await work(abort.signal);
  } catch (e) {
    throw classify(e, c, abort.signal);
  } finally {
    clearTimeout(timer);
    c.signal?.removeEventListener('abort', stop);
  }
}

type Send = (c: HttpCall, long: boolean, signal: AbortSignal) => Promise<IncomingMessage>;

function createSender(config: LoadedKubeConfig, userAgent: string, pools: Pools): Send {
  const base = new URL(config.server);
  const secure = base.protocol === 'https:';
  const prefix = base.pathname.replace(/\/+$/, '');
  const credentials = cachedCredentials(config);
  return async (c, long, signal) => {
    const cred = await credentials();
    const body = c.body === undefined ? undefined : Buffer.from(c.body);
    return new Promise((resolve, reject) => {
      const req = (secure ? httpsRequest : httpRequest)({
        method: c.method,
        host: base.hostname.replace(/^\[|\]$/g, ''),
        port: base.port === '' ? (secure ? 443 : 80) : Number(base.port),
        path: prefix + c.path,
        agent: pools.of(cred, long),
        signal,
        headers: {
          ...cred.headers,
          Accept: c.accept ?? 'application/json',
          'User-Agent': userAgent,
          ...(body === undefined ? {} : { 'Content-Type': c.contentType ?? 'application/json', 'Content-Length': body.length }),
        },
      });
      let reused = false;
      req.on('socket', () => {
        reused = req.reusedSocket;
      });
      req.on('response', resolve);
      req.on('error', (e) => reject(Object.assign(e, { reused })));
      req.end(body);
    });
  };
}

export function createTransport(config: LoadedKubeConfig, userAgent: string): Transport {
  const pools = createPools(config.server.startsWith('https:'));
  const send = createSender(config, userAgent, pools);
  // An idle keep-alive socket may be closed by the server at the moment it is reused; a read is safe to send again.
  const sendAgain: Send = async (c, long, signal) => {
    try {
      return await send(c, long, signal);
    } catch (e) {
      if (c.method !== 'GET' || (e as { reused?: boolean }).reused !== true || signal.aborted) throw e;
      return send(c, long, signal);
    }
  };
  return {
    call: (c) => guarded(c, async (signal) => readAll(await check(await sendAgain(c, false, signal), c), answerBytesMax)),
    stream: (c) => guarded(c, async (signal) => check(await sendAgain(c, true, signal), c)),
    close: () => pools.close(),
  };
}
