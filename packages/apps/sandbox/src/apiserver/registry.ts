// Which resources are served: the built-in table plus what CRDs add. Everybody looks resources up here.
import { builtinResources } from './data/resources.ts';
import { kindSchema } from './schema/builtin.ts';
import type { Schema } from './schema/model.ts';
import type { Gvr } from './types.ts';

export interface ScalePaths {
  readonly spec: string;
  readonly status: string;
  readonly selector?: string;
}

export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  readonly priority?: number;
  readonly jsonPath: string;
}

/** What only custom resources have. */
export interface CustomFacts {
  readonly crdName: string;
  readonly columns: readonly PrinterColumn[];
  readonly selectable: readonly string[];
  readonly deprecationWarning?: string;
  /** Versions in order of preference. */
  readonly storageVersion: string;
}

export interface Resource extends Gvr {
  readonly kind: string;
  readonly listKind: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly hasGeneration: boolean;
  readonly virtual: boolean;
  readonly subresources: readonly string[];
  /** Name in the type table; empty for custom resources. */
  readonly typeName: string;
  readonly schema: Schema;
  readonly scale?: ScalePaths;
  readonly custom?: CustomFacts;
  /** Collection the objects live in. */
  readonly storage: string;
}

const workloadScale: ScalePaths = { spec: '.spec.replicas', status: '.status.replicas', selector: '' };

export function apiVersionOf(r: Gvr): string {
  return r.group === '' ? r.version : `${r.group}/${r.version}`;
}

export function gvrKey(g: Gvr): string {
  return `${g.group}/${g.version}/${g.resource}`;
}

export interface Registry {
  get(g: Gvr): Resource | undefined;
  byKind(group: string, version: string, kind: string): Resource | undefined;
  /** The resource of a collection, for any version. */
  byStorage(group: string, resource: string): Resource | undefined;
  all(): readonly Resource[];
  /** Replaces what one CRD serves; an empty list removes it. */
  setCustom(crdName: string, resources: readonly Resource[]): void;
  /** Counts changes, for ETags. */
  generation(): number;
}

export function createRegistry(): Registry {
  const builtin = parseBuiltin();
  const custom = new Map<string, readonly Resource[]>();
  let byKey = new Map<string, Resource>();
  let list: readonly Resource[] = [];
  let generation = 0;
  const rebuild = (): void => {
    list = [...builtin, ...[...custom.values()].flat()];
    byKey = new Map(list.map((r) => [gvrKey(r), r]));
    generation++;
  };
  rebuild();
  return {
    get: (g) => byKey.get(gvrKey(g)),
    byKind: (group, version, kind) => list.find((r) => r.group === group && r.version === version && r.kind === kind),
    byStorage: (group, resource) => list.find((r) => r.group === group && r.resource === resource),
    all: () => list,
    setCustom(name, resources) {
      if (resources.length === 0) custom.delete(name);
      else custom.set(name, resources);
      rebuild();
    },
    generation: () => generation,
  };
}

function parseBuiltin(): Resource[] {
  return builtinResources
    .trim()
    .split('\n')
    .map((line) => {
      const cell = line.split('|').map((c) => c.trim());
      const at = (i: number): string => cell[i] ?? '';
      const words = (i: number): string[] =>
        at(i)
          .split(' ')
          .filter((w) => w !== '');
      const slash = at(0).split('/');
      const [group, version] = slash.length === 1 ? ['', at(0)] : [slash[0] as string, slash[1] as string];
      const kind = at(2).replace(/\[.*\]/, '');
      const typeName = /\[(.*)\]/.exec(at(2))?.[1] ?? kind;
      const flags = words(4);
      const subresources = words(6);
      return {
        group,
        version,
        resource: at(1),
        kind,
        typeName,
        listKind: `${kind}List`,
        singular: kind.toLowerCase(),
        shortNames: words(3),
        categories: words(5),
        namespaced: flags.includes('n'),
        hasGeneration: flags.includes('g'),
        virtual: flags.includes('v'),
        subresources,
        schema: kindSchema(typeName),
        // one collection under two group names
        storage: at(1) === 'events' ? '/events' : `${group}/${at(1)}`,
        ...(subresources.includes('scale') ? { scale: workloadScale } : {}),
      };
    });
}
