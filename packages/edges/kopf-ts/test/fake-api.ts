// A small API server for tests: one process, plain HTTP, every fault on request.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KubeObject, ObjectMeta } from '../src/index.ts';

export interface Stored extends KubeObject {
  readonly metadata: ObjectMeta;
  readonly [k: string]: unknown;
}

interface Logged {
  readonly rv: number;
  readonly collection: string;
  readonly type: string;
  readonly object: Stored;
}

interface Watcher {
  readonly res: ServerResponse;
  readonly collection: string;
  readonly namespace: string | undefined;
}

export interface Faults {
  /** Changes are stored but no watch hears of them. */
  silent: boolean;
  /** Answer to the next requests whose `METHOD path` contains the text. */
  refuse: { match: string; status: number; times: number; reason?: string; message?: string }[];
  /** Lowest resource version a watch may start from. */
  oldest: number;
  /** Sockets of the next n matching requests are destroyed without an answer. */
  cut: { match: string; times: number }[];
  /** List pages expire after the first. */
  expireTokens: number;
}

export interface FakeApi {
  readonly url: string;
  readonly kubeconfig: string;
  readonly faults: Faults;
  readonly requests: string[];
  put(collection: string, o: { metadata: { name: string; namespace?: string } & Partial<ObjectMeta>; [k: string]: unknown }): Stored;
  get(collection: string, key: string): Stored | undefined;
  remove(collection: string, key: string): void;
  all(collection: string): Stored[];
  bookmark(): void;
  /** Writes raw text into every open watch. */
  say(text: string): void;
  /** Kills the sockets of all open watches. */
  dropWatches(): void;
  endWatches(): void;
  watchers(): number;
  rv(): number;
  close(): Promise<void>;
}

const merge = (a: unknown, b: unknown): unknown => {
  if (b === null || typeof b !== 'object' || Array.isArray(b)) return b;
  const out: Record<string, unknown> = a !== null && typeof a === 'object' && !Array.isArray(a) ? { ...(a as object) } : {};
  for (const [k, v] of Object.entries(b)) {
    if (v === null) delete out[k];
    else out[k] = merge(out[k], v);
  }
  return out;
};

const keyOf = (m: { name: string; namespace?: string }): string => (m.namespace === undefined ? m.name : `${m.namespace}/${m.name}`);

interface Address {
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly sub: string | undefined;
}

function addressOf(path: string): Address {
  const p = path
    .split('/')
    .filter((x) => x !== '')
    .map(decodeURIComponent);
  const rest = p[0] === 'api' ? p.slice(2) : p.slice(3);
  const group = p[0] === 'api' ? '' : `${p[1]}/`;
  const namespaced = rest[0] === 'namespaces' && rest.length > 2;
  const [plural, name, sub] = namespaced ? rest.slice(2) : rest;
  return { collection: `${group}${plural}`, namespace: namespaced ? rest[1] : undefined, name, sub };
}

class HttpFailure {
  readonly status: number;
  readonly reason: string;
  readonly message: string;
  constructor(status: number, reason: string, message = reason) {
    this.status = status;
    this.reason = reason;
    this.message = message;
  }
}

class Store {
  rv = 1;
  uid = 0;
  readonly data = new Map<string, Map<string, Stored>>();
  readonly log: Logged[] = [];
  readonly listeners = new Set<(l: Logged) => void>();

  of(collection: string): Map<string, Stored> {
    const m = this.data.get(collection) ?? new Map<string, Stored>();
    this.data.set(collection, m);
    return m;
  }

  private emit(collection: string, type: string, object: Stored): void {
    const l = { rv: Number(object.metadata.resourceVersion), collection, type, object };
    this.log.push(l);
    for (const f of this.listeners) f(l);
  }

  set(collection: string, o: Stored, old: Stored | undefined): Stored {
    const strip = (x: Stored | undefined): string =>
      x === undefined ? '' : JSON.stringify({ ...x, metadata: { ...x.metadata, resourceVersion: '', generation: 0 } });
    if (old !== undefined && strip(o) === strip(old)) return old;
    const specChanged = old === undefined || JSON.stringify(o.spec) !== JSON.stringify(old.spec);
    const stored: Stored = {
      ...o,
      metadata: {
        ...o.metadata,
        uid: old?.metadata.uid ?? `uid-${++this.uid}`,
        generation: (old?.metadata.generation ?? 0) + (specChanged ? 1 : 0),
        resourceVersion: String(++this.rv),
      },
    };
    if (stored.metadata.deletionTimestamp !== undefined && (stored.metadata.finalizers ?? []).length === 0)
      return this.drop(collection, stored);
    this.of(collection).set(keyOf(stored.metadata), stored);
    this.emit(collection, old === undefined ? 'ADDED' : 'MODIFIED', stored);
    return stored;
  }

