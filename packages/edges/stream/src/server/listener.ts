// One TCP port with TLS and the services on it. Certificates can be replaced while it runs. Called by the node server of this package.
import { AppError } from '@axoneme/std';
import { experimental, Server, type ServerCredentials, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';

export interface ServerTls {
  readonly certPem: string;
  readonly keyPem: string;
  /** CAs that client certificates must come from; several certificates may follow each other. */
  readonly caPem: string;
}

export interface TlsSource {
  readonly credentials: (requireClientCertificate: boolean) => ServerCredentials;
  /** New connections use the new certificate; existing ones go on. */
  update(tls: ServerTls): void;
}

type Provider = experimental.CertificateProvider;
type CaListener = Parameters<Provider['addCaCertificateListener']>[0];
type IdentityListener = Parameters<Provider['addIdentityCertificateListener']>[0];

export function createTlsSource(initial: ServerTls): TlsSource {
  let tls = initial;
  const caListeners = new Set<CaListener>();
  const identityListeners = new Set<IdentityListener>();
  const ca = (): { caCertificate: Buffer } => ({ caCertificate: Buffer.from(tls.caPem) });
  const identity = (): { certificate: Buffer; privateKey: Buffer } => ({
    certificate: Buffer.from(tls.certPem),
    privateKey: Buffer.from(tls.keyPem),
  });
  // grpc-js asks before it is ready to listen to the answer.
  const soon = (fn: () => void): void => queueMicrotask(fn);
  const provider: Provider = {
    addCaCertificateListener(l) {
      caListeners.add(l);
      soon(() => l(ca()));
    },
    removeCaCertificateListener: (l) => void caListeners.delete(l),
    addIdentityCertificateListener(l) {
      identityListeners.add(l);
      soon(() => l(identity()));
    },
    removeIdentityCertificateListener: (l) => void identityListeners.delete(l),
  };
  return {
    credentials: (requireClientCertificate) =>
      experimental.createCertificateProviderServerCredentials(
        provider,
        requireClientCertificate ? provider : null,
        requireClientCertificate,
      ),
    update(next) {
      tls = next;
      for (const l of caListeners) l(ca());
      for (const l of identityListeners) l(identity());
    },
  };
}

export interface ListenerConfig {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly requireClientCertificate: boolean;
}

export interface Service {
  readonly definition: ServiceDefinition;
  readonly handlers: UntypedServiceImplementation;
}

export interface Listener {
  readonly port: number;
  /** Ends every call and closes the port. */
  close(): void;
}

/** Messages a client may send; a Hello that lists everything a node holds is the biggest. */
const receiveBytesMax = 16 * 1024 * 1024;

export async function listen(services: readonly Service[], tls: TlsSource, config: ListenerConfig): Promise<Listener> {
  const server = new Server({
    'grpc.max_receive_message_length': receiveBytesMax,
    'grpc.max_send_message_length': -1,
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 10_000,
    // Not switched off although unused: without it grpc-js forgets its sessions, and a forced shutdown leaves them open.
    'grpc.enable_channelz': 1,
  });
  for (const s of services) server.addService(s.definition, s.handlers);
  const host = config.host.includes(':') ? `[${config.host}]` : config.host;
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:${config.port}`, tls.credentials(config.requireClientCertificate), (cause, bound) => {
      if (cause === null) return resolve(bound);
      const message = `cannot listen on ${host}:${config.port}: ${cause.message}`;
      reject(new AppError({ code: 'stream/listen', message, retry: 'later', cause }));
    });
  });
  return { port, close: () => server.forceShutdown() };
}
