// From a stored CRD to served resources, and the conditions that say so. Called by ./runtime.ts.
import { asList, asObj, isObj, type Obj, timeText } from '../obj.ts';
import type { CustomFacts, PrinterColumn, Resource, ScalePaths } from '../registry.ts';
import type { KubeObject } from '../types.ts';
import { rootSchema } from './structural.ts';

/** Served versions of a CRD, best first. */
export function resourcesOf(crd: KubeObject): Resource[] {
  const spec = asObj(crd.spec);
  const names = asObj(spec.names);
  const group = String(spec.group);
  const versions = asList(spec.versions).map(asObj);
  const storageVersion = String(versions.find((v) => v.storage === true)?.name ?? versions[0]?.name);
  const words = (v: unknown): string[] => asList(v).map(String);
  return versions
    .filter((v) => v.served === true)
    .sort((a, b) => compareVersions(String(a.name), String(b.name)))
    .map((v) => {
      const subs = asObj(v.subresources);
      const scale = scaleOf(subs);
      const custom: CustomFacts = {
        crdName: crd.metadata.name ?? '',
        columns: asList(v.additionalPrinterColumns).filter(isObj) as unknown as PrinterColumn[],
        selectable: asList(v.selectableFields).map((f) => String(asObj(f).jsonPath).replace(/^\./, '')),
        storageVersion,
        ...(v.deprecated === true
          ? { deprecationWarning: String(v.deprecationWarning ?? `${group}/${v.name} ${names.kind} is deprecated`) }
          : {}),
      };
      return {
        group,
        version: String(v.name),
        resource: String(names.plural),
        kind: String(names.kind),
        listKind: String(names.listKind ?? `${names.kind}List`),
        singular: String(names.singular ?? String(names.kind).toLowerCase()),
        shortNames: words(names.shortNames),
        categories: words(names.categories),
        namespaced: spec.scope === 'Namespaced',
        hasGeneration: true,
        virtual: false,
        subresources: [...(subs.status === undefined ? [] : ['status']), ...(scale === undefined ? [] : ['scale'])],
        typeName: '',
        schema: rootSchema(asObj(v.schema).openAPIV3Schema),
        custom,
        storage: `${group}/${String(names.plural)}`,
        ...(scale === undefined ? {} : { scale }),
      };
    });
}

function scaleOf(subs: Obj): ScalePaths | undefined {
  if (!isObj(subs.scale)) return undefined;
  const { specReplicasPath, statusReplicasPath, labelSelectorPath } = subs.scale;
  return {
    spec: String(specReplicasPath),
    status: String(statusReplicasPath),
    ...(labelSelectorPath === undefined ? {} : { selector: String(labelSelectorPath) }),
  };
}

/** GA before beta before alpha, higher numbers first. */
export function compareVersions(a: string, b: string): number {
  const rank = (v: string): readonly [number, number, number] => {
    const m = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(v);
    if (m === null) return [3, 0, 0];
    return [m[2] === undefined ? 0 : m[2] === 'beta' ? 1 : 2, -Number(m[1]), -Number(m[3] ?? 0)];
  };
  const x = rank(a);
  const y = rank(b);
  return x[0] - y[0] || x[1] - y[1] || x[2] - y[2] || (a < b ? -1 : a > b ? 1 : 0);
}

/** Status of an accepted CRD: established at once. */
export function establishedStatus(crd: KubeObject, nowMs: number): Obj {
  const old = asObj(crd.status);
  const spec = asObj(crd.spec);
  const storage = asList(spec.versions)
    .map(asObj)
    .find((v) => v.storage === true)?.name;
  const stored = [...new Set([...asList(old.storedVersions), storage].filter((v) => v !== undefined))];
  const had = asList(old.conditions).map(asObj);
  const condition = (type: string, reason: string, message: string): Obj => {
    const before = had.find((c) => c.type === type && c.status === 'True');
    return { type, status: 'True', reason, message, lastTransitionTime: before?.lastTransitionTime ?? timeText(nowMs) };
  };
  return {
    conditions: [
      condition('NamesAccepted', 'NoConflicts', 'no conflicts found'),
      condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
    ],
    acceptedNames: asObj(spec.names),
    storedVersions: stored,
  };
}
