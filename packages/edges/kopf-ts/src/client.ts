// The client facade: plain JSON objects by resource address. Called by the operator, the CLI and the rest of this package.
import type { Duplex } from 'node:stream';
import { type Clock, systemClock } from '@axoneme/std';
import { type LoadedKubeConfig, loadKubeConfig } from './config.ts';
import { isKubeError, kubeError } from './errors.ts';
import { openPortForward } from './port-forward.ts';
import { apiVersionOf, type KubeObject, type ObjectRef, pathOf, type Resource } from './resource.ts';
import { createTransport, type Transport } from './transport.ts';
import { readWatch, type WatchEvent } from './watch.ts';

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Selection {
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface ListOptions extends Selection {
  readonly limit?: number;
  readonly continueToken?: string;
  readonly resourceVersion?: string;
  readonly signal?: AbortSignal;
}

export interface ListPage<T extends KubeObject> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  readonly continueToken?: string;
  /** Size of the answer, for callers that adapt their page size. */
  readonly bytes: number;
}

export interface WatchOptions extends Selection {
  readonly resourceVersion: string;
  /** Server-side end of the watch. */
  readonly timeoutSeconds?: number;
  readonly idleMs?: number;
  readonly signal?: AbortSignal;
  /** Called once the server has accepted the watch. */
  readonly onOpen?: () => void;
}

export interface WriteOptions {
  readonly fieldManager?: string;
  readonly dryRun?: boolean;
  readonly subresource?: string;
}

/** `merge`: JSON merge patch; `json`: RFC 6902; `apply`: server-side apply (`force` takes over foreign fields). */
export type Patch =
  | { readonly type: 'merge'; readonly body: unknown }
  | { readonly type: 'json'; readonly body: readonly unknown[] }
  | { readonly type: 'apply'; readonly body: unknown; readonly fieldManager: string; readonly force?: boolean };

export interface DeleteOptions {
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export interface RawRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Query;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** All methods throw AppError with a `kube/…` code (see errors.ts). */
export interface KubeClient {
  readonly server: string;
  readonly namespace: string;
  get<T extends KubeObject = KubeObject>(r: Resource, ref: ObjectRef): Promise<T>;
  /** Like `get`, but undefined when the object does not exist. */
  find<T extends KubeObject = KubeObject>(r: Resource, ref: ObjectRef): Promise<T | undefined>;
  /** One page. */
  list<T extends KubeObject = KubeObject>(r: Resource, o?: ListOptions): Promise<ListPage<T>>;
  /** All pages, one after the other. */
  pages<T extends KubeObject = KubeObject>(r: Resource, o?: ListOptions): AsyncGenerator<ListPage<T>, void, undefined>;
  /** `apiVersion` and `kind` are filled in when absent. */
  create<T extends KubeObject>(r: Resource, object: T, o?: WriteOptions): Promise<T & KubeObject>;
  replace<T extends KubeObject>(r: Resource, object: T, o?: WriteOptions): Promise<T & KubeObject>;
  replaceStatus<T extends KubeObject>(r: Resource, object: T, o?: WriteOptions): Promise<T & KubeObject>;
  patch<T extends KubeObject = KubeObject>(r: Resource, ref: ObjectRef, p: Patch, o?: WriteOptions): Promise<T>;
  /** Merge patch of `{status}` through the status subresource. */
  patchStatus<T extends KubeObject = KubeObject>(r: Resource, ref: ObjectRef, status: unknown, o?: WriteOptions): Promise<T>;
  delete(r: Resource, ref: ObjectRef, o?: DeleteOptions): Promise<void>;
  watch<T extends KubeObject = KubeObject>(r: Resource, o: WatchOptions, onEvent: (e: WatchEvent<T>) => void): Promise<void>;
  raw(q: RawRequest): Promise<unknown>;
  /** One TCP connection to a port of a pod. */
  portForward(namespace: string, pod: string, port: number): Promise<Duplex>;
  close(): void;
}

export interface KubeClientOptions {
  readonly userAgent?: string;
  readonly clock?: Clock;
  readonly requestTimeoutMs?: number;
}

const queryOf = (q: Query): string => {
  const p = new URLSearchParams();
  for (const [k, v] of Object.entries(q)) if (v !== undefined) p.set(k, String(v));
  const s = p.toString();
  return s === '' ? '' : `?${s}`;
};

const patchTypes = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

const writeQuery = (o: WriteOptions = {}): Query => ({ fieldManager: o.fieldManager, dryRun: o.dryRun === true ? 'All' : undefined });

function parseBody(text: string, request: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw kubeError('kube/garbage', 'the answer is not JSON', 'later', { request, start: text.slice(0, 80) });
  }
}

