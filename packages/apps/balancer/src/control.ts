// The unix socket on which a running balancer answers `axoneme lb status` and `lb explain`: HTTP with JSON. Both ends are here.
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { dirname } from 'node:path';
import { type IpAddr, parseIp, parsePort, parsePortProtocol } from '@axoneme/model';
import type { Explanation, Tuple } from '@axoneme/service';
import { AppError, describeError, type Log, ok, type Result } from '@axoneme/std';
import type { LbStatus } from './status.ts';

export interface Control {
  status(): LbStatus;
  explain(tuple: Tuple): Explanation;
}

/** Errors: those of the parsers, naming the part. */
export function parseTuple(q: { readonly [K in 'client' | 'vip' | 'protocol']: string }): Result<Tuple> {
  const socket = (text: string): Result<{ ip: IpAddr; port: number }> => {
    const m = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text);
    if (m === null) {
      const hint = 'write address:port, IPv6 in brackets as in [2001:db8::1]:80';
      return { ok: false, error: new AppError({ code: 'cli/usage', message: `"${text}" is no address with a port`, hint }) };
    }
    const ip = parseIp(m[1] ?? m[2] ?? '');
    const port = parsePort(m[3] ?? '');
    return !ip.ok ? ip : !port.ok ? port : ok({ ip: ip.value, port: port.value });
  };
  const client = socket(q.client);
  const vip = socket(q.vip);
  const protocol = parsePortProtocol(q.protocol.toUpperCase());
  if (!client.ok) return client;
  if (!vip.ok) return vip;
  if (!protocol.ok) return protocol;
  const { ip, port } = client.value;
  return ok({ client: ip, clientPort: port, address: vip.value.ip, port: vip.value.port, protocol: protocol.value });
}

export interface ControlServer {
  stop(): void;
}

/** Errors: `balancer/socket`. */
export async function serveControl(path: string, control: Control, log: Log): Promise<ControlServer> {
  const answer = (url: URL): object => {
    if (url.pathname === '/status') return control.status();
    if (url.pathname !== '/explain') throw new AppError({ code: 'cli/not-found', message: `there is no ${url.pathname}` });
    const of = (name: string): string => url.searchParams.get(name) ?? '';
    const tuple = parseTuple({ client: of('client'), vip: of('vip'), protocol: of('protocol') });
    if (!tuple.ok) throw tuple.error;
    return control.explain(tuple.value);
  };
  const server = createServer({ requestTimeout: 10_000 }, (q, r) => {
    const send = (code: number, body: object): void => {
      const text = JSON.stringify(body, (_, v: unknown) => (typeof v === 'bigint' ? v.toString() : v));
      r.writeHead(code, { 'content-type': 'application/json' }).end(text);
    };
    try {
      send(200, answer(new URL(q.url ?? '/', 'http://balancer')));
    } catch (e) {
      log.debug('control request refused', { error: e });
      send(400, { error: describeError(e) });
    }
  });
  server.maxConnections = 32;
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new AppError({ code: 'balancer/socket', message: `cannot listen on ${path}: ${cause.message}`, hint: 'see --socket', cause })),
    );
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return {
    stop() {
      server.close();
      server.closeAllConnections();
      rmSync(path, { force: true });
    },
  };
}

/** Errors: `balancer/not-running`, and what the balancer itself says. */
export function askControl<T>(path: string, question: string): Promise<T> {
  const unreachable = (cause: unknown): AppError =>
    new AppError({
      code: 'balancer/not-running',
      message: `no balancer answers on ${path}`,
      hint: 'start it with `axoneme lb run`, or see --socket',
      cause,
    });
  return new Promise((resolve, reject) => {
    const q = request({ socketPath: path, path: question, agent: false, timeout: 10_000 }, (r) => {
      let text = '';
      r.setEncoding('utf8').on('data', (t: string) => {
        text += t;
      });
      r.on('end', () => {
        const body = JSON.parse(text) as T & { error?: string };
        if (r.statusCode === 200) resolve(body);
        else reject(new AppError({ code: 'cli/usage', message: body.error ?? 'the balancer gave no answer' }));
      });
    });
    q.on('error', (e) => reject(unreachable(e)));
    q.on('timeout', () => q.destroy());
    q.end();
  });
}

export const askStatus = (path: string): Promise<LbStatus> => askControl<LbStatus>(path, '/status');
export const askExplain = (
  path: string,
  q: { readonly client: string; readonly vip: string; readonly protocol: string },
): Promise<Explanation> => askControl<Explanation>(path, `/explain?${new URLSearchParams(q).toString()}`);
