import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { crdDefinitions, crdManifest, type JsonSchema } from '../src/index.ts';
import { crdFileName, crdYaml } from '../src/yaml-file.ts';

const root = path.resolve(import.meta.dirname, '../../../..');
const manifests = crdDefinitions.map((d) => [d.resource.kind, crdManifest(d)] as const);

interface Version {
  readonly schema: { readonly openAPIV3Schema: JsonSchema };
}
const schemaOf = (m: JsonSchema): JsonSchema => ((m.spec as { versions: Version[] }).versions[0] as Version).schema.openAPIV3Schema;

/** Visits every schema node with its path. */
function walk(s: JsonSchema, at: string, visit: (s: JsonSchema, at: string) => void): void {
  visit(s, at);
  for (const [k, v] of Object.entries((s.properties as Record<string, JsonSchema> | undefined) ?? {})) walk(v, `${at}.${k}`, visit);
  if (s.items !== undefined) walk(s.items as JsonSchema, `${at}[]`, visit);
  if (s.additionalProperties !== undefined) walk(s.additionalProperties as JsonSchema, `${at}.*`, visit);
}

describe('committed files', () => {
  test.each(['crds', 'charts/axoneme/crds'])('%s equals what the schemas say (npm run generate)', (folder) => {
    const at = path.join(root, folder);
    expect(fs.readdirSync(at).sort()).toEqual(crdDefinitions.map(crdFileName).sort());
    for (const d of crdDefinitions) expect(fs.readFileSync(path.join(at, crdFileName(d)), 'utf8')).toBe(crdYaml(d));
  });

  test('both policy kinds have one schema', () => {
    expect(schemaOf(manifests[0]?.[1] ?? {})).toEqual(schemaOf(manifests[1]?.[1] ?? {}));
  });
});

describe.each(manifests)('%s', (_kind, manifest) => {
  test('fits into the annotation of a client-side apply', () => {
    expect(JSON.stringify(manifest).length).toBeLessThan(250_000);
  });

  test('is structural', () => {
    walk(schemaOf(manifest), '', (s, at) => {
      const where = `at ${at}`;
      const typed = s.type !== undefined || s['x-kubernetes-int-or-string'] === true;
      expect([where, typed]).toEqual([where, true]);
      expect([where, 'properties' in s && 'additionalProperties' in s]).toEqual([where, false]);
      expect([
        where,
        Object.keys(s).filter((k) => ['$ref', '$schema', 'definitions', 'const', 'allOf', 'propertyNames', 'exclusiveMinimum'].includes(k)),
      ]).toEqual([where, []]);
      if (s.type === 'array') expect([where, typeof s.items]).toEqual([where, 'object']);
      if (s['x-kubernetes-list-type'] === 'map') {
        const item = s.items as JsonSchema;
        for (const k of s['x-kubernetes-list-map-keys'] as string[]) expect(item.required).toContain(k);
      }
      for (const alternative of [...((s.oneOf as JsonSchema[]) ?? []), ...((s.anyOf as JsonSchema[]) ?? [])]) {
        if (s['x-kubernetes-int-or-string'] !== true) expect(alternative.type).toBeUndefined();
      }
      if (typeof s.pattern === 'string') expect(() => new RegExp(s.pattern as string)).not.toThrow();
    });
  });

  test('every field is described', () => {
    const bare: string[] = [];
    walk(schemaOf(manifest), '', (s, at) => {
      const isItem = at.endsWith('[]') || at.endsWith('.*') || at === '.metadata';
      if (!isItem && typeof s.description !== 'string') bare.push(at);
    });
    expect(bare).toEqual([]);
  });
});

test('patterns refuse what the API server should already refuse', () => {
  const found: Record<string, RegExp> = {};
  walk(schemaOf(manifests[0]?.[1] ?? {}), '', (s, at) => {
    if (typeof s.pattern === 'string') found[at] = new RegExp(s.pattern);
  });
  const port = found['.spec.ingress[].toPorts[].ports[].port'];
  for (const good of ['0', '80', '65535', 'http', '8080-http']) expect([good, port?.test(good)]).toEqual([good, true]);
  for (const bad of ['70000', '80abc', '-1', '080', '80-90', '']) expect([bad, port?.test(bad)]).toEqual([bad, false]);
  const formats: unknown[] = [];
  walk(schemaOf(manifests[0]?.[1] ?? {}), '', (x, at) => {
    if (/CIDR\[\]$|\.cidr$|\.except\[\]$/.test(at)) formats.push(x.format);
  });
  expect(formats.length).toBe(24);
  expect(new Set(formats)).toEqual(new Set(['cidr']));
});
