// Finds fields a schema does not know, for fieldValidation Strict and Warn. Called before pruning.
import { isObj } from '../obj.ts';
import { builtinSchema } from './builtin.ts';
import { childOf, type Schema } from './model.ts';

/** Paths of unknown fields, e.g. `spec.bogus`, `spec.containers[0].imagee`. */
export function unknownFields(v: unknown, s: Schema, path = '', out: string[] = []): string[] {
  if (Array.isArray(v)) {
    if (s.items !== undefined) v.forEach((x, i) => unknownFields(x, s.items as Schema, `${path}[${i}]`, out));
    return out;
  }
  if (!isObj(v) || s.type !== 'object') return out;
  for (const key in v) {
    const child = childOf(s, key);
    const at = path === '' ? key : `${path}.${key}`;
    if (child !== undefined) unknownFields(v[key], child, at, out);
    else if (s.embedded === true && (key === 'apiVersion' || key === 'kind')) continue;
    else if (s.embedded === true && key === 'metadata') unknownFields(v[key], builtinSchema('ObjectMeta'), at, out);
    else if (s.preserveUnknown !== true) out.push(at);
  }
  return out;
}
