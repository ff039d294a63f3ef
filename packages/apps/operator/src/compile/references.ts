// Keeps what policies may refer to: Services with their backends, and CIDR groups. Called by the bindings.
import type { IpAddr } from '@axoneme/model';
import {
  type CidrGroup,
  createReferenceIndex,
  parseCidrGroup,
  type ReferencedService,
  type References,
  serviceLabels,
} from '@axoneme/policy';
import { canonicalJson } from '@axoneme/std';
import type { CidrGroupRow } from '../world/rows.ts';
import type { Dirty, Tables } from '../world/world.ts';
import { parseIps } from './addresses.ts';

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

type Raw = Readonly<Record<string, unknown>>;

interface RawService {
  readonly metadata?: { readonly labels?: Readonly<Record<string, string>> };
  readonly spec?: { readonly selector?: Readonly<Record<string, string>> | null };
}

interface RawSlice {
  readonly metadata?: { readonly namespace?: string; readonly labels?: Readonly<Record<string, string>> };
  readonly addressType?: string;
  readonly endpoints?: readonly { readonly addresses?: readonly string[] }[] | null;
}

/** Key of the Service of a slice with addresses. */
function serviceOfSlice(raw: Raw): string | undefined {
  const { metadata, addressType } = raw as RawSlice;
  const name = metadata?.labels?.['kubernetes.io/service-name'] ?? '';
  return name === '' || addressType === 'FQDN' ? undefined : `${metadata?.namespace ?? ''}/${name}`;
}

const addressesOfSlice = (raw: Raw): IpAddr[] => parseIps(((raw as RawSlice).endpoints ?? []).flatMap((e) => e.addresses ?? []));

/** Which slices belong to which Service. */
function createSliceIndex(): { take(key: string, tables: Tables): string[]; of(service: string): Iterable<string> } {
  const serviceOf = new Map<string, string>();
  const slicesOf = new Map<string, Set<string>>();
  return {
    take(key, tables) {
      const raw = tables.slices.get(key);
      const before = serviceOf.get(key);
      const after = raw === undefined ? undefined : serviceOfSlice(raw);
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

const readGroup = (row: CidrGroupRow): CidrGroup =>
  parseCidrGroup({ metadata: { name: row.name, labels: row.labels }, spec: { externalCIDRs: row.cidrs } }).group;

export function createReferenceFeed(): ReferenceFeed {
  const index = createReferenceIndex();
  const services = new Map<string, ReferencedService>();
  const slices = createSliceIndex();

  const read = (key: string, tables: Tables): ReferencedService | undefined => {
    const raw = tables.services.get(key) as RawService | undefined;
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
      return raw === undefined ? [] : addressesOfSlice(raw);
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
