// Every HTTP request enters here: authentication, discovery, resources, subresources, streams. Called by ../server.ts.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { answerReview, answerTokenRequest } from '../auth/reviews.ts';
import { apiAudience, type Tokens } from '../auth/tokens.ts';
import { timeText } from '../obj.ts';
import { jsonPatch } from '../patch/json.ts';
import { mergePatch } from '../patch/merge.ts';
import type { Resource } from '../registry.ts';
import type { RestEnv } from '../rest/env.ts';
import { toTyped } from '../rest/prepare.ts';
import { bindPod, evictPod, scaleOf, updateScale } from '../rest/subresources.ts';
import { fromStorage } from '../rest/versions.ts';
import { methodNotAllowed, noSuchPath, notFound, StatusError, unsupportedMedia } from '../status-error.ts';
import type { KubeObject, PodRequestHandler, PodStreamHandler, PodStreamKind, ProxyHandler, UserInfo } from '../types.ts';
import type { Discovery } from './discovery.ts';
import {
  contextOf,
  createOne,
  deleteMany,
  deleteOne,
  type Exchange,
  patchOne,
  readMany,
  readOne,
  readPatch,
  replaceOne,
  sendObject,
} from './handlers.ts';
import type { OpenApi } from './openapi.ts';
import { parseResourcePath, type ResourcePath, readObject } from './request.ts';
import { sendJson, sendStatus } from './respond.ts';

export interface Plugins {
  readonly streams: Map<PodStreamKind, PodStreamHandler>;
  log: PodRequestHandler | undefined;
  proxy: ProxyHandler | undefined;
}

export interface RouterDeps {
  readonly env: RestEnv;
  readonly tokens: Tokens;
  readonly discovery: Discovery;
  readonly openapi: OpenApi;
  readonly plugins: Plugins;
}

export const gitVersion = 'v1.36.0-axoneme';

export interface Router {
  request(req: IncomingMessage, res: ServerResponse): void;
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void;
}

