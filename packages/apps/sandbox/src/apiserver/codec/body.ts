// Request bodies: size limit, JSON, YAML 1.1 and protobuf, duplicate keys. Called by ../http/request.ts.
import type { IncomingMessage } from 'node:http';
import { parseDocument } from 'yaml';
import { isObj, type Obj } from '../obj.ts';
import { badRequest, tooLarge, unsupportedMedia } from '../status-error.ts';
import { decodeProtobuf } from './protobuf.ts';

export const bodyBytesMax = 3 * 1024 * 1024;

/** Whole body; refuses early what is too large. */
export async function readBody(req: IncomingMessage): Promise<Buffer> {
  const declared = Number(req.headers['content-length'] ?? 0);
  if (declared > bodyBytesMax) {
    // let the client finish sending, or it never reads the answer
    for await (const _ of req);
    throw tooLarge(bodyBytesMax);
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req) {
    size += (chunk as Buffer).length;
    if (size <= bodyBytesMax) chunks.push(chunk as Buffer);
  }
  if (size > bodyBytesMax) throw tooLarge(bodyBytesMax);
  return Buffer.concat(chunks);
}

export interface Decoded {
  readonly value: unknown;
  /** Paths of keys that came twice (JSON keeps the last one). */
  readonly duplicates: readonly string[];
}

export const mediaType = (contentType: string | undefined): string => (contentType ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

export function decodeBody(
  body: Buffer,
  contentType: string | undefined,
  typeOf: (apiVersion: string, kind: string) => string | undefined,
): Decoded {
  const type = mediaType(contentType);
  if (type === 'application/vnd.kubernetes.protobuf') return { value: decodeProtobuf(body, typeOf), duplicates: [] };
  if (type === 'application/yaml') return decodeYaml(body);
  if (type === 'application/json' || type === '') return decodeJson(body);
  throw unsupportedMedia(['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf']);
}

export function decodeJson(body: Buffer): Decoded {
  const text = body.toString('utf8');
  try {
    return { value: JSON.parse(text), duplicates: duplicateKeys(text) };
  } catch (e) {
    throw badRequest(`error decoding the request body: ${(e as Error).message}`);
  }
}

/** YAML 1.1, in which `yes` and `on` are booleans, as every Kubernetes client writes it. */
export function decodeYaml(body: Buffer): Decoded {
  const doc = parseDocument(body.toString('utf8'), { version: '1.1', uniqueKeys: false, logLevel: 'silent' });
  const first = doc.errors[0];
  if (first !== undefined) throw badRequest(`error converting YAML to JSON: ${first.message}`);
  return { value: doc.toJS({ maxAliasCount: 100 }), duplicates: [] };
}

/** Finds keys that appear twice in one object. A scanner, because JSON.parse forgets them. */
function duplicateKeys(text: string): string[] {
  const out: string[] = [];
  const stack: { readonly keys: Set<string> | undefined; key: string; index: number }[] = [];
  const path = (last: string): string =>
    [...stack.slice(0, -1).map((f) => (f.keys === undefined ? `[${f.index}]` : f.key)), last].join('.').replaceAll('.[', '[');
  for (let i = 0; i < text.length; i++) {
    const ch = text[i];
    const top = stack.at(-1);
    if (ch === '{') stack.push({ keys: new Set(), key: '', index: 0 });
    else if (ch === '[') stack.push({ keys: undefined, key: '', index: 0 });
    else if (ch === '}' || ch === ']') stack.pop();
    else if (ch === ',' && top?.keys === undefined && top !== undefined) top.index++;
    else if (ch === '"') {
      const start = i;
      for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++;
      if (top?.keys === undefined) continue;
      let j = i + 1;
      while (/\s/.test(text[j] ?? 'x')) j++;
      if (text[j] !== ':') continue;
      const key = JSON.parse(text.slice(start, i + 1)) as string;
      if (top.keys.has(key)) out.push(path(key));
      top.keys.add(key);
      top.key = key;
    }
  }
  return out;
}

export function requireObject(v: unknown): Obj {
  if (!isObj(v)) throw badRequest('the request body is not an object');
  return v;
}
