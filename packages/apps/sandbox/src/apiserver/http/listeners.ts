// The TLS sockets of the server: the loopback one and any more, upgrades, and their end. Used by ../server.ts.
import { createServer, type Server } from 'node:https';
import { type AddressInfo, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { AppError } from '@axoneme/std';
import { makeCertificate, type ServerCertificate } from '../tls.ts';
import type { ApiServerConfig } from '../types.ts';
import type { Router } from './router.ts';

export interface Listeners {
  port(): number;
  certificate(): ServerCertificate;
  start(signal: AbortSignal): Promise<void>;
  stopped(): Promise<void>;
  listen(address: string, port: number): Promise<void>;
  accept(socket: Duplex): void;
}

const notStarted = (): AppError => new AppError({ code: 'apiserver/not-started', message: 'the API server has not been started' });

export function createListeners(router: Router, config: ApiServerConfig, firstIps: readonly string[]): Listeners {
  const servers: Server[] = [];
  const upgraded = new Set<Duplex>();
  let cert: ServerCertificate | undefined;
  let port = 0;
  let closed: Promise<void> | undefined;
  const certificate = (): ServerCertificate => {
    if (cert === undefined) throw notStarted();
    return cert;
  };
  const make = (): Server => {
    const server = createServer({ cert: certificate().certPem, key: certificate().keyPem, keepAlive: true, noDelay: true }, router.request);
    // watches stay open for long without a byte from the client
    server.requestTimeout = 0;
    server.timeout = 0;
    server.keepAliveTimeout = 120_000;
    server.on('upgrade', (req, socket, head) => {
      upgraded.add(socket);
      socket.on('close', () => upgraded.delete(socket));
      router.upgrade(req, socket, head);
    });
    server.on('tlsClientError', (_e, socket) => socket.destroy());
    servers.push(server);
    return server;
  };
  const bind = async (address: string, at: number): Promise<number> => {
    const server = make();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(at, address, () => {
        server.removeListener('error', reject);
        resolve();
      });
    });
    return (server.address() as AddressInfo).port;
  };
  const stop = async (): Promise<void> => {
    for (const s of upgraded) s.destroy();
    await Promise.all(
      servers.map(
        (s) =>
          new Promise<void>((resolve) => {
            s.closeAllConnections();
            if (s.listening) s.close(() => resolve());
            else resolve();
          }),
      ),
    );
  };
  return {
    port: () => port,
    certificate,
    async start(signal) {
      const extra = [...(config.certificateSans ?? []), ...(config.addresses ?? [])];
      const names = [
        'localhost',
        'kubernetes',
        'kubernetes.default',
        'kubernetes.default.svc',
        'kubernetes.default.svc.cluster.local',
        ...extra.filter((s) => isIP(s) === 0),
      ];
      cert = await makeCertificate(names, ['127.0.0.1', '::1', ...firstIps, ...extra.filter((s) => isIP(s) !== 0)]);
      port = await bind('127.0.0.1', config.port ?? 0);
      for (const address of config.addresses ?? []) await bind(address, port);
      signal.addEventListener('abort', () => {
        closed = stop();
      });
    },
    stopped: async () => closed,
    async listen(address, at) {
      await bind(address, at);
    },
    accept(socket) {
      (servers[0] ?? make()).emit('connection', socket);
    },
  };
}
