// Finds the operator and opens its admin service: through the API server (pod, Secret, port-forward), or directly with `--server`.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '@axoneme/std';
import { type AdminClient, type ClientTls, createAdminClient } from '@axoneme/stream';
import {
  connectKube,
  isKubeError,
  type KubeClient,
  type KubeObject,
  type LooseObject,
  listenForward,
  type ObjectRef,
  type Resource,
  resources,
} from 'kopf-ts';

export interface ConnectOptions {
  readonly namespace: string;
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  /** `host:port` of an admin service; no API server is asked then. */
  readonly server?: string | undefined;
  /** Directory with tls.crt, tls.key, ca.crt; with `server` only. */
  readonly tlsDir?: string | undefined;
}

/** One operator replica; opened when used. */
export interface Replica {
  readonly name: string;
  open(): Promise<AdminLink>;
}

export interface AdminLink {
  readonly client: AdminClient;
  close(): Promise<void>;
}

export interface Operators {
  /** Leader first. */
  readonly replicas: readonly Replica[];
  close(): void;
}

export const secretName = 'axoneme-cli';
const leaseName = 'axoneme-operator';
const operatorSelector = 'app.kubernetes.io/name=axoneme,app.kubernetes.io/component=operator';
const defaultAdminPort = 9445;

interface Pod extends KubeObject {
  readonly spec?: {
    readonly containers?: readonly { readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[] }[];
  };
  readonly status?: { readonly phase?: string };
}

function readTlsDir(dir: string): ClientTls {
  const read = (name: string): string => {
    const path = join(dir, name);
    if (!existsSync(path))
      throw new AppError({ code: 'cli/usage', message: `${path} does not exist`, hint: '--tls-dir needs tls.crt, tls.key and ca.crt' });
    return readFileSync(path, 'utf8');
  };
  return { certPem: read('tls.crt'), keyPem: read('tls.key'), caPem: read('ca.crt') };
}

function connectDirectly(server: string, tlsDir: string | undefined): Operators {
  if (tlsDir === undefined) throw new AppError({ code: 'cli/usage', message: '--server needs --tls-dir' });
  const tls = readTlsDir(tlsDir);
  const open = async (): Promise<AdminLink> => {
    const client = createAdminClient({ endpoint: server, tls });
    return { client, close: async () => client.close() };
  };
  return { replicas: [{ name: server, open }], close: () => undefined };
}

/** Adds what was being tried to a refusal of the API server. */
async function explained<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (e) {
    if (!isKubeError(e, 'kube/forbidden')) throw e;
    const hint = `axoneme needs to list pods, get Secret ${secretName} and create pods/portforward in the operator's namespace`;
    throw new AppError({ code: e.code, message: `not allowed to ${what}: ${e.message}`, hint, cause: e });
  }
}

async function findPods(kube: KubeClient, namespace: string): Promise<readonly Pod[]> {
  const all = await explained(`list pods in ${namespace}`, kube.list<Pod>(resources.pods, { namespace, labelSelector: operatorSelector }));
  const running = all.items.filter((p) => p.status?.phase === 'Running' && p.metadata.deletionTimestamp === undefined);
  if (running.length === 0) {
    const message =
      all.items.length === 0
        ? `no axoneme operator in namespace ${namespace}`
        : `no operator pod in namespace ${namespace} is running (${all.items.map((p) => `${p.metadata.name}: ${p.status?.phase ?? 'Unknown'}`).join(', ')})`;
    throw new AppError({ code: 'cli/no-operator', message, hint: 'is Axoneme installed there? Another namespace goes with -n' });
  }
  return running;
}

async function readSecret(kube: KubeClient, namespace: string): Promise<ClientTls> {
  const secret = await explained(
    `read Secret ${namespace}/${secretName}`,
    kube.find<LooseObject>(resources.secrets, { namespace, name: secretName }),
  );
  const data = secret?.data as Readonly<Record<string, string>> | undefined;
  const field = (key: string): string => Buffer.from(data?.[key] ?? '', 'base64').toString('utf8');
  const tls = { certPem: field('tls.crt'), keyPem: field('tls.key'), caPem: field('ca.crt') };
  if (tls.certPem === '' || tls.keyPem === '' || tls.caPem === '') {
    throw new AppError({
      code: 'cli/no-certificate',
      message: `Secret ${namespace}/${secretName} ${secret === undefined ? 'does not exist' : 'is incomplete'}`,
      hint: 'the leading operator writes it; look at its log',
    });
  }
  return tls;
}