  drop(collection: string, o: Stored): Stored {
    this.of(collection).delete(keyOf(o.metadata));
    const last = { ...o, metadata: { ...o.metadata, resourceVersion: String(++this.rv) } };
    this.emit(collection, 'DELETED', last);
    return last;
  }

  remove(collection: string, o: Stored): Stored {
    if ((o.metadata.finalizers ?? []).length === 0) return this.drop(collection, o);
    if (o.metadata.deletionTimestamp !== undefined) return o;
    return this.set(collection, { ...o, metadata: { ...o.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } }, o);
  }
}

function list(store: Store, a: Address, q: URLSearchParams, faults: Faults): unknown {
  const all = [...store.of(a.collection).values()].filter((o) => a.namespace === undefined || o.metadata.namespace === a.namespace);
  const limit = Number(q.get('limit') ?? 0);
  const from = Number(q.get('continue') ?? 0);
  if (from > 0 && faults.expireTokens > 0) {
    faults.expireTokens -= 1;
    throw new HttpFailure(410, 'Expired');
  }
  const items = limit > 0 ? all.slice(from, from + limit) : all;
  const next = limit > 0 && from + limit < all.length ? String(from + limit) : undefined;
  return { kind: 'List', metadata: { resourceVersion: String(store.rv), ...(next === undefined ? {} : { continue: next }) }, items };
}

function write(store: Store, a: Address, method: string, type: string, body: unknown): { status: number; object: unknown } {
  const b = body as Stored & { metadata: { resourceVersion?: string }; preconditions?: { uid?: string } };
  if (method === 'POST') {
    if (a.collection === 'authentication.k8s.io/tokenreviews') return { status: 201, object: { ...b, status: tokenStatus(b) } };
    const meta = { ...b.metadata, ...(a.namespace === undefined ? {} : { namespace: a.namespace }) };
    if (store.of(a.collection).has(keyOf(meta))) throw new HttpFailure(409, 'AlreadyExists');
    return { status: 201, object: store.set(a.collection, { ...b, metadata: meta }, undefined) };
  }
  const key = keyOf({ name: a.name ?? '', ...(a.namespace === undefined ? {} : { namespace: a.namespace }) });
  const old = store.of(a.collection).get(key);
  if (old === undefined) throw new HttpFailure(404, 'NotFound', `${a.collection} "${a.name}" not found`);
  if (method === 'DELETE') {
    if (b?.preconditions?.uid !== undefined && b.preconditions.uid !== old.metadata.uid) throw new HttpFailure(409, 'Conflict');
    return { status: 200, object: store.remove(a.collection, old) };
  }
  const expected = b.metadata?.resourceVersion;
  if (expected !== undefined && expected !== old.metadata.resourceVersion) throw new HttpFailure(409, 'Conflict');
  const patched = method === 'PUT' ? b : (merge(old, b) as Stored);
  if (type.includes('json-patch')) throw new HttpFailure(415, 'UnsupportedMediaType');
  const kept: Stored =
    a.sub === 'status' ? { ...old, status: patched.status } : { ...patched, ...(method === 'PUT' ? { status: old.status } : {}) };
  return { status: 200, object: store.set(a.collection, { ...kept, metadata: { ...old.metadata, ...kept.metadata } }, old) };
}

function tokenStatus(b: Stored & { spec?: { token?: string; audiences?: string[] } }): unknown {
  const [name, audience] = (b.spec?.token ?? '').split('@');
  if (audience === undefined || !(b.spec?.audiences ?? []).includes(audience)) return { authenticated: false, error: 'invalid token' };
  return { authenticated: true, audiences: [audience], user: { username: `system:serviceaccount:kube-system:${name}`, uid: 'u' } };
}

const readBody = async (req: IncomingMessage): Promise<unknown> => {
  const parts: Buffer[] = [];
  for await (const p of req) parts.push(p as Buffer);
  return parts.length === 0 ? undefined : JSON.parse(Buffer.concat(parts).toString());
};

