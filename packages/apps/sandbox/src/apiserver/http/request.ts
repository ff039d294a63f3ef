// What an HTTP request asks for: resource, name, subresource, options. Called by ./router.ts.
import type { IncomingMessage } from 'node:http';
import { type Decoded, decodeBody, readBody } from '../codec/body.ts';
import { apiVersionOf, type Registry } from '../registry.ts';
import type { FieldValidation } from '../rest/context.ts';
import { badRequest } from '../status-error.ts';

export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  readonly ns: string;
  readonly resource: string;
  readonly name: string;
  readonly subresource: string;
  /** What follows the subresource, for proxies; starts with '/'. */
  readonly rest: string;
  readonly watchPrefix: boolean;
}

const nsSubresources = new Set(['status', 'finalize']);

/** undefined when the path is no resource path. */
export function parseResourcePath(pathname: string): ResourcePath | undefined {
  const parts = pathname.split('/').slice(1).map(decodeURIComponent);
  let group: string;
  let version: string;
  let rest: string[];
  if (parts[0] === 'api') {
    group = '';
    version = parts[1] ?? '';
    rest = parts.slice(2);
  } else if (parts[0] === 'apis') {
    group = parts[1] ?? '';
    version = parts[2] ?? '';
    rest = parts.slice(3);
  } else return undefined;
  const watchPrefix = rest[0] === 'watch';
  if (watchPrefix) rest = rest.slice(1);
  let ns = '';
  if (rest[0] === 'namespaces' && rest[1] !== undefined && rest[2] !== undefined && !(nsSubresources.has(rest[2]) && rest.length === 3)) {
    ns = rest[1];
    rest = rest.slice(2);
  }
  const [resource, name = '', subresource = '', ...tail] = rest;
  if (resource === undefined || resource === '') return undefined;
  return { group, version, ns, resource, name, subresource, rest: tail.length === 0 ? '/' : `/${tail.join('/')}`, watchPrefix };
}

export interface WriteQuery {
  readonly manager: string;
  readonly dryRun: boolean;
  readonly fieldValidation: FieldValidation;
  readonly force: boolean;
}

export function writeQuery(q: URLSearchParams, userAgent: string | undefined): WriteQuery {
  const dryRun = q.getAll('dryRun');
  if (dryRun.some((d) => d !== 'All' && d !== ''))
    throw badRequest(`dryRun: Unsupported value: "${dryRun.join()}": supported values: "All"`);
  const fv = q.get('fieldValidation') ?? '';
  if (!['', 'Strict', 'Warn', 'Ignore'].includes(fv))
    throw badRequest(`fieldValidation: Unsupported value: "${fv}": supported values: "Ignore", "Strict", "Warn"`);
  const manager = q.get('fieldManager') ?? '';
  if (manager.length > 128) throw badRequest('fieldManager: Too long: may not be more than 128 bytes');
  return {
    manager: manager !== '' ? manager : (userAgent ?? 'unknown').split('/')[0] || 'unknown',
    dryRun: dryRun.includes('All'),
    fieldValidation: fv === '' ? 'Warn' : (fv as FieldValidation),
    force: q.get('force') === 'true',
  };
}

const reviewTypes = new Set(['DeleteOptions', 'Eviction', 'Scale', 'TokenRequest', 'Binding']);

/** Reads and decodes a body; protobuf kinds are found among the served ones. */
export async function readObject(req: IncomingMessage, registry: Registry): Promise<Decoded | undefined> {
  const bytes = await readBody(req);
  if (bytes.length === 0) return undefined;
  return decodeBody(bytes, req.headers['content-type'], (apiVersion, kind) => {
    if (reviewTypes.has(kind)) return kind;
    const r = registry.all().find((x) => x.kind === kind && apiVersionOf(x) === apiVersion);
    return r?.typeName === '' ? undefined : r?.typeName;
  });
}

export const numberParam = (v: string | null): number | undefined => (v === null || v === '' ? undefined : Number(v));
export const boolParam = (v: string | null): boolean | undefined => (v === null ? undefined : v === '' || v === 'true' || v === '1');
export const textParam = (v: string | null): string | undefined => v ?? undefined;
