// OpenAPI v3 documents, one a group version: what kubectl needs for apply, validation and explain. Called by ./router.ts.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { digestOf } from '@axoneme/std';
import { describeKind } from '../data/descriptions.ts';
import { isObj, type Obj } from '../obj.ts';
import { apiVersionOf, type Registry, type Resource } from '../registry.ts';
import { allMessages, builtinSchema, messageFact } from '../schema/builtin.ts';
import type { Schema } from '../schema/model.ts';
import { noSuchPath } from '../status-error.ts';
import { sendBytes } from './respond.ts';

export interface OpenApi {
  handle(req: IncomingMessage, res: ServerResponse, pathname: string): boolean;
}

const metaRef = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
const patchTypes = [
  'application/apply-patch+yaml',
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];

export function createOpenApi(registry: Registry): OpenApi {
  let builtFor = -1;
  let docs = new Map<string, { readonly bytes: Buffer; readonly hash: string }>();
  const doc = (path: string): { readonly bytes: Buffer; readonly hash: string } | undefined => {
    if (builtFor !== registry.generation()) {
      docs = new Map();
      builtFor = registry.generation();
    }
    let hit = docs.get(path);
    if (hit === undefined) {
      const rs = registry.all().filter((r) => pathOf(r) === path);
      if (rs.length === 0) return undefined;
      const bytes = Buffer.from(JSON.stringify(buildDoc(rs)));
      hit = { bytes, hash: digestOf(bytes).toUpperCase() };
      docs.set(path, hit);
    }
    return hit;
  };
  const index = (): Buffer => {
    const paths = Object.fromEntries(
      [...new Set(registry.all().map(pathOf))].map((p) => [p, { serverRelativeURL: `/openapi/v3/${p}?hash=${doc(p)?.hash}` }]),
    );
    return Buffer.from(JSON.stringify({ paths }));
  };
  return {
    handle(req, res, pathname) {
      if (!pathname.startsWith('/openapi/')) return false;
      const bytes = pathname === '/openapi/v3' ? index() : doc(pathname.slice('/openapi/v3/'.length))?.bytes;
      if (bytes === undefined) throw noSuchPath();
      const etag = `"${digestOf(bytes).toUpperCase()}"`;
      res.setHeader('ETag', etag);
      res.setHeader('Vary', 'Accept');
      if (req.headers['if-none-match'] === etag) {
        res.writeHead(304);
        res.end();
      } else sendBytes(res, 200, bytes);
      return true;
    },
  };
}

const pathOf = (r: Resource): string => (r.group === '' ? `api/${r.version}` : `apis/${r.group}/${r.version}`);

function buildDoc(rs: readonly Resource[]): unknown {
  const schemas: Obj = {};
  const paths: Obj = {};
  for (const r of rs) {
    const name = schemaName(r);
    schemas[name] = kindDoc(r, schemas);
    if (r.virtual) continue;
    const gvk = { group: r.group, version: r.version, kind: r.kind };
    const base = `/${pathOf(r)}${r.namespaced ? '/namespaces/{namespace}' : ''}/${r.resource}`;
    const params = ['dryRun', 'fieldManager', 'fieldValidation'].map((n) => ({
      name: n,
      in: 'query',
      schema: { type: 'string', uniqueItems: true },
    }));
    const responses = { 200: { description: 'OK', content: { 'application/json': { schema: { $ref: `#/components/schemas/${name}` } } } } };
    const body = (types: readonly string[]): unknown => ({
      content: Object.fromEntries(types.map((t) => [t, { schema: { $ref: `#/components/schemas/${name}` } }])),
    });
    const op = (action: string, extra: Obj): Obj => ({
      responses,
      'x-kubernetes-action': action,
      'x-kubernetes-group-version-kind': gvk,
      ...extra,
    });
    const types = r.custom === undefined ? patchTypes : patchTypes.filter((t) => !t.includes('strategic'));
    paths[base] = { get: op('list', {}), post: op('post', { parameters: params, requestBody: body(['*/*']) }) };
    paths[`${base}/{name}`] = {
      get: op('get', {}),
      put: op('put', { parameters: params, requestBody: body(['*/*']) }),
      patch: op('patch', {
        parameters: [...params, { name: 'force', in: 'query', schema: { type: 'boolean' } }],
        requestBody: body(types),
      }),
      delete: op('delete', {}),
    };
  }
  return { openapi: '3.0.0', info: { title: 'Kubernetes', version: 'v1.36.0' }, paths, components: { schemas } };
}

