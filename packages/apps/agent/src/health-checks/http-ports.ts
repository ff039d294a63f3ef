// Small HTTP servers on ports that come, change and go with what the operator says. A port that somebody else has is a problem that is told and
// tried again; it is never the end of the agent. Used by checks.ts.
import { createServer, type Server } from 'node:http';
import { type Clock, createBackoff, type Log, type Timer } from '@axoneme/std';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface HttpAt {
  /** Empty: every address of both families. */
  readonly host: string;
  readonly port: number;
}

export interface HttpPorts {
  /** What listens under `id` from now on; undefined: nothing any more. */
  set(id: string, at: HttpAt | undefined, answer: (path: string) => HttpAnswer): void;
  /** What does not listen though it should, in words, by id. */
  problems(): ReadonlyMap<string, string>;
  /** Port by id, of what listens. */
  listening(): ReadonlyMap<string, number>;
  stop(): void;
}

interface Entry {
  readonly at: HttpAt;
  answer: (path: string) => HttpAnswer;
  server: Server | undefined;
  up: boolean;
  problem: string | undefined;
  retry: Timer | undefined;
}

const connectionsMax = 64;
const timeouts = { requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 5_000 };
const noFamily: readonly string[] = ['EAFNOSUPPORT', 'EADDRNOTAVAIL'];

export function createHttpPorts(clock: Clock, log: Log): HttpPorts {
  const entries = new Map<string, Entry>();

  const close = (e: Entry): void => {
    e.retry?.cancel();
    e.server?.close();
    e.server?.closeAllConnections();
    e.server = undefined;
    e.up = false;
  };
  const serve = (e: Entry, host: string, failed: (error: NodeJS.ErrnoException) => void): void => {
    const server = createServer(timeouts, (request, response) => {
      const a = e.answer((request.url ?? '/').split('?')[0] ?? '/');
      response
        .writeHead(a.status, { ...a.headers, 'content-length': Buffer.byteLength(a.body) })
        .end(request.method === 'HEAD' ? '' : a.body);
    });
    e.server = server;
    server.maxConnections = connectionsMax;
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (e.server !== server) return;
      close(e);
      failed(error);
    });
    server.listen({ port: e.at.port, host }, () => {
      if (e.server !== server) return;
      e.up = true;
      e.problem = undefined;
    });
  };
  const open = (id: string, e: Entry): void => {
    const backoff = createBackoff({ baseMs: 250, maxMs: 30_000 });
    const attempt = (host: string): void =>
      serve(e, host, (error) => {
        if (host === '::' && e.at.host === '' && noFamily.includes(error.code ?? '')) return attempt('0.0.0.0');
        const problem = `port ${e.at.port} cannot be had on this node: ${error.code ?? error.message}`;
        if (e.problem !== problem) log.warn('a port for health checks cannot be had', { id, ...e.at, reason: error.code ?? error.message });
        e.problem = problem;
        e.retry = clock.after(backoff.nextMs(), () => attempt(e.at.host === '' ? '::' : e.at.host));
      });
    attempt(e.at.host === '' ? '::' : e.at.host);
  };

  return {
    set(id, at, answer) {
      const old = entries.get(id);
      if (old !== undefined && old.at.host === at?.host && old.at.port === at.port) {
        old.answer = answer;
        return;
      }
      if (old !== undefined) {
        close(old);
        entries.delete(id);
      }
      if (at === undefined) return;
      const entry: Entry = { at, answer, server: undefined, up: false, problem: undefined, retry: undefined };
      entries.set(id, entry);
      open(id, entry);
    },
    problems: () => new Map([...entries].flatMap(([id, e]) => (e.problem === undefined ? [] : [[id, e.problem] as const]))),
    listening: () => new Map([...entries].flatMap(([id, e]) => (e.up ? [[id, e.at.port] as const] : []))),
    stop() {
      for (const e of entries.values()) close(e);
      entries.clear();
    },
  };
}
