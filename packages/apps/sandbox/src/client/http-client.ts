// KubeClient over HTTPS, for API servers that are not in this process: paged lists, watches that survive what servers do to them.

import type { ClientRequest, IncomingMessage } from 'node:http';
import { Agent, type RequestOptions, request } from 'node:https';
import { type Clock, createBackoff, describeError, type Log } from '@axoneme/std';
import { StatusError } from '../apiserver/status-error.ts';
import type { DeleteOptions, Gvr, KubeObject, ListOptions, PatchKind, ServedResource, WriteOptions } from '../apiserver/types.ts';
import type { KubeClient, WatchHandlers } from './kube-client.ts';
import { keyOf, nameOf, nsOf } from './object.ts';

export interface HttpTarget {
  readonly url: string;
  readonly ca: string | undefined;
  readonly cert?: string;
  readonly key?: string;
  /** A function is asked before every request: mounted tokens are renewed. */
  readonly token?: string | (() => string);
  readonly insecure?: boolean;
}

const PAGE = 500;
const WATCH_SECONDS = 290;
/** A watch that says nothing for this long, bookmarks included, is taken for dead. */
const SILENCE_MS = 330_000;
const PATCH_TYPES: Readonly<Record<PatchKind, string>> = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
};

type Query = Readonly<Record<string, string | undefined>>;

export function pathOf(gvr: Gvr, ns: string, name = '', subresource = ''): string {
  const root = gvr.group === '' ? `/api/${gvr.version}` : `/apis/${gvr.group}/${gvr.version}`;
  const scope = ns === '' || gvr.resource === 'namespaces' ? '' : `/namespaces/${ns}`;
  return [root + scope, gvr.resource, name, subresource].filter((s) => s !== '').join('/');
}

interface Http {
  json(method: string, path: string, query: Query, body?: unknown, contentType?: string): Promise<KubeObject>;
  open(path: string, query: Query, onResponse: (res: IncomingMessage) => void, onError: (e: Error) => void): ClientRequest;
}

