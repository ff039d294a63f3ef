// Finds the API server and the credentials. The only place, with port-forward.ts, that touches @kubernetes/client-node.
import { existsSync, readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { AppError } from '@axoneme/std';
import { KubeConfig } from '@kubernetes/client-node';

/** `default` follows kubectl: $KUBECONFIG, ~/.kube/config, then in-cluster. */
export type KubeConfigSource =
  | { readonly kind: 'in-cluster' }
  | { readonly kind: 'file'; readonly path: string; readonly context?: string }
  | { readonly kind: 'text'; readonly text: string; readonly context?: string }
  | { readonly kind: 'default'; readonly context?: string };

/** Credentials for one request; read again every few seconds because tokens rotate. */
export interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  readonly ca?: RequestOptions['ca'];
  readonly cert?: RequestOptions['cert'];
  readonly key?: RequestOptions['key'];
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

/** Where the API server is and who we are. */
export interface LoadedKubeConfig {
  /** Base URL without trailing slash. */
  readonly server: string;
  /** Namespace of the context; `default` if none is named. */
  readonly namespace: string;
  credentials(): Promise<Credentials>;
  /** Opaque handle for port-forward. */
  readonly native: KubeConfig;
}

function loadNative(source: KubeConfigSource): KubeConfig {
  const kc = new KubeConfig();
  switch (source.kind) {
    case 'in-cluster':
      if (process.env.KUBERNETES_SERVICE_HOST === undefined) {
        throw new AppError({
          code: 'kube/config',
          message: 'not in a cluster: KUBERNETES_SERVICE_HOST is not set',
          hint: 'pass --kubeconfig',
        });
      }
      kc.loadFromCluster();
      break;
    case 'file':
      if (!existsSync(source.path)) throw new AppError({ code: 'kube/config', message: `no kubeconfig at ${source.path}` });
      kc.loadFromFile(source.path);
      break;
    case 'text':
      kc.loadFromString(source.text);
      break;
    case 'default':
      kc.loadFromDefault();
      break;
  }
  if (source.kind !== 'in-cluster' && source.context !== undefined) kc.setCurrentContext(source.context);
  return kc;
}

/** Throws `kube/config` when the source is missing, unreadable or names no cluster. */
export function loadKubeConfig(source: KubeConfigSource): LoadedKubeConfig {
  let kc: KubeConfig;
  try {
    kc = loadNative(source);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError({ code: 'kube/config', message: 'the kubeconfig cannot be read', hint: 'is it valid YAML of kind Config?', cause });
  }
  const cluster = kc.getCurrentCluster();
  if (cluster === null || typeof cluster.server !== 'string') {
    throw new AppError({ code: 'kube/config', message: 'the kubeconfig names no current cluster', hint: 'set current-context' });
  }
  const server = cluster.server.replace(/\/+$/, '');
  // client-node refuses http:// unless told that TLS is not wanted
  if (server.startsWith('http:')) kc.clusters = kc.clusters.map((c) => (c.name === cluster.name ? { ...c, skipTLSVerify: true } : c));
  return {
    server,
    namespace: kc.getContextObject(kc.getCurrentContext())?.namespace?.trim() || 'default',
    native: kc,
    credentials: async () => {
      const opts: RequestOptions & { servername?: string; auth?: string | null } = { headers: {} };
      await kc.applyToHTTPSOptions(opts);
      const headers: Record<string, string> = {};
      for (const [k, v] of Object.entries(opts.headers ?? {})) if (v !== undefined) headers[k] = String(v).trim();
      if (typeof opts.auth === 'string') headers.Authorization = `Basic ${Buffer.from(opts.auth).toString('base64')}`;
      return {
        headers,
        ...(opts.ca === undefined ? {} : { ca: opts.ca }),
        ...(opts.cert === undefined ? {} : { cert: opts.cert }),
        ...(opts.key === undefined ? {} : { key: opts.key }),
        ...(opts.servername === undefined ? {} : { servername: opts.servername }),
        ...(opts.rejectUnauthorized === undefined ? {} : { rejectUnauthorized: opts.rejectUnauthorized }),
      };
    },
  };
}

/** Namespace of the pod this process runs in, from its service account; undefined outside a cluster. */
export function podNamespace(): string | undefined {
  const path = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined;
}
