// The API server as the suites of many cases need it: one connection kept open, milliseconds a request. kubectl's words are tested elsewhere.
import { Agent, request } from 'node:https';
import { AppError } from '@axoneme/std';
import type { Fixture } from '../fixture.ts';

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly generation?: number;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: unknown;
  readonly status?: unknown;
  readonly [field: string]: unknown;
}

export interface Answer {
  readonly code: number;
  /** Of a refusal: what the API server says. */
  readonly message: string;
  readonly object: KubeObject;
}

export interface Api {
  call(method: string, path: string, body?: unknown, contentType?: string): Promise<Answer>;
  /** Creates or changes; a refusal is an answer. */
  tryApply(o: KubeObject): Promise<Answer>;
  /** Creates or changes; a refusal is thrown. */
  apply(...objects: readonly KubeObject[]): Promise<void>;
  /** Merges into metadata.labels; null removes. */
  label(o: KubeObject, labels: Readonly<Record<string, string | null>>): Promise<void>;
  annotate(o: KubeObject, annotations: Readonly<Record<string, string | null>>): Promise<void>;
  get(o: KubeObject): Promise<KubeObject>;
  remove(...objects: readonly KubeObject[]): Promise<void>;
  close(): void;
}

/** Plurals that do not follow from the kind. */
const plurals: Readonly<Record<string, string>> = {
  CiliumNetworkPolicy: 'ciliumnetworkpolicies',
  CiliumClusterwideNetworkPolicy: 'ciliumclusterwidenetworkpolicies',
  NetworkPolicy: 'networkpolicies',
  AdminNetworkPolicy: 'adminnetworkpolicies',
  BaselineAdminNetworkPolicy: 'baselineadminnetworkpolicies',
  ClusterNetworkPolicy: 'clusternetworkpolicies',
};

export function pathOf(o: KubeObject): string {
  const root = o.apiVersion.includes('/') ? `/apis/${o.apiVersion}` : `/api/${o.apiVersion}`;
  const scope = o.metadata.namespace === undefined ? '' : `/namespaces/${o.metadata.namespace}`;
  return `${root}${scope}/${plurals[o.kind] ?? `${o.kind.toLowerCase()}s`}/${o.metadata.name}`;
}

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: { readonly server: string; readonly 'certificate-authority-data'?: string } }[];
  readonly users: readonly {
    readonly user: { readonly token?: string; readonly 'client-certificate-data'?: string; readonly 'client-key-data'?: string };
  }[];
}

const pem = (data: string | undefined): string | undefined => (data === undefined ? undefined : Buffer.from(data, 'base64').toString());

async function connection(f: Fixture): Promise<{ server: string; agent: Agent; headers: Record<string, string> }> {
  const config = JSON.parse(await f.kubectl('config', 'view', '--raw', '--minify', '--flatten', '-o', 'json')) as Kubeconfig;
  const { cluster } = config.clusters[0]!;
  const { user } = config.users[0]!;
  const ca = pem(cluster['certificate-authority-data']);
  const cert = pem(user['client-certificate-data']);
  const key = pem(user['client-key-data']);
  const agent = new Agent({
    keepAlive: true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  });
  return { server: cluster.server, agent, headers: user.token === undefined ? {} : { Authorization: `Bearer ${user.token}` } };
}

export async function connectApi(f: Fixture): Promise<Api> {
  const { server, agent, headers } = await connection(f);
  const call = (method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
      const extra = payload === undefined ? {} : { 'Content-Type': contentType, 'Content-Length': String(payload.length) };
      const req = request(
        new URL(server + path),
        { agent, method, headers: { Accept: 'application/json', ...headers, ...extra } },
        (res) => {
          const chunks: Buffer[] = [];
          res.on('data', (c: Buffer) => chunks.push(c));
          res.on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8');
            const object = JSON.parse(text === '' ? '{}' : text) as KubeObject & { readonly message?: string };
            resolve({ code: res.statusCode ?? 0, message: object.message ?? '', object });
          });
          res.on('error', reject);
        },
      );
      req.on('error', reject);
      req.end(payload);
    });
  const must = async (what: string, answer: Promise<Answer>, ...fine: readonly number[]): Promise<KubeObject> => {
    const a = await answer;
    if (a.code >= 400 && !fine.includes(a.code)) throw new AppError({ code: 'e2e/api', message: `${what}: ${a.code} ${a.message}` });
    return a.object;
  };
  const tryApply = (o: KubeObject): Promise<Answer> =>
    call('PATCH', `${pathOf(o)}?fieldManager=e2e&force=true&fieldValidation=Strict`, o, 'application/apply-patch+yaml');
  const merge = async (o: KubeObject, metadata: unknown): Promise<void> =>
    void (await must(`patch ${pathOf(o)}`, call('PATCH', pathOf(o), { metadata }, 'application/merge-patch+json')));
  return {
    call,
    tryApply,
    async apply(...objects) {
      for (const o of objects) await must(`apply ${pathOf(o)}`, tryApply(o));
    },
    label: (o, labels) => merge(o, { labels }),
    annotate: (o, annotations) => merge(o, { annotations }),
    get: (o) => must(`get ${pathOf(o)}`, call('GET', pathOf(o))),
    async remove(...objects) {
      await Promise.all(objects.map((o) => must(`delete ${pathOf(o)}`, call('DELETE', pathOf(o)), 404)));
    },
    close: () => agent.destroy(),
  };
}
