// From a CRD's openAPIV3Schema to our schema shape. Called when a CRD is established.
import { asObj, isObj, type Obj } from '../obj.ts';
import { builtinSchema } from '../schema/builtin.ts';
import type { Schema } from '../schema/model.ts';

const depthMax = 100;

/** Schema of one custom resource version; the root always knows apiVersion, kind and metadata. */
export function rootSchema(raw: unknown): Schema {
  const s = structural(raw, 0);
  return {
    ...s,
    type: 'object',
    properties: { ...s.properties, apiVersion: { type: 'string' }, kind: { type: 'string' }, metadata: builtinSchema('ObjectMeta') },
  };
}

export function structural(v: unknown, depth: number): Schema {
  const raw = asObj(v);
  if (depth > depthMax) return { raw };
  const type = schemaType(raw);
  const properties = isObj(raw.properties)
    ? Object.fromEntries(Object.entries(raw.properties).map(([k, p]) => [k, structural(p, depth + 1)]))
    : undefined;
  const extra = raw.additionalProperties;
  const values = isObj(extra) ? structural(extra, depth + 1) : extra === true ? { preserveUnknown: true, raw: {} } : undefined;
  return {
    ...(type === undefined ? {} : { type }),
    ...(typeof raw.format === 'string' ? { format: raw.format } : {}),
    ...(properties === undefined ? {} : { properties }),
    ...(values === undefined ? {} : { values }),
    ...(isObj(raw.items) ? { items: structural(raw.items, depth + 1) } : {}),
    ...(Array.isArray(raw.required) ? { required: raw.required as string[] } : {}),
    ...listFacts(raw),
    ...(raw['x-kubernetes-map-type'] === 'atomic' ? { atomic: true } : {}),
    ...(raw['x-kubernetes-int-or-string'] === true ? { intOrString: true } : {}),
    ...(raw['x-kubernetes-preserve-unknown-fields'] === true ? { preserveUnknown: true } : {}),
    ...(raw['x-kubernetes-embedded-resource'] === true ? { embedded: true } : {}),
    ...(raw.nullable === true ? { nullable: true } : {}),
    ...('default' in raw ? { default: raw.default } : {}),
    raw,
  };
}

function schemaType(raw: Obj): Schema['type'] {
  const t = raw.type;
  const known = t === 'object' || t === 'array' || t === 'string' || t === 'integer' || t === 'number' || t === 'boolean';
  return known ? t : undefined;
}

function listFacts(raw: Obj): Partial<Schema> {
  const t = raw['x-kubernetes-list-type'];
  if (t === 'set') return { listType: 'set' };
  if (t !== 'map') return raw.type === 'array' ? { listType: 'atomic' } : {};
  return { listType: 'map', listKeys: (raw['x-kubernetes-list-map-keys'] ?? []) as string[] };
}
