// JSON patch (RFC 6902) with the API server's error. Used by the write path and by mutating webhooks.
import fastJsonPatch, { type Operation } from 'fast-json-patch';
import { clone } from '../obj.ts';
import { badRequest, StatusError } from '../status-error.ts';

export function jsonPatch(target: unknown, ops: unknown): unknown {
  if (!Array.isArray(ops)) throw badRequest('a JSON patch is a list of operations');
  try {
    return fastJsonPatch.applyPatch(clone(target), ops as Operation[], true).newDocument;
  } catch (e) {
    const text = (e as Error).message.split('\n')[0] ?? 'bad patch';
    throw new StatusError(422, 'Invalid', `the server rejected our request due to an error in our request: ${text}`, {});
  }
}
