// The webhook's HTTPS server: POST /validate. Every replica serves it; asks nobody and changes nothing. Called by wiring.ts.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { AppError, type Clock, type Health, type Living, type Log } from '@axoneme/std';
import { answerReview, type ReviewAnswer } from './review.ts';

export interface WebhookTls {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface WebhookServer extends Living {
  /** New connections use the new certificate. */
  updateTls(tls: WebhookTls): void;
  /** Port in use once started. */
  port(): number;
  /** Reviews answered: allowed, denied, not understood. */
  counts(): { readonly allowed: number; readonly denied: number; readonly bad: number };
}

export interface WebhookConfig {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly clusterName: string;
}

/** A review carries the object twice; the API server accepts objects of 1.5 MiB (3 MiB as a request). */
const BODY_BYTES_MAX = 8 * 1024 * 1024;
const CONNECTIONS_MAX = 128;

/** Undefined when it is too large; then the rest is not read. */
function readBody(request: IncomingMessage): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    if (Number(request.headers['content-length'] ?? 0) > BODY_BYTES_MAX) return resolve(undefined);
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (b: Buffer) => {
      size += b.length;
      if (size > BODY_BYTES_MAX) resolve(undefined);
      else chunks.push(b);
    });
    request.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    request.on('error', reject);
  });
}

type Pace = (work: () => ReviewAnswer) => Promise<ReviewAnswer>;

/** A review this long is followed by a rest as long: whoever may write policies must not starve the nodes. */
const LONG_MS = 10;

/** One review at a time. */
function createPace(clock: Clock): Pace {
  let line: Promise<unknown> = Promise.resolve();
  return (work) => {
    const turn = line.then(async () => {
      const start = clock.monotonicMs();
      const a = work();
      return { a, tookMs: clock.monotonicMs() - start };
    });
    line = turn.then(
      ({ tookMs }) => (tookMs < LONG_MS ? undefined : clock.sleep(tookMs)),
      () => undefined,
    );
    return turn.then(({ a }) => a);
  };
}

async function answer(request: IncomingMessage, clusterName: string, pace: Pace): Promise<ReviewAnswer> {
  if ((request.url ?? '').split('?')[0] !== '/validate') return { status: 404, outcome: 'bad', body: 'try POST /validate\n' };
  if (request.method !== 'POST') return { status: 405, outcome: 'bad', body: 'only POST is answered here\n' };
  const text = await readBody(request);
  if (text === undefined)
    return { status: 413, outcome: 'bad', body: `the review is larger than ${BODY_BYTES_MAX} bytes; no policy needs that much\n` };
  return pace(() => answerReview(text, clusterName));
}

function respond(response: ServerResponse, a: ReviewAnswer): void {
  const type = a.status === 200 ? 'application/json' : 'text/plain; charset=utf-8';
  // what was not read of a refused body cannot be followed by another request
  const close = a.status === 413 ? { connection: 'close' } : {};
  response.writeHead(a.status, { 'content-type': type, 'content-length': Buffer.byteLength(a.body), ...close }).end(a.body);
}

export function createWebhookServer(
  deps: { readonly log: Log; readonly clock: Clock },
  config: WebhookConfig,
  tls: WebhookTls,
): WebhookServer {
  const pace = createPace(deps.clock);
  const counts = { allowed: 0, denied: 0, bad: 0 };
  let health: Health = { state: 'stopped', reason: 'not started' };
  let bound: number | undefined;
  const server = createServer(
    { cert: tls.certPem, key: tls.keyPem, requestTimeout: 10_000, headersTimeout: 5_000 },
    (request, response) => {
      answer(request, config.clusterName, pace).then(
        (a) => {
          counts[a.outcome] += 1;
          respond(response, a);
        },
        (error: unknown) => {
          // the asker went away while it was still talking
          deps.log.debug('admission request failed', { error });
          response.destroy();
        },
      );
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  return {
    name: 'admission',
    health: () => health,
    port: () => bound ?? config.port,
    counts: () => counts,
    updateTls: (next) => server.setSecureContext({ cert: next.certPem, key: next.keyPem }),
    start(signal) {
      return new Promise((resolve, reject) => {
        server.once('error', (cause) => {
          health = { state: 'stopped', reason: cause.message };
          const message = `cannot listen on ${config.host}:${config.port}: ${cause.message}`;
          reject(new AppError({ code: 'operator/webhook-listen', message, hint: 'choose another operator.webhookPort', cause }));
        });
        server.listen(config.port, config.host, () => {
          bound = (server.address() as AddressInfo).port;
          health = { state: 'ok' };
          server.on('error', (error) => deps.log.warn('admission server error', { error }));
          resolve();
        });
        signal.addEventListener('abort', () => {
          health = { state: 'stopped', reason: 'shut down' };
          server.close();
          server.closeAllConnections();
        });
      });
    },
  };
}
