// zod → structural OpenAPI schema as apiextensions/v1 wants it, and the manifest around it. Called by generate.ts and tests.
import { z } from 'zod';
import type { CrdDefinition } from './definitions.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

/** Metadata that zod carries along but the API server must not see, or that we write ourselves. */
const dropped: ReadonlySet<string> = new Set(['$schema', 'propertyNames', 'id', 'title']);

function cleanProperties(v: unknown): unknown {
  const entries = Object.entries(v as Record<string, unknown>).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([k, s]) => [k, clean(s as JsonSchema)]));
}

/** Keys in the order a reader expects; the rest alphabetically. */
const keyOrder = [
  'description',
  'type',
  'format',
  'default',
  'enum',
  'pattern',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
];
const rank = (k: string): number => (keyOrder.includes(k) ? keyOrder.indexOf(k) : keyOrder.length);

function cleanField(key: string, value: unknown, schema: JsonSchema): unknown {
  if (key === 'properties') return cleanProperties(value);
  if (key === 'items' || key === 'additionalProperties') return typeof value === 'object' ? clean(value as JsonSchema) : undefined;
  // a structural schema forbids additionalProperties beside properties; loose objects are pruned by the server
  if (key === 'minimum' && value === Number.MIN_SAFE_INTEGER) return undefined;
  if (key === 'maximum' && value === Number.MAX_SAFE_INTEGER) return undefined;
  if (key === 'type' && schema['x-kubernetes-int-or-string'] === true) return undefined;
  return value;
}

function clean(schema: JsonSchema): JsonSchema {
  const out = Object.entries(schema)
    .filter(([k]) => !dropped.has(k) && !(k === 'additionalProperties' && 'properties' in schema))
    .map(([k, v]) => [k, cleanField(k, v, schema)] as const)
    .filter(([, v]) => v !== undefined)
    .sort(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1));
  return Object.fromEntries(out);
}

export function openApiOf(schema: z.ZodType): JsonSchema {
  const raw = z.toJSONSchema(schema, {
    target: 'draft-7',
    io: 'input',
    unrepresentable: 'any',
    reused: 'inline',
    override: ({ zodSchema, jsonSchema }) => {
      const meta = z.globalRegistry.get(zodSchema as unknown as z.ZodType) as Record<string, unknown> | undefined;
      if (meta?.['x-kubernetes-int-or-string'] === true) {
        jsonSchema.anyOf = [{ type: 'integer' }, { type: 'string' }];
      }
      if (jsonSchema.type === 'integer')
        (jsonSchema as Record<string, unknown>).format = (jsonSchema.maximum ?? Number.MAX_SAFE_INTEGER) <= 0x7fffffff ? 'int32' : 'int64';
      // one pattern a field: the one written for RE2 wins over that of our own check
      if (typeof meta?.pattern === 'string') {
        jsonSchema.pattern = meta.pattern;
        delete (jsonSchema as Record<string, unknown>).allOf;
      }
    },
  });
  return clean(raw as JsonSchema);
}

const headFields: JsonSchema = {
  apiVersion: { description: 'Version of the schema of this representation.', type: 'string' },
  kind: { description: 'Kind of the object.', type: 'string' },
  metadata: { type: 'object' },
};

/** One version; all have the same schema. */
function versionOf(d: CrdDefinition, name: string): JsonSchema {
  const { required: _, properties, description, ...rest } = openApiOf(d.body);
  const stored = name === d.resource.version;
  return {
    name,
    served: true,
    storage: stored,
    ...(stored ? {} : { deprecated: true, deprecationWarning: `use ${d.resource.group}/${d.resource.version}` }),
    additionalPrinterColumns: d.columns,
    ...(d.statusSubresource ? { subresources: { status: {} } } : {}),
    schema: {
      openAPIV3Schema: { description, ...rest, required: d.required, properties: { ...headFields, ...(properties as object) } },
    },
  };
}

/** The CustomResourceDefinition as a plain object. */
export function crdManifest(d: CrdDefinition): JsonSchema {
  const { resource: r } = d;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${r.plural}.${r.group}`,
      labels: { 'app.kubernetes.io/name': 'axoneme', 'app.kubernetes.io/part-of': 'axoneme' },
      ...(d.annotations === undefined ? {} : { annotations: d.annotations }),
    },
    spec: {
      group: r.group,
      names: {
        kind: r.kind,
        listKind: `${r.kind}List`,
        plural: r.plural,
        singular: d.singular,
        shortNames: d.shortNames,
        categories: d.categories,
      },
      scope: r.namespaced ? 'Namespaced' : 'Cluster',
      versions: [r.version, ...(d.aliases ?? [])].map((v) => versionOf(d, v)),
    },
  };
}