export function createRouter(d: RouterDeps): Router {
  return {
    request(req, res) {
      res.setHeader('audit-id', d.env.uuid());
      res.setHeader('cache-control', 'no-cache, private');
      handle(d, req, res).catch((e: unknown) => {
        const status = asStatus(d, e);
        if (!res.headersSent) sendStatus(res, status);
        else res.destroy();
      });
    },
    upgrade(req, socket, head) {
      try {
        upgrade(d, req, socket, head);
      } catch (e) {
        const status = asStatus(d, e);
        const body = JSON.stringify(status.toStatus());
        socket.end(
          `HTTP/1.1 ${status.status} ${status.reason}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
        );
      }
    },
  };
}

function asStatus(d: RouterDeps, e: unknown): StatusError {
  if (e instanceof StatusError) return e;
  d.env.log.error('request failed', { error: e instanceof Error ? (e.stack ?? e.message) : String(e) });
  return new StatusError(500, 'InternalError', `Internal error occurred: ${e instanceof Error ? e.message : String(e)}`);
}

function authenticate(d: RouterDeps, req: IncomingMessage): UserInfo {
  const header = req.headers.authorization;
  let token = header !== undefined && /^bearer /i.test(header) ? header.slice(7).trim() : undefined;
  // browsers and client-node pass the token of a WebSocket as a subprotocol
  const sub = /base64url\.bearer\.authorization\.k8s\.io\.([A-Za-z0-9_-]+)/.exec(String(req.headers['sec-websocket-protocol'] ?? ''));
  if (token === undefined && sub !== null) token = Buffer.from(sub[1] ?? '', 'base64url').toString('utf8');
  const verified = token === undefined ? undefined : d.tokens.verify(token, [apiAudience]);
  if (verified === undefined) throw new StatusError(401, 'Unauthorized', 'Unauthorized');
  return verified.user;
}

const parseUrl = (req: IncomingMessage): URL => new URL(req.url ?? '/', 'https://localhost');

async function handle(d: RouterDeps, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = parseUrl(req);
  const { pathname } = url;
  if (pathname === '/healthz' || pathname === '/livez' || pathname === '/readyz' || /^\/(livez|readyz|healthz)\//.test(pathname)) {
    res.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
    res.end('ok');
    return;
  }
  const user = authenticate(d, req);
  if (pathname === '/version' || pathname === '/version/') return sendVersion(d, res);
  if (d.openapi.handle(req, res, pathname) || d.discovery.handle(req, res, pathname)) return;
  const path = parseResourcePath(pathname);
  if (path === undefined) throw noSuchPath();
  const r = d.env.registry.get(path);
  if (r === undefined) throw noSuchPath();
  const x: Exchange = { env: d.env, req, res, path, query: url.searchParams, user, r };
  if (path.subresource !== '') return subresource(d, x);
  return r.virtual ? review(d, x) : resource(x);
}

function sendVersion(d: RouterDeps, res: ServerResponse): void {
  sendJson(res, 200, {
    major: '1',
    minor: '36',
    emulationMajor: '1',
    emulationMinor: '36',
    gitVersion,
    gitCommit: '0'.repeat(40),
    gitTreeState: 'clean',
    buildDate: timeText(d.env.clock.nowMs()),
    goVersion: 'none',
    compiler: 'node',
    platform: 'linux/amd64',
  });
}

async function resource(x: Exchange): Promise<void> {
  const { method } = x.req;
  const one = x.path.name !== '';
  if (one && x.r.namespaced && x.path.ns === '' && !x.path.watchPrefix) throw noSuchPath();
  if (method === 'GET' || method === 'HEAD') return one && !x.path.watchPrefix ? readOne(x) : readMany(x);
  if (method === 'POST' && !one) return createOne(x);
  if (method === 'PUT' && one) return replaceOne(x);
  if (method === 'PATCH' && one) return patchOne(x);
  if (method === 'DELETE') return one ? deleteOne(x) : deleteMany(x);
  throw methodNotAllowed();
}

async function review(d: RouterDeps, x: Exchange): Promise<void> {
  if (x.req.method !== 'POST') throw methodNotAllowed();
  const body = await readObject(x.req, d.env.registry);
  if (x.r.kind === 'Binding') {
    const name = String((body?.value as { metadata?: { name?: string } } | undefined)?.metadata?.name ?? '');
    const pods = d.env.registry.get({ group: '', version: 'v1', resource: 'pods' }) as Resource;
    return sendJson(x.res, 201, await bindPod(d.env, pods, x.path.ns, name, body?.value, contextOf(x, [])));
  }
  const warnings: string[] = [];
  const o = toTyped(d.env, x.r, body?.value ?? {}, contextOf(x, warnings));
  const { creationTimestamp: _c, ...metadata } = o.metadata;
  sendObject(x, 201, answerReview(x.r, { ...o, metadata }, x.user, d.tokens), warnings);
}

const viewsOfObject = new Set(['status', 'ephemeralcontainers', 'resize', 'approval']);

async function subresource(d: RouterDeps, x: Exchange): Promise<void> {
  const { subresource: sub, ns, name } = x.path;
  const { method } = x.req;
  if (!x.r.subresources.includes(sub)) throw noSuchPath();
  if (sub === 'log') return podLog(d, x);
  if (sub === 'proxy') return proxy(d, x);
  if (sub === 'scale') return scale(x);
  if (sub === 'exec' || sub === 'attach' || sub === 'portforward') throw new StatusError(400, 'BadRequest', 'Upgrade request required');
  if (method === 'GET' && viewsOfObject.has(sub)) return readOne(x);
  if (method === 'PUT' && (viewsOfObject.has(sub) || sub === 'finalize')) return replaceOne(x);
  if (method === 'PATCH' && viewsOfObject.has(sub)) return patchOne(x);
  if (method !== 'POST') throw methodNotAllowed();
  const body = (await readObject(x.req, d.env.registry))?.value;
  if (sub === 'token') return sendJson(x.res, 201, answerTokenRequest(d.env.store, d.tokens, ns, name, body));
  const ctx = { ...contextOf(x, []), subresource: '' };
  if (sub === 'binding') return sendJson(x.res, 201, await bindPod(d.env, x.r, ns, name, body, ctx));
  if (sub === 'eviction') return sendJson(x.res, 201, await evictPod(d.env, x.r, ns, name, body, ctx));
  throw methodNotAllowed();
}

async function scale(x: Exchange): Promise<void> {
  const { method } = x.req;
  const { ns, name } = x.path;
  if (method === 'GET') {
    const o = x.env.store.get(x.r.storage, ns, name);
    if (o === undefined) throw notFound(x.r, name);
    return sendJson(x.res, 200, scaleOf(x.r, fromStorage(x.r, o)));
  }
  if (method === 'PUT') {
    const body = (await readObject(x.req, x.env.registry))?.value;
    return sendJson(x.res, 200, await updateScale(x.env, x.r, ns, name, () => body, contextOf(x, [])));
  }
  if (method !== 'PATCH') throw methodNotAllowed();
  const p = await readPatch(x);
  const change = (s: KubeObject): unknown => {
    if (p.kind === 'json') return jsonPatch(s, p.value);
    return mergePatch(s, p.value);
  };
  if (p.kind === 'apply') throw unsupportedMedia(['application/json-patch+json', 'application/merge-patch+json']);
  sendJson(x.res, 200, await updateScale(x.env, x.r, ns, name, change, contextOf(x, [])));
}

function requireObject(x: Exchange): KubeObject {
  const o = x.env.store.get(
    x.r.storage,
    x.r.namespaced ? x.path.ns : '',
    x.path.name.split(':').find((p) => p !== 'http' && p !== 'https') ?? x.path.name,
  );
  if (o === undefined) throw notFound(x.r, x.path.name);
  return o;
}

const notPluggedIn = (what: string): StatusError =>
  new StatusError(501, 'NotImplemented', `${what} is not available: no kubelet is attached to this API server`);

async function podLog(d: RouterDeps, x: Exchange): Promise<void> {
  const pod = requireObject(x);
  if (d.plugins.log === undefined) throw notPluggedIn('log');
  await d.plugins.log(x.req, x.res, pod);
}

async function proxy(d: RouterDeps, x: Exchange): Promise<void> {
  if (d.plugins.proxy === undefined) throw notPluggedIn('proxy');
  const object = requireObject(x);
  const parts = x.path.name.split(':');
  const port = parts.length === 3 ? parts[2] : parts.length === 2 && parts[0] !== 'http' && parts[0] !== 'https' ? parts[1] : '';
  await d.plugins.proxy(x.req, x.res, { resource: x.r.resource, object, port: port ?? '', path: x.path.rest });
}

function upgrade(d: RouterDeps, req: IncomingMessage, socket: Duplex, head: Buffer): void {
  authenticate(d, req);
  const path: ResourcePath | undefined = parseResourcePath(parseUrl(req).pathname);
  if (path === undefined || path.resource !== 'pods') throw noSuchPath();
  const kind = path.subresource as PodStreamKind;
  const pod = d.env.store.get('/pods', path.ns, path.name);
  if (pod === undefined) throw notFound({ group: '', resource: 'pods' }, path.name);
  const handler = d.plugins.streams.get(kind);
  if (handler === undefined) throw notPluggedIn(path.subresource);
  handler(req, socket, head, pod);
}
