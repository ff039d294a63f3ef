// Reading and writing resources over HTTP. Called by ./router.ts with the resource already found.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { decodeJson, decodeYaml, mediaType, readBody, requireObject } from '../codec/body.ts';
import { asObj, asStr, jsonBytes } from '../obj.ts';
import { apiVersionOf, type Resource } from '../registry.ts';
import type { WriteContext } from '../rest/context.ts';
import { remove } from '../rest/delete.ts';
import type { RestEnv } from '../rest/env.ts';
import { type ListResult, listObjects } from '../rest/list.ts';
import { fromStorage } from '../rest/versions.ts';
import { startWatch } from '../rest/watch.ts';
import { create, type PatchBody, patch, replace } from '../rest/write.ts';
import { badRequest, methodNotAllowed, notFound, unsupportedMedia } from '../status-error.ts';
import { type IncludeObject, partialObject, tableOf } from '../table/table.ts';
import type { DeleteOptions, KubeObject, PatchKind, UserInfo } from '../types.ts';
import { wantedForm } from './negotiate.ts';
import { boolParam, numberParam, type ResourcePath, readObject, textParam, writeQuery } from './request.ts';
import { addWarnings, sendBytes, sendJson } from './respond.ts';
import { createWatchSink } from './watch-response.ts';

export interface Exchange {
  readonly env: RestEnv;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly path: ResourcePath;
  readonly query: URLSearchParams;
  readonly user: UserInfo;
  readonly r: Resource;
}

export function contextOf(x: Exchange, warnings: string[]): WriteContext {
  const q = writeQuery(x.query, x.req.headers['user-agent']);
  return {
    user: x.user,
    manager: q.manager,
    dryRun: q.dryRun,
    fieldValidation: q.fieldValidation,
    subresource: x.path.subresource,
    warnings,
  };
}

/** One object in the form the client wants. */
export function sendObject(x: Exchange, status: number, o: KubeObject, warnings: readonly string[]): void {
  const all = x.r.custom?.deprecationWarning === undefined ? warnings : [x.r.custom.deprecationWarning, ...warnings];
  addWarnings(x.res, all);
  const { form, contentType } = wantedForm(x.req);
  if (form === 'json') sendBytes(x.res, status, jsonBytes(o));
  else if (form === 'yaml') sendJson(x.res, status, o, contentType);
  else if (form === 'partial') sendJson(x.res, status, partialObject(o));
  else
    sendJson(
      x.res,
      status,
      tableOf(x.r, [o], {
        include: includeOf(x),
        headers: true,
        nowMs: x.env.clock.nowMs(),
        listMeta: { resourceVersion: o.metadata.resourceVersion },
      }),
    );
}

const includeOf = (x: Exchange): IncludeObject => {
  const v = x.query.get('includeObject');
  return v === 'None' || v === 'Object' ? v : 'Metadata';
};

export function readOne(x: Exchange): void {
  const o = x.env.store.get(x.r.storage, x.r.namespaced ? x.path.ns : '', x.path.name);
  if (o === undefined) throw notFound(x.r, x.path.name);
  sendObject(x, 200, fromStorage(x.r, o), []);
}

export function readMany(x: Exchange): void {
  const q = x.query;
  const common = {
    ns: x.path.ns,
    labelSelector: textParam(q.get('labelSelector')),
    fieldSelector: x.path.watchPrefix && x.path.name !== '' ? `metadata.name=${x.path.name}` : textParam(q.get('fieldSelector')),
    resourceVersion: textParam(q.get('resourceVersion')),
    resourceVersionMatch: textParam(q.get('resourceVersionMatch')),
  };
  if (boolParam(q.get('watch')) === true || x.path.watchPrefix) {
    watch(x, common);
    return;
  }
  const result = listObjects(x.env.store, x.r, { ...common, limit: numberParam(q.get('limit')), continue: textParam(q.get('continue')) });
  sendList(x, result);
}

