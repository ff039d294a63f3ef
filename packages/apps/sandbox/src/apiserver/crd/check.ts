// Checks of a CustomResourceDefinition itself: names, versions, structural schema. Users paste broken ones. Called by ../kinds/validate.ts.
import { asList, asObj, isObj, type Obj } from '../obj.ts';
import { type Cause, forbiddenField, invalidValue, requiredValue, unsupportedValue } from '../status-error.ts';
import type { KubeObject } from '../types.ts';

const problemsMax = 50;

export function crdCauses(o: KubeObject, old: KubeObject | undefined): Cause[] {
  const out: Cause[] = [];
  const spec = asObj(o.spec);
  const names = asObj(spec.names);
  for (const [field, v] of [
    ['spec.group', spec.group],
    ['spec.names.plural', names.plural],
    ['spec.names.kind', names.kind],
  ] as const) {
    if (v === undefined || v === '') out.push(requiredValue(field));
  }
  const want = `${String(names.plural)}.${String(spec.group)}`;
  if (o.metadata.name !== want) out.push(invalidValue('metadata.name', o.metadata.name, 'must be spec.names.plural+"."+spec.group'));
  if (spec.scope !== 'Namespaced' && spec.scope !== 'Cluster')
    out.push(unsupportedValue('spec.scope', spec.scope ?? '', ['Cluster', 'Namespaced']));
  const versions = asList(spec.versions).map(asObj);
  if (versions.length === 0) out.push(requiredValue('spec.versions'));
  const storage = versions.filter((v) => v.storage === true).length;
  if (versions.length > 0 && storage !== 1)
    out.push(
      invalidValue(
        'spec.versions',
        versions.map((v) => v.name),
        'must have exactly one version marked as storage version',
      ),
    );
  versions.forEach((v, i) => {
    versionCauses(v, `spec.versions[${i}]`, out);
  });
  if (old !== undefined) {
    const before = asObj(old.spec);
    if (before.scope !== spec.scope) out.push(invalidValue('spec.scope', spec.scope, 'field is immutable'));
    if (asObj(before.names).kind !== names.kind) out.push(invalidValue('spec.names.kind', names.kind, 'field is immutable'));
  }
  return out.slice(0, problemsMax);
}

function versionCauses(v: Obj, at: string, out: Cause[]): void {
  if (!/^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(String(v.name))) out.push(invalidValue(`${at}.name`, v.name, 'must be a DNS-1035 label'));
  const schema = asObj(v.schema).openAPIV3Schema;
  if (!isObj(schema)) {
    out.push(requiredValue(`${at}.schema.openAPIV3Schema`, 'schemas are required'));
    return;
  }
  if (schema.type !== 'object')
    out.push(invalidValue(`${at}.schema.openAPIV3Schema.type`, schema.type ?? '', 'must be object at the root'));
  structuralCauses(schema, `${at}.schema.openAPIV3Schema`, out, 0);
  const scale = asObj(v.subresources).scale;
  if (isObj(scale)) {
    if (!String(scale.specReplicasPath).startsWith('.spec.'))
      out.push(invalidValue(`${at}.subresources.scale.specReplicasPath`, scale.specReplicasPath, 'should be a json path under .spec'));
    if (!String(scale.statusReplicasPath).startsWith('.status.'))
      out.push(
        invalidValue(`${at}.subresources.scale.statusReplicasPath`, scale.statusReplicasPath, 'should be a json path under .status'),
      );
  }
}

const types = ['object', 'array', 'string', 'integer', 'number', 'boolean'];

function structuralCauses(s: Obj, at: string, out: Cause[], depth: number): void {
  if (out.length > problemsMax || depth > 60) return;
  const free = s['x-kubernetes-preserve-unknown-fields'] === true || s['x-kubernetes-int-or-string'] === true;
  if (s.type === undefined && !free) out.push(requiredValue(`${at}.type`, 'must not be empty for specified object fields'));
  if (s.type !== undefined && !types.includes(String(s.type))) out.push(unsupportedValue(`${at}.type`, s.type, types));
  if (s.$ref !== undefined) out.push(forbiddenField(`${at}.$ref`, '$ref is not supported'));
  if (s.properties !== undefined && s.additionalProperties !== undefined && s.additionalProperties !== null) {
    out.push(forbiddenField(`${at}.additionalProperties`, 'additionalProperties and properties are mutual exclusive'));
  }
  if (s.type === 'array' && !isObj(s.items)) out.push(requiredValue(`${at}.items`, 'must be specified'));
  listCauses(s, at, out);
  asList(s['x-kubernetes-validations']).forEach((r, i) => {
    if (String(asObj(r).rule ?? '').trim() === '')
      out.push(requiredValue(`${at}.x-kubernetes-validations[${i}].rule`, 'rule is not specified'));
  });
  for (const [k, p] of Object.entries(asObj(s.properties)))
    if (isObj(p) && !(depth === 0 && k === 'metadata')) structuralCauses(p, `${at}.properties[${k}]`, out, depth + 1);
  if (isObj(s.items)) structuralCauses(s.items, `${at}.items`, out, depth + 1);
  if (isObj(s.additionalProperties)) structuralCauses(s.additionalProperties, `${at}.additionalProperties`, out, depth + 1);
}

function listCauses(s: Obj, at: string, out: Cause[]): void {
  const listType = s['x-kubernetes-list-type'];
  if (listType === undefined) return;
  if (!['atomic', 'set', 'map'].includes(String(listType)))
    out.push(unsupportedValue(`${at}.x-kubernetes-list-type`, listType, ['atomic', 'map', 'set']));
  if (s.type !== 'array') out.push(invalidValue(`${at}.type`, s.type ?? '', 'must be array if x-kubernetes-list-type is specified'));
  if (listType !== 'map') return;
  const keys = asList(s['x-kubernetes-list-map-keys']);
  if (keys.length === 0) out.push(requiredValue(`${at}.x-kubernetes-list-map-keys`, 'must not be empty if x-kubernetes-list-type is map'));
  const items = asObj(s.items);
  for (const k of keys) {
    const p = asObj(items.properties)[String(k)];
    if (!isObj(p)) out.push(invalidValue(`${at}.x-kubernetes-list-map-keys`, k, 'entries must all be names of item properties'));
    else if (!asList(items.required).includes(k) && p.default === undefined) {
      out.push(
        requiredValue(
          `${at}.items.properties[${String(k)}].default`,
          'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
        ),
      );
    }
  }
}