async function readAll(res: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const c of res) chunks.push(c as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function statusError(code: number, text: string): StatusError {
  try {
    const s = JSON.parse(text) as { reason?: string; message?: string };
    return new StatusError(code, s.reason ?? '', s.message ?? text);
  } catch {
    return new StatusError(code, '', text || `HTTP ${code}`);
  }
}

function createHttp(t: HttpTarget): Http {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  // a watch keeps its connection for minutes and there is one per kind: they must not starve requests
  const watchAgent = new Agent({ keepAlive: true });
  const base: RequestOptions = {
    agent,
    ...(t.ca === undefined ? {} : { ca: t.ca }),
    ...(t.cert === undefined ? {} : { cert: t.cert }),
    ...(t.key === undefined ? {} : { key: t.key }),
    rejectUnauthorized: t.insecure !== true,
  };
  const headers = (extra: Record<string, string>): Record<string, string> => ({
    Accept: 'application/json',
    ...(t.token === undefined ? {} : { Authorization: `Bearer ${typeof t.token === 'string' ? t.token : t.token()}` }),
    ...extra,
  });
  const urlOf = (path: string, query: Query): URL => {
    const url = new URL(t.url.replace(/\/$/, '') + path);
    for (const [k, v] of Object.entries(query)) if (v !== undefined && v !== '') url.searchParams.set(k, v);
    return url;
  };
  return {
    json(method, path, query, body, contentType = 'application/json') {
      const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
      const extra = payload === undefined ? {} : { 'Content-Type': contentType, 'Content-Length': String(payload.length) };
      return new Promise((resolve, reject) => {
        const req = request(urlOf(path, query), { ...base, method, headers: headers(extra) }, (res) => {
          readAll(res).then((text) => {
            const code = res.statusCode ?? 0;
            if (code >= 400) reject(statusError(code, text));
            else resolve(JSON.parse(text) as KubeObject);
          }, reject);
        });
        req.on('error', reject);
        req.end(payload);
      });
    },
    open(path, query, onResponse, onError) {
      const req = request(urlOf(path, query), { ...base, agent: watchAgent, headers: headers({}) }, onResponse);
      req.setTimeout(SILENCE_MS, () => req.destroy());
      req.on('error', onError);
      req.end();
      return req;
    },
  };
}

interface ListPage {
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items: KubeObject[];
}

async function listAll(http: Http, gvr: Gvr, opts: ListOptions): Promise<{ readonly items: KubeObject[]; readonly version: string }> {
  const items: KubeObject[] = [];
  let next: string | undefined;
  let version = '';
  do {
    const query: Query = { limit: String(PAGE), continue: next, labelSelector: opts.labelSelector, fieldSelector: opts.fieldSelector };
    const page = (await http.json('GET', pathOf(gvr, opts.ns ?? ''), query)) as unknown as ListPage;
    items.push(...page.items);
    version = page.metadata.resourceVersion ?? '';
    next = page.metadata.continue;
  } while (next !== undefined && next !== '');
  return { items, version };
}

interface WatchLine {
  readonly type: string;
  readonly object: KubeObject;
}

/** One list and the watch behind it, over and over. Objects that vanished between two lists are reported as deleted. */
class HttpWatch {
  readonly #http: Http;
  readonly #gvr: Gvr;
  readonly #h: WatchHandlers;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #held = new Map<string, KubeObject>();
  readonly #stop = new AbortController();
  #version = '';
  #synced = false;

  constructor(http: Http, gvr: Gvr, h: WatchHandlers, clock: Clock, log: Log) {
    this.#http = http;
    this.#gvr = gvr;
    this.#h = h;
    this.#clock = clock;
    this.#log = log;
  }

  stop(): void {
    this.#stop.abort();
  }

  async run(): Promise<void> {
    const backoff = createBackoff({ baseMs: 100, maxMs: 10_000 });
    while (!this.#stop.signal.aborted) {
      try {
        if (this.#version === '') await this.#list();
        await this.#follow();
        backoff.reset();
      } catch (e) {
        if (e instanceof StatusError && (e.status === 410 || e.status === 404)) this.#version = '';
        this.#log.debug('watch interrupted', { resource: this.#gvr.resource, error: describeError(e) });
        await this.#clock.sleep(backoff.nextMs(), this.#stop.signal);
      }
    }
  }

  async #list(): Promise<void> {
    const { items, version } = await listAll(this.#http, this.#gvr, {});
    const gone = new Map(this.#held);
    for (const o of items) {
      gone.delete(keyOf(o));
      this.#apply('MODIFIED', o);
    }
    for (const o of gone.values()) this.#apply('DELETED', o);
    this.#version = version;
    if (!this.#synced) this.#h.onSynced?.();
    this.#synced = true;
  }

  #apply(type: string, o: KubeObject): void {
    const key = keyOf(o);
    const old = this.#held.get(key);
    if (type === 'DELETED') {
      this.#held.delete(key);
      if (old !== undefined) this.#h.onEvent('DELETED', o);
      return;
    }
    if (old?.metadata.resourceVersion === o.metadata.resourceVersion) return;
    this.#held.set(key, o);
    this.#h.onEvent(old === undefined ? 'ADDED' : 'MODIFIED', o);
  }

  #line(text: string): void {
    const { type, object } = JSON.parse(text) as WatchLine;
    if (type === 'ERROR') throw statusError(Number(object.code ?? 500), JSON.stringify(object));
    if (type !== 'BOOKMARK') this.#apply(type, object);
    this.#version = object.metadata.resourceVersion ?? this.#version;
  }

  #follow(): Promise<void> {
    const query: Query = {
      watch: 'true',
      resourceVersion: this.#version,
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(WATCH_SECONDS),
    };
    return new Promise((resolve, reject) => {
      const onResponse = (res: IncomingMessage): void => {
        if (res.statusCode !== 200) {
          readAll(res).then((t) => reject(statusError(res.statusCode ?? 0, t)), reject);
          return;
        }
        let rest = '';
        res.setEncoding('utf8').on('data', (d: string) => {
          const lines = (rest + d).split('\n');
          rest = lines.pop() ?? '';
          try {
            for (const l of lines) if (l !== '') this.#line(l);
          } catch (e) {
            req.destroy();
            reject(e);
          }
        });
        res.on('end', resolve);
        res.on('error', reject);
        res.on('close', resolve);
      };
      const req = this.#http.open(pathOf(this.#gvr, ''), query, onResponse, reject);
      this.#stop.signal.addEventListener('abort', () => req.destroy(), { once: true });
    });
  }
}

interface ApiResource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

async function servedResources(http: Http): Promise<ServedResource[]> {
  const groups = (await http.json('GET', '/apis', {})) as unknown as { groups: { name: string; preferredVersion: { version: string } }[] };
  const out: ServedResource[] = [];
  for (const g of [{ name: '', preferredVersion: { version: 'v1' } }, ...groups.groups]) {
    const version = g.preferredVersion.version;
    const path = g.name === '' ? '/api/v1' : `/apis/${g.name}/${version}`;
    const list = (await http.json('GET', path, {}).catch(() => ({ resources: [] }))) as unknown as { resources: ApiResource[] };
    for (const r of list.resources) {
      const usable = !r.name.includes('/') && ['list', 'watch', 'delete'].every((v) => r.verbs.includes(v));
      if (usable) out.push({ gvr: { group: g.name, version, resource: r.name }, kind: r.kind, namespaced: r.namespaced });
    }
  }
  return out;
}

const writeQuery = (o: WriteOptions | undefined): Query => ({
  fieldManager: o?.fieldManager ?? 'axoneme-sandbox',
  dryRun: o?.dryRun === true ? 'All' : undefined,
});

export function createHttpClient(t: HttpTarget, d: { readonly clock: Clock; readonly log: Log }): KubeClient {
  const http = createHttp(t);
  const put = (gvr: Gvr, obj: KubeObject, subresource: string, o?: WriteOptions): Promise<KubeObject> =>
    http.json('PUT', pathOf(gvr, nsOf(obj), nameOf(obj), subresource), writeQuery(o), obj);
  return {
    async get(gvr, ns, name) {
      try {
        return await http.json('GET', pathOf(gvr, ns, name), {});
      } catch (e) {
        if (e instanceof StatusError && e.status === 404) return undefined;
        throw e;
      }
    },
    list: async (gvr, opts = {}) => (await listAll(http, gvr, opts)).items,
    create: (gvr, obj, o) => http.json('POST', pathOf(gvr, nsOf(obj)), writeQuery(o), obj),
    update: (gvr, obj, o) => put(gvr, obj, o?.subresource ?? '', o),
    updateStatus: (gvr, obj, o) => put(gvr, obj, 'status', o),
    patch: (gvr, ns, name, kind, body, o) =>
      http.json('PATCH', pathOf(gvr, ns, name, o?.subresource ?? ''), writeQuery(o), body, PATCH_TYPES[kind]),
    async delete(gvr, ns, name, o: DeleteOptions = {}) {
      await http.json('DELETE', pathOf(gvr, ns, name), {}, { apiVersion: 'v1', kind: 'DeleteOptions', ...o });
    },
    async bind(ns, pod, node) {
      const body = {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name: pod, namespace: ns },
        target: { apiVersion: 'v1', kind: 'Node', name: node },
      };
      await http.json('POST', pathOf({ group: '', version: 'v1', resource: 'pods' }, ns, pod, 'binding'), {}, body);
    },
    watch(gvr, handlers) {
      const w = new HttpWatch(http, gvr, handlers, d.clock, d.log);
      void w.run();
      return () => w.stop();
    },
    resources: () => servedResources(http),
    async token(ns, serviceAccount, r) {
      const spec = {
        ...(r.audiences === undefined ? {} : { audiences: r.audiences }),
        expirationSeconds: Math.max(600, r.expirationSeconds ?? 3600),
        ...(r.pod === undefined ? {} : { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: nameOf(r.pod), uid: r.pod.metadata.uid } }),
      };
      const path = pathOf({ group: '', version: 'v1', resource: 'serviceaccounts' }, ns, serviceAccount, 'token');
      const answer = await http.json('POST', path, {}, { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec });
      const status = answer.status as { token: string; expirationTimestamp: string };
      return { token: status.token, expiresAtMs: Date.parse(status.expirationTimestamp) };
    },
  };
}
