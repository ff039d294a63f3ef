// Keeps what policies may refer to: Services with their backends, and CIDR groups. Called by the bindings.
import { type Cidr, type IpAddr, parseCidrOrIp } from '@axoneme/model';
import {
  type CidrGroup,
  cidrGroupLabels,
  createReferenceIndex,
  type ReferencedService,
  type References,
  serviceLabels,
} from '@axoneme/policy';
import { type RawService, readEndpointSlice } from '@axoneme/service';
import { canonicalJson } from '@axoneme/std';
import type { CidrGroupRow } from '../world/rows.ts';
import type { Dirty, Tables } from '../world/world.ts';

/** Old and new version of one object; one of them may be missing. */
export interface ReferenceChange<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
}

export interface ReferenceFeed {
  readonly references: References;
  /** Services that differ from before. */
  takeServices(tables: Tables, dirty: Dirty): readonly ReferenceChange<ReferencedService>[];
  putGroup(name: string, row: CidrGroupRow | undefined): ReferenceChange<CidrGroup> | undefined;
}

type RawSpec = RawService & {
  readonly metadata?: { readonly labels?: Readonly<Record<string, string>> };
  readonly spec?: { readonly selector?: Readonly<Record<string, string>> | null };
};

/** Which slices belong to which Service. */
function createSliceIndex(): { take(key: string, tables: Tables): string[]; of(service: string): Iterable<string> } {
  const serviceOf = new Map<string, string>();
  const slicesOf = new Map<string, Set<string>>();
  return {
    take(key, tables) {
      const raw = tables.slices.get(key);
      const before = serviceOf.get(key);
      const after = raw === undefined ? undefined : readEndpointSlice(raw)?.service;
      if (before !== undefined && before !== after) slicesOf.get(before)?.delete(key);
      if (after === undefined) serviceOf.delete(key);
      else {
        serviceOf.set(key, after);
        slicesOf.set(after, (slicesOf.get(after) ?? new Set()).add(key));
      }
      return [before, after].filter((s) => s !== undefined);
    },
    of: (service) => slicesOf.get(service) ?? [],
  };
}

const same = (a: unknown, b: unknown): boolean => canonicalJson(a ?? null) === canonicalJson(b ?? null);

const essence = (s: ReferencedService | undefined): unknown => s && [s.labels.text, s.selector ?? {}, s.addresses];

function readGroup(row: CidrGroupRow): CidrGroup {
  const cidrs = row.cidrs.flatMap((text): Cidr[] => {
    const c = parseCidrOrIp(text);
    return c.ok ? [c.value] : [];
  });
  return { name: row.name, labels: cidrGroupLabels(row.name, row.labels), cidrs };
}

export function createReferenceFeed(): ReferenceFeed {
  const index = createReferenceIndex();
  const services = new Map<string, ReferencedService>();
  const slices = createSliceIndex();

  const read = (key: string, tables: Tables): ReferencedService | undefined => {
    const raw = tables.services.get(key) as RawSpec | undefined;
    if (raw === undefined) return undefined;
    const selector = raw.spec?.selector ?? undefined;
    const bare = selector === undefined || Object.keys(selector).length === 0;
    const [namespace = '', name = ''] = key.split('/');
    return {
      namespace,
      name,
      labels: serviceLabels(raw.metadata?.labels ?? {}),
      ...(bare ? {} : { selector }),
      addresses: bare ? addressesOf(key, tables) : [],
    };
  };
  const addressesOf = (service: string, tables: Tables): IpAddr[] => {
    const all = [...slices.of(service)].flatMap((key) => {
      const raw = tables.slices.get(key);
      return raw === undefined ? [] : (readEndpointSlice(raw)?.endpoints.flatMap((e) => e.addresses) ?? []);
    });
    return [...new Set(all)].sort();
  };

  return {
    references: index,
    takeServices(tables, dirty) {
      const keys = new Set(dirty.get('services'));
      for (const slice of dirty.get('slices') ?? []) for (const service of slices.take(slice, tables)) keys.add(service);
      return [...keys].flatMap((key) => {
        const before = services.get(key);
        const after = read(key, tables);
        if (same(essence(before), essence(after))) return [];
        if (after !== undefined) {
          services.set(key, after);
          index.putService(after);
        } else if (before !== undefined) {
          services.delete(key);
          index.dropService(before.namespace, before.name);
        }
        return [{ before, after }];
      });
    },
    putGroup(name, row) {
      const before = index.cidrGroup(name);
      const after = row === undefined ? undefined : readGroup(row);
      if (same([before?.labels.text, before?.cidrs], [after?.labels.text, after?.cidrs])) return undefined;
      if (after === undefined) index.dropCidrGroup(name);
      else index.putCidrGroup(after);
      return { before, after };
    },
  };
}