export async function startFakeApi(): Promise<FakeApi> {
  const store = new Store();
  const watchers = new Set<Watcher>();
  const requests: string[] = [];
  const faults: Faults = { silent: false, refuse: [], oldest: 0, cut: [], expireTokens: 0 };
  const send = (w: Watcher, l: Logged): void => {
    if (l.collection !== w.collection || (w.namespace !== undefined && l.object.metadata.namespace !== w.namespace)) return;
    w.res.write(`${JSON.stringify({ type: l.type, object: l.object })}\n`);
  };
  store.listeners.add((l) => {
    if (!faults.silent) for (const w of watchers) send(w, l);
  });

  const watch = (a: Address, q: URLSearchParams, res: ServerResponse): void => {
    const from = Number(q.get('resourceVersion') ?? 0);
    res.writeHead(200, { 'content-type': 'application/json' });
    res.flushHeaders();
    if (from < faults.oldest) {
      res.end(
        `${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' } })}\n`,
      );
      return;
    }
    const w: Watcher = { res, collection: a.collection, namespace: a.namespace };
    watchers.add(w);
    res.on('close', () => watchers.delete(w));
    if (!faults.silent) for (const l of store.log) if (l.rv > from) send(w, l);
  };

  const handle = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const url = new URL(req.url ?? '/', 'http://x');
    const line = `${req.method} ${url.pathname}${url.search}`;
    requests.push(line);
    const cut = faults.cut.find((f) => f.times > 0 && line.includes(f.match));
    if (cut !== undefined) {
      cut.times -= 1;
      req.socket.destroy();
      return;
    }
    const refused = faults.refuse.find((f) => f.times > 0 && line.includes(f.match));
    if (refused !== undefined) {
      refused.times -= 1;
      throw new HttpFailure(refused.status, refused.reason ?? 'Refused', refused.message);
    }
    const a = addressOf(url.pathname);
    if (req.method === 'GET' && url.searchParams.get('watch') === 'true') return watch(a, url.searchParams, res);
    if (req.method === 'GET' && a.name === undefined) return answer(res, 200, list(store, a, url.searchParams, faults));
    if (req.method === 'GET') {
      const o = store.of(a.collection).get(keyOf({ name: a.name ?? '', ...(a.namespace === undefined ? {} : { namespace: a.namespace }) }));
      if (o === undefined) throw new HttpFailure(404, 'NotFound', `${a.collection} "${a.name}" not found`);
      return answer(res, 200, o);
    }
    const done = write(store, a, req.method ?? '', req.headers['content-type'] ?? '', await readBody(req));
    answer(res, done.status, done.object);
  };

  const answer = (res: ServerResponse, status: number, body: unknown): void => {
    res.writeHead(status, { 'content-type': 'application/json' });
    res.end(JSON.stringify(body));
  };

  const server: Server = createServer((req, res) => {
    handle(req, res).catch((e: unknown) => {
      const f = e instanceof HttpFailure ? e : new HttpFailure(500, 'InternalError', String(e));
      answer(res, f.status, { kind: 'Status', status: 'Failure', code: f.status, reason: f.reason, message: f.message });
    });
  });
  await new Promise<void>((r) => server.listen(0, '127.0.0.1', r));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const kubeconfig = JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: url } }],
    users: [{ name: 'u', user: { token: 'secret-token' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'ctx' } }],
    'current-context': 'x',
  });
  return {
    url,
    kubeconfig,
    faults,
    requests,
    put: (c, o) => store.set(c, o as unknown as Stored, store.of(c).get(keyOf(o.metadata))),
    get: (c, key) => store.of(c).get(key),
    remove: (c, key) => {
      const o = store.of(c).get(key);
      if (o !== undefined) store.remove(c, o);
    },
    all: (c) => [...store.of(c).values()],
    bookmark: () => {
      for (const w of watchers)
        w.res.write(`${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(store.rv) } } })}\n`);
    },
    say: (text) => {
      for (const w of watchers) w.res.write(text);
    },
    dropWatches: () => {
      for (const w of watchers) w.res.socket?.destroy();
    },
    endWatches: () => {
      for (const w of watchers) w.res.end();
    },
    watchers: () => watchers.size,
    rv: () => store.rv,
    close: () =>
      new Promise((r) => {
        server.closeAllConnections();
        server.close(() => r());
      }),
  };
}

/** Waits until the condition holds; fails loudly instead of hanging. */
export async function until(what: string, condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`timed out waiting until ${what}`);
    await new Promise((r) => setTimeout(r, 5));
  }
}