function sendList(x: Exchange, l: ListResult): void {
  if (x.r.custom?.deprecationWarning !== undefined) addWarnings(x.res, [x.r.custom.deprecationWarning]);
  const listMeta = {
    resourceVersion: String(l.resourceVersion),
    ...(l.continue === '' ? {} : { continue: l.continue }),
    ...(l.remaining === undefined ? {} : { remainingItemCount: l.remaining }),
  };
  const items = l.items.map((o) => fromStorage(x.r, o));
  const { form, contentType } = wantedForm(x.req);
  if (form === 'table') {
    sendJson(x.res, 200, tableOf(x.r, items, { include: includeOf(x), headers: true, nowMs: x.env.clock.nowMs(), listMeta }));
    return;
  }
  if (form === 'partial') {
    sendJson(x.res, 200, {
      kind: 'PartialObjectMetadataList',
      apiVersion: 'meta.k8s.io/v1',
      metadata: listMeta,
      items: items.map(partialObject),
    });
    return;
  }
  const head = { kind: x.r.listKind, apiVersion: apiVersionOf(x.r), metadata: listMeta };
  if (form === 'yaml') {
    sendJson(x.res, 200, { ...head, items }, contentType);
    return;
  }
  const parts: Buffer[] = [Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`)];
  items.forEach((o, i) => {
    if (i > 0) parts.push(comma);
    parts.push(jsonBytes(o));
  });
  parts.push(end);
  sendBytes(x.res, 200, Buffer.concat(parts));
}

const comma = Buffer.from(',');
const end = Buffer.from(']}');

function watch(x: Exchange, common: Parameters<typeof startWatch>[3]): void {
  const sink = createWatchSink(x.res, x.r, { form: wantedForm(x.req).form, include: includeOf(x), nowMs: () => x.env.clock.nowMs() });
  const stop = startWatch(
    x.env.store,
    x.env.clock,
    x.r,
    {
      ...common,
      sendInitialEvents: boolParam(x.query.get('sendInitialEvents')),
      allowWatchBookmarks: boolParam(x.query.get('allowWatchBookmarks')),
      timeoutSeconds: numberParam(x.query.get('timeoutSeconds')),
    },
    sink,
  );
  // the client waits for headers before it believes in the watch
  if (!x.res.headersSent && !x.res.writableEnded) {
    x.res.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked', 'cache-control': 'no-cache, private' });
    x.res.flushHeaders();
  }
  x.res.on('close', stop);
}

export async function createOne(x: Exchange): Promise<void> {
  const body = await readObject(x.req, x.env.registry);
  if (body === undefined) throw badRequest('the request body is empty');
  const warnings: string[] = [];
  const o = await create(x.env, x.r, x.path.ns, { value: requireObject(body.value), duplicates: body.duplicates }, contextOf(x, warnings));
  sendObject(x, 201, o, warnings);
}

export async function replaceOne(x: Exchange): Promise<void> {
  const body = await readObject(x.req, x.env.registry);
  if (body === undefined) throw badRequest('the request body is empty');
  const warnings: string[] = [];
  const o = await replace(
    x.env,
    x.r,
    x.path.ns,
    x.path.name,
    { value: requireObject(body.value), duplicates: body.duplicates },
    contextOf(x, warnings),
  );
  sendObject(x, 200, o, warnings);
}

const patchKinds: Readonly<Record<string, PatchKind>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};

/** Reads a patch of any kind; custom resources take no strategic merge. */
export async function readPatch(x: Exchange): Promise<PatchBody> {
  const type = mediaType(x.req.headers['content-type']);
  const kind = patchKinds[type];
  const accepted = Object.keys(patchKinds).filter((t) => x.r.custom === undefined || !t.includes('strategic'));
  if (kind === undefined || !accepted.includes(type)) throw unsupportedMedia(accepted);
  const bytes = await readBody(x.req);
  const decoded = kind === 'apply' ? decodeYaml(bytes) : decodeJson(bytes);
  if (kind === 'apply' && (x.query.get('fieldManager') ?? '') === '')
    throw badRequest('PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch');
  return { kind, value: decoded.value, duplicates: decoded.duplicates, force: x.query.get('force') === 'true' };
}

export async function patchOne(x: Exchange): Promise<void> {
  const p = await readPatch(x);
  const warnings: string[] = [];
  const { object, created } = await patch(x.env, x.r, x.path.ns, x.path.name, p, contextOf(x, warnings));
  sendObject(x, created ? 201 : 200, object, warnings);
}

async function deleteOptions(x: Exchange): Promise<DeleteOptions> {
  const body = asObj((await readObject(x.req, x.env.registry))?.value);
  const q = x.query;
  const policy = q.get('propagationPolicy') ?? (typeof body.propagationPolicy === 'string' ? body.propagationPolicy : undefined);
  const orphan = body.orphanDependents === true ? 'Orphan' : undefined;
  const grace =
    numberParam(q.get('gracePeriodSeconds')) ?? (typeof body.gracePeriodSeconds === 'number' ? body.gracePeriodSeconds : undefined);
  const pre = asObj(body.preconditions);
  return {
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    ...(policy === undefined && orphan === undefined
      ? {}
      : { propagationPolicy: (policy ?? orphan) as NonNullable<DeleteOptions['propagationPolicy']> }),
    preconditions: {
      ...(pre.uid === undefined ? {} : { uid: asStr(pre.uid) }),
      ...(pre.resourceVersion === undefined ? {} : { resourceVersion: asStr(pre.resourceVersion) }),
    },
    dryRun: q.getAll('dryRun').includes('All') || (Array.isArray(body.dryRun) && body.dryRun.includes('All')),
  };
}

const returnsObject = new Set([
  '/pods',
  '/services',
  '/serviceaccounts',
  '/persistentvolumes',
  '/persistentvolumeclaims',
  '/resourcequotas',
  '/podtemplates',
]);

export async function deleteOne(x: Exchange): Promise<void> {
  const opts = await deleteOptions(x);
  const warnings: string[] = [];
  const done = await remove(x.env, x.r, x.path.ns, x.path.name, opts, { ...contextOf(x, warnings), dryRun: opts.dryRun === true });
  if (!done.gone || returnsObject.has(x.r.storage)) return sendObject(x, 200, done.object, warnings);
  addWarnings(x.res, warnings);
  sendJson(x.res, 200, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: { name: x.path.name, ...(x.r.group === '' ? {} : { group: x.r.group }), kind: x.r.resource, uid: done.object.metadata.uid },
  });
}

export async function deleteMany(x: Exchange): Promise<void> {
  if (x.r.storage === '/namespaces') throw methodNotAllowed();
  const opts = await deleteOptions(x);
  const q = x.query;
  const found = listObjects(x.env.store, x.r, {
    ns: x.path.ns,
    labelSelector: textParam(q.get('labelSelector')),
    fieldSelector: textParam(q.get('fieldSelector')),
  });
  const out: KubeObject[] = [];
  for (const o of found.items) {
    const done = await remove(x.env, x.r, o.metadata.namespace ?? '', o.metadata.name ?? '', opts, contextOf(x, []));
    out.push(done.object);
  }
  sendList(x, { items: out, resourceVersion: x.env.store.rv(), continue: '', remaining: undefined });
}
