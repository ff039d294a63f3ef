// HTTP for probes and scrapes: /healthz, /readyz, /metrics. Plain HTTP: it says nothing secret.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AppError, type Health, type Living, type Log } from '@axoneme/std';
import type { HealthRegistry, Probe } from './health.ts';
import type { Metrics } from './metrics.ts';

export interface TelemetryServerConfig {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
}

export interface TelemetryServer extends Living {
  /** Port in use once started. */
  port(): number;
}

export interface TelemetryDeps {
  readonly health: HealthRegistry;
  readonly metrics: Metrics;
  readonly log: Log;
}

export function createTelemetryServer(deps: TelemetryDeps, config: TelemetryServerConfig): TelemetryServer {
  let bound: number | undefined;
  let health: Health = { state: 'stopped', reason: 'not started' };
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    answer(deps, request, response).catch((cause: unknown) => {
      deps.log.warn('telemetry request failed', { error: cause });
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  server.maxConnections = 64;
  return {
    name: 'telemetry',
    health: () => health,
    port: () => bound ?? config.port,
    start(signal) {
      return new Promise((resolve, reject) => {
        server.once('error', (cause) => {
          health = { state: 'stopped', reason: cause.message };
          reject(
            new AppError({
              code: 'telemetry/listen',
              message: `cannot listen on ${config.host}:${config.port}: ${cause.message}`,
              hint: 'choose another health port',
              cause,
            }),
          );
        });
        server.listen(config.port, config.host, () => {
          bound = (server.address() as AddressInfo).port;
          health = { state: 'ok' };
          server.on('error', (cause) => deps.log.warn('telemetry server error', { error: cause }));
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

async function answer(deps: TelemetryDeps, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const probe = (p: Probe): void => {
    response.writeHead(p.pass ? 200 : 503, { 'content-type': 'text/plain; charset=utf-8' }).end(p.text);
  };
  const path = (request.url ?? '/').split('?')[0];
  if (request.method !== 'GET' && request.method !== 'HEAD') response.writeHead(405).end();
  else if (path === '/healthz') probe(deps.health.liveness());
  else if (path === '/readyz') probe(deps.health.readiness());
  else if (path === '/metrics') {
    const text = await deps.metrics.text();
    response.writeHead(200, { 'content-type': deps.metrics.contentType }).end(text);
  } else response.writeHead(404, { 'content-type': 'text/plain' }).end('try /healthz, /readyz or /metrics\n');
}