function schemaName(r: Resource): string {
  const fact = messageFact(r.typeName);
  if (fact !== undefined) return fact.ref.replace('GroupEvent', 'Event');
  return `${r.group.split('.').reverse().join('.')}.${r.version}.${r.kind}`;
}

function kindDoc(r: Resource, schemas: Obj): Obj {
  const gvk = [{ group: r.group, version: r.version, kind: r.kind }];
  const head = {
    apiVersion: { type: 'string', description: `Always ${apiVersionOf(r)}.` },
    kind: { type: 'string', description: `Always ${r.kind}.` },
  };
  const shown = r.custom === undefined ? schemaDoc(r.schema, schemas, false) : customDoc(r.schema.raw);
  const properties = { ...head, ...(isObj(shown.properties) ? shown.properties : {}) } as Obj;
  if (r.custom !== undefined) {
    need(metaRef, schemas);
    properties.metadata = { allOf: [{ $ref: `#/components/schemas/${metaRef}` }] };
    properties.apiVersion = head.apiVersion;
    properties.kind = head.kind;
  }
  return {
    description: describeKind(r.kind),
    ...shown,
    type: 'object',
    properties,
    'x-kubernetes-group-version-kind': gvk,
  };
}

/** A CRD's own schema, without what OpenAPI has no word for. */
function customDoc(raw: unknown): Obj {
  if (!isObj(raw)) return { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  return raw;
}

const byRef = new Map<string, string>();

function need(ref: string, schemas: Obj): void {
  if (schemas[ref] !== undefined) return;
  if (byRef.size === 0) for (const m of allMessages()) byRef.set(m.ref, m.name);
  const name = byRef.get(ref);
  if (name === undefined) return;
  schemas[ref] = {};
  schemas[ref] = { description: describeKind(name), ...schemaDoc(builtinSchema(name), schemas, false) };
}

/** `linked`: named types become references. */
function schemaDoc(s: Schema, schemas: Obj, linked: boolean): Obj {
  if (linked && s.ref !== undefined) {
    need(s.ref, schemas);
    return { allOf: [{ $ref: `#/components/schemas/${s.ref}` }], ...(s.plain === true ? { default: {} } : {}) };
  }
  const out: Obj = {};
  if (s.intOrString === true) Object.assign(out, { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] });
  else if (s.format === 'quantity') Object.assign(out, { oneOf: [{ type: 'string' }, { type: 'number' }] });
  else if (s.type !== undefined) out.type = s.type;
  if (s.format !== undefined && out.format === undefined && s.format !== 'quantity')
    out.format = s.format === 'micro-time' ? 'date-time' : s.format;
  if (s.properties !== undefined)
    out.properties = Object.fromEntries(
      Object.entries(s.properties).map(([k, p]) => [k, { description: '', ...schemaDoc(p, schemas, true) }]),
    );
  if (s.values !== undefined) out.additionalProperties = schemaDoc(s.values, schemas, true);
  if (s.items !== undefined) out.items = schemaDoc(s.items, schemas, true);
  if (s.required !== undefined) out.required = s.required;
  if (s.default !== undefined) out.default = s.default;
  if (s.type === 'array') out['x-kubernetes-list-type'] = s.listType ?? 'atomic';
  if (s.listKeys !== undefined) out['x-kubernetes-list-map-keys'] = s.listKeys;
  if (s.atomic === true) out['x-kubernetes-map-type'] = 'atomic';
  const strategy = [...(s.mergeList === true ? ['merge'] : []), ...(s.retainKeys === true ? ['retainKeys'] : [])].join(',');
  if (strategy !== '') out['x-kubernetes-patch-strategy'] = strategy;
  if (s.mergeKey !== undefined) out['x-kubernetes-patch-merge-key'] = s.mergeKey;
  if (s.preserveUnknown === true) out['x-kubernetes-preserve-unknown-fields'] = true;
  return out;
}
