// `up --kubeconfig`: an API server that somebody else runs. Nodes cannot reach an address of the machine's loopback and its certificate
// does not name ours, so pods talk to a relay on the fabric that has a certificate of the sandbox and passes bytes on.
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { createCa, issueServer } from '@axoneme/pki';
import { AppError, type Clock, type Log } from '@axoneme/std';
import { parse } from 'yaml';
import { createHttpClient, type HttpTarget } from './http-client.ts';
import type { KubeClient } from './kube-client.ts';

export interface ExternalCluster {
  readonly client: KubeClient;
  readonly url: string;
  /** The text of the user's kubeconfig with file references made absolute. */
  readonly kubeconfig: string;
  readonly podHost: string;
  readonly podPort: number;
  readonly podCaPem: string;
  readonly close: () => void;
}

interface Named<K extends string, T> {
  readonly name: string;
  readonly spec?: T;
  readonly key?: K;
}
interface ClusterEntry extends Named<'cluster', never> {
  readonly cluster: {
    readonly server: string;
    readonly 'certificate-authority'?: string;
    readonly 'certificate-authority-data'?: string;
    readonly 'insecure-skip-tls-verify'?: boolean;
  };
}
interface UserEntry extends Named<'user', never> {
  readonly user: {
    readonly token?: string;
    readonly tokenFile?: string;
    readonly 'client-certificate'?: string;
    readonly 'client-certificate-data'?: string;
    readonly 'client-key'?: string;
    readonly 'client-key-data'?: string;
    readonly exec?: unknown;
    readonly 'auth-provider'?: unknown;
  };
}
interface ContextEntry extends Named<'context', never> {
  readonly context: { readonly cluster: string; readonly user: string };
}
interface Kubeconfig {
  readonly 'current-context'?: string;
  readonly clusters?: readonly ClusterEntry[];
  readonly users?: readonly UserEntry[];
  readonly contexts?: readonly ContextEntry[];
}

const wrong = (why: string): AppError =>
  new AppError({ code: 'sandbox/kubeconfig', message: why, hint: 'check the file given with --kubeconfig' });

/** The current context as something to connect to. */
export function readKubeconfig(path: string): HttpTarget {
  const config = parse(readFileSync(path, 'utf8')) as Kubeconfig;
  const context = config.contexts?.find((c) => c.name === config['current-context'])?.context;
  const cluster = config.clusters?.find((c) => c.name === context?.cluster)?.cluster;
  const user = config.users?.find((u) => u.name === context?.user)?.user;
  if (cluster === undefined) throw wrong(`kubeconfig ${path} has no current context with a cluster`);
  if (user?.exec !== undefined || user?.['auth-provider'] !== undefined)
    throw wrong(`kubeconfig ${path} gets its credentials from a plugin; the sandbox needs a token or a certificate`);
  const pem = (data: string | undefined, file: string | undefined): string | undefined => {
    if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
    return file === undefined ? undefined : readFileSync(resolve(dirname(path), file), 'utf8');
  };
  const cert = pem(user?.['client-certificate-data'], user?.['client-certificate']);
  const key = pem(user?.['client-key-data'], user?.['client-key']);
  const token = user?.token ?? (user?.tokenFile === undefined ? undefined : readFileSync(user.tokenFile, 'utf8').trim());
  return {
    url: cluster.server,
    ca: pem(cluster['certificate-authority-data'], cluster['certificate-authority']),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(token === undefined ? {} : { token }),
    ...(cluster['insecure-skip-tls-verify'] === true ? { insecure: true } : {}),
  };
}

interface Relay {
  readonly port: number;
  readonly caPem: string;
  readonly close: () => void;
}

/** TLS in, TLS out, bytes between; the client's own token travels inside, our credentials are not lent. */
async function startRelay(host: string, target: HttpTarget): Promise<Relay> {
  const ca = await createCa({ name: 'axoneme-sandbox', days: 30 });
  const own = await issueServer(ca, {
    commonName: 'kubernetes',
    dnsNames: ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'],
    ips: [host],
  });
  const upstream = new URL(target.url);
  const sockets = new Set<TLSSocket>();
  const server = createServer({ cert: own.certPem, key: own.keyPem, ALPNProtocols: ['http/1.1'] }, (inner) => {
    const outer = connect({
      host: upstream.hostname.replace(/^\[|\]$/g, ''),
      port: Number(upstream.port || 443),
      ...(target.ca === undefined ? {} : { ca: target.ca }),
      rejectUnauthorized: target.insecure !== true,
      ALPNProtocols: ['http/1.1'],
    });
    for (const s of [inner, outer]) {
      sockets.add(s);
      s.on('error', () => s.destroy());
      s.on('close', () => sockets.delete(s));
    }
    inner.on('close', () => outer.destroy());
    outer.on('close', () => inner.destroy());
    inner.pipe(outer).pipe(inner);
  });
  await new Promise<void>((done, failed) => {
    server.once('error', failed);
    server.listen(0, host, done);
  });
  const address = server.address();
  const close = (): void => {
    server.close();
    for (const s of sockets) s.destroy();
  };
  return { port: typeof address === 'object' && address !== null ? address.port : 0, caPem: ca.certPem, close };
}

function absolute(path: string): string {
  const config = parse(readFileSync(path, 'utf8')) as {
    clusters?: { cluster: Record<string, unknown> }[];
    users?: { user: Record<string, unknown> }[];
  };
  const files = [...(config.clusters ?? []).map((c) => c.cluster), ...(config.users ?? []).map((u) => u.user)];
  for (const entry of files) {
    for (const field of ['certificate-authority', 'client-certificate', 'client-key', 'tokenFile']) {
      const value = entry[field];
      if (typeof value === 'string') entry[field] = resolve(dirname(path), value);
    }
  }
  return `${JSON.stringify(config, null, 2)}\n`;
}

export async function connectExternal(
  kubeconfig: string,
  fabricHost: string,
  d: { readonly clock: Clock; readonly log: Log },
): Promise<ExternalCluster> {
  const target = readKubeconfig(kubeconfig);
  const relay = await startRelay(fabricHost, target);
  return {
    client: createHttpClient(target, d),
    url: target.url,
    kubeconfig: absolute(kubeconfig),
    podHost: fabricHost,
    podPort: relay.port,
    podCaPem: relay.caPem,
    close: relay.close,
  };
}