interface RawList {
  readonly items?: readonly KubeObject[] | null;
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

function createReads(transport: Transport, raw: (q: RawRequest) => Promise<unknown>, clock: Clock, timeoutMs: number) {
  const selection = (s: Selection): Query => ({ labelSelector: s.labelSelector, fieldSelector: s.fieldSelector });
  const list = async <T extends KubeObject>(r: Resource, o: ListOptions = {}): Promise<ListPage<T>> => {
    const query = { ...selection(o), limit: o.limit, continue: o.continueToken, resourceVersion: o.resourceVersion };
    const path = pathOf(r, o) + queryOf(query);
    const text = await transport.call({ method: 'GET', path, timeoutMs, ...(o.signal === undefined ? {} : { signal: o.signal }) });
    const body = parseBody(text, `GET ${path}`) as RawList;
    if (typeof body?.metadata?.resourceVersion !== 'string')
      throw kubeError('kube/garbage', 'the answer is not a list', 'later', { request: path });
    const token = body.metadata.continue;
    return {
      items: (body.items ?? []) as readonly T[],
      resourceVersion: body.metadata.resourceVersion,
      bytes: text.length,
      ...(token === undefined || token === '' ? {} : { continueToken: token }),
    };
  };
  return {
    list,
    get: async <T extends KubeObject>(r: Resource, ref: ObjectRef): Promise<T> => (await raw({ method: 'GET', path: pathOf(r, ref) })) as T,
    async *pages<T extends KubeObject>(r: Resource, o: ListOptions = {}): AsyncGenerator<ListPage<T>, void, undefined> {
      let token = o.continueToken;
      do {
        const page: ListPage<T> = await list<T>(r, { limit: 500, ...o, ...(token === undefined ? {} : { continueToken: token }) });
        yield page;
        token = page.continueToken;
      } while (token !== undefined);
    },
    async watch<T extends KubeObject>(r: Resource, o: WatchOptions, onEvent: (e: WatchEvent<T>) => void): Promise<void> {
      const query = {
        ...selection(o),
        watch: true,
        allowWatchBookmarks: true,
        resourceVersion: o.resourceVersion,
        timeoutSeconds: o.timeoutSeconds,
      };
      const path = pathOf(r, o) + queryOf(query);
      const signal = o.signal === undefined ? {} : { signal: o.signal };
      const res = await transport.stream({ method: 'GET', path, timeoutMs, ...signal });
      o.onOpen?.();
      await readWatch(res, { request: `GET ${path}`, idleMs: o.idleMs ?? 300_000, clock, ...signal }, onEvent as (e: WatchEvent) => void);
    },
  };
}

function createWrites(raw: (q: RawRequest) => Promise<unknown>) {
  const typed = (r: Resource, o: object): object => ({
    apiVersion: apiVersionOf(r),
    ...(r.kind === undefined ? {} : { kind: r.kind }),
    ...o,
  });
  const put = async <T extends KubeObject>(r: Resource, object: T, sub: string | undefined, o?: WriteOptions): Promise<T> =>
    (await raw({ method: 'PUT', path: pathOf(r, object.metadata, sub), query: writeQuery(o), body: typed(r, object) })) as T;
  const patch = async <T extends KubeObject>(r: Resource, ref: ObjectRef, p: Patch, o: WriteOptions = {}): Promise<T> => {
    const apply = p.type === 'apply' ? { fieldManager: p.fieldManager, force: p.force } : {};
    const body = p.type === 'apply' ? typed(r, p.body as object) : p.body;
    const query = { ...writeQuery(o), ...apply };
    return (await raw({ method: 'PATCH', path: pathOf(r, ref, o.subresource), query, body, contentType: patchTypes[p.type] })) as T;
  };
  return {
    patch,
    create: async <T extends KubeObject>(r: Resource, object: T, o?: WriteOptions): Promise<T> => {
      const { name, namespace } = object.metadata;
      const at = { ...(namespace === undefined ? {} : { namespace }), ...(o?.subresource === undefined ? {} : { name }) };
      return (await raw({ method: 'POST', path: pathOf(r, at, o?.subresource), query: writeQuery(o), body: typed(r, object) })) as T;
    },
    replace: <T extends KubeObject>(r: Resource, object: T, o?: WriteOptions): Promise<T> => put(r, object, o?.subresource, o),
    replaceStatus: <T extends KubeObject>(r: Resource, object: T, o?: WriteOptions): Promise<T> => put(r, object, 'status', o),
    patchStatus: <T extends KubeObject>(r: Resource, ref: ObjectRef, status: unknown, o?: WriteOptions): Promise<T> =>
      patch<T>(r, ref, { type: 'merge', body: { status } }, { ...o, subresource: 'status' }),
    delete: async (r: Resource, ref: ObjectRef, o: DeleteOptions = {}): Promise<void> => {
      const preconditions = {
        ...(o.uid === undefined ? {} : { uid: o.uid }),
        ...(o.resourceVersion === undefined ? {} : { resourceVersion: o.resourceVersion }),
      };
      const body = {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        ...(o.propagationPolicy === undefined ? {} : { propagationPolicy: o.propagationPolicy }),
        ...(Object.keys(preconditions).length === 0 ? {} : { preconditions }),
      };
      await raw({ method: 'DELETE', path: pathOf(r, ref), body });
    },
  };
}

/** `createKubeClient(loadKubeConfig({kind: 'in-cluster'}))`. */
export function createKubeClient(config: LoadedKubeConfig, o: KubeClientOptions = {}): KubeClient {
  const transport = createTransport(config, o.userAgent ?? 'axoneme');
  const timeoutMs = o.requestTimeoutMs ?? 30_000;
  const raw = async (q: RawRequest): Promise<unknown> => {
    const path = q.path + queryOf(q.query ?? {});
    const text = await transport.call({
      method: q.method,
      path,
      timeoutMs: q.timeoutMs ?? timeoutMs,
      ...(q.body === undefined ? {} : { body: JSON.stringify(q.body) }),
      ...(q.contentType === undefined ? {} : { contentType: q.contentType }),
      ...(q.signal === undefined ? {} : { signal: q.signal }),
    });
    return parseBody(text, `${q.method} ${path}`);
  };
  const reads = createReads(transport, raw, o.clock ?? systemClock, timeoutMs);
  return {
    server: config.server,
    namespace: config.namespace,
    ...reads,
    ...createWrites(raw),
    find: async <T extends KubeObject>(r: Resource, ref: ObjectRef): Promise<T | undefined> => {
      try {
        return await reads.get<T>(r, ref);
      } catch (e) {
        if (isKubeError(e, 'kube/not-found')) return undefined;
        throw e;
      }
    },
    raw,
    portForward: (namespace, pod, port) => openPortForward(config, { namespace, pod, port }),
    close: () => transport.close(),
  };
}

/** Loads the configuration and connects. */
export const connectKube = (source: Parameters<typeof loadKubeConfig>[0], o?: KubeClientOptions): KubeClient =>
  createKubeClient(loadKubeConfig(source), o);