/** Name of the leading pod, if that can be told. */
async function leaderOf(kube: KubeClient, namespace: string, pods: readonly Pod[]): Promise<string | undefined> {
  if (pods.length < 2) return undefined;
  const lease = await kube.find<LooseObject>(resources.leases, { namespace, name: leaseName }).catch(() => undefined);
  const holder = (lease?.spec as { readonly holderIdentity?: string } | undefined)?.holderIdentity ?? '';
  return pods.find((p) => holder === p.metadata.name || holder.startsWith(`${p.metadata.name}_`))?.metadata.name;
}

const adminPortOf = (pod: Pod): number =>
  (pod.spec?.containers ?? []).flatMap((c) => c.ports ?? []).find((p) => p.name === 'admin')?.containerPort ?? defaultAdminPort;

function replicaOf(kube: KubeClient, namespace: string, pod: Pod, tls: ClientTls): Replica {
  const open = async (): Promise<AdminLink> => {
    let failure: unknown;
    const forward = await listenForward(async () => {
      try {
        return await kube.portForward(namespace, pod.metadata.name, adminPortOf(pod));
      } catch (e) {
        failure = e;
        throw e;
      }
    });
    const client = createAdminClient({ endpoint: `127.0.0.1:${forward.port}`, tls });
    // The reason of a failed forward says more than the broken connection it leaves behind.
    const better = <T>(p: Promise<T>): Promise<T> => p.catch((e: unknown) => Promise.reject((failure ?? e) as Error));
    return {
      client: {
        ...client,
        getStatus: () => better(client.getStatus()),
        listIdentities: () => better(client.listIdentities()),
        listEndpoints: () => better(client.listEndpoints()),
        listPolicies: (q) => better(client.listPolicies(q)),
      },
      close: async () => {
        client.close();
        await forward.close();
      },
    };
  };
  return { name: pod.metadata.name, open };
}

/** The API server itself, with the rights of the user. */
export const connectTo = (o: ConnectOptions): KubeClient => {
  const context = o.context === undefined ? {} : { context: o.context };
  return connectKube(o.kubeconfig === undefined ? { kind: 'default', ...context } : { kind: 'file', path: o.kubeconfig, ...context });
};

/** One object, straight from the API server. */
export async function findObject(o: ConnectOptions, resource: Resource, ref: ObjectRef): Promise<KubeObject | undefined> {
  const kube = connectTo(o);
  try {
    return await kube.find(resource, ref);
  } finally {
    kube.close();
  }
}

export async function connectOperators(o: ConnectOptions): Promise<Operators> {
  if (o.server !== undefined) return connectDirectly(o.server, o.tlsDir);
  const kube = connectTo(o);
  try {
    const pods = await findPods(kube, o.namespace);
    const tls = await readSecret(kube, o.namespace);
    const leader = await leaderOf(kube, o.namespace, pods);
    const ordered = [...pods].sort((a, b) => Number(b.metadata.name === leader) - Number(a.metadata.name === leader));
    return { replicas: ordered.map((p) => replicaOf(kube, o.namespace, p, tls)), close: () => kube.close() };
  } catch (e) {
    kube.close();
    throw e;
  }
}

/** Runs `use` at the first replica that can answer: one that is away, or has no link to the node, passes the question on. */
export async function withOperator<T>(o: ConnectOptions, use: (client: AdminClient, replica: string) => Promise<T>): Promise<T> {
  const operators = await connectOperators(o);
  try {
    let last: unknown;
    for (const replica of operators.replicas) {
      const link = await replica.open();
      try {
        return await use(link.client, replica.name);
      } catch (e) {
        last = e;
        if (!(e instanceof AppError) || (e.code !== 'stream/unavailable' && e.code !== 'kube/port-forward')) throw e;
      } finally {
        await link.close();
      }
    }
    throw last;
  } finally {
    operators.close();
  }
}
