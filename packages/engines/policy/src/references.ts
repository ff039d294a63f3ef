// Services and CIDR groups as policies see them: plain rows and an index over them. The operator keeps one; the command line makes one of files.
import { type Cidr, createLabels, type IpAddr, type Labels } from '@axoneme/model';

export interface ReferencedService {
  readonly namespace: string;
  readonly name: string;
  /** Made by `serviceLabels`. */
  readonly labels: Labels;
  /** Of its pods; absent or empty: there is none. */
  readonly selector?: Readonly<Record<string, string>> | undefined;
  /** Backends; read only if there is no selector. */
  readonly addresses: readonly IpAddr[];
}

export interface CidrGroup {
  readonly name: string;
  /** Made by `cidrGroupLabels`. */
  readonly labels: Labels;
  readonly cidrs: readonly Cidr[];
}

/** What exists. */
export interface References {
  /** Empty namespace: of every namespace. */
  servicesNamed(namespace: string, name: string): Iterable<ReferencedService>;
  servicesIn(namespace: string): Iterable<ReferencedService>;
  cidrGroup(name: string): CidrGroup | undefined;
  cidrGroups(): Iterable<CidrGroup>;
}

/** The same and the means to keep it current. */
export interface ReferenceIndex extends References {
  putService(service: ReferencedService): void;
  dropService(namespace: string, name: string): void;
  putCidrGroup(group: CidrGroup): void;
  dropCidrGroup(name: string): void;
}

export const serviceLabels = (labels: Readonly<Record<string, string>>): Labels =>
  createLabels(Object.entries(labels).map(([key, value]) => ({ source: 'k8s', key, value })));

const groupNamePrefix = 'io.cilium.policy.cidrgroupname/';

/** Labels of the object, and one that names it. */
export const cidrGroupLabels = (name: string, labels: Readonly<Record<string, string>>): Labels =>
  createLabels([
    ...Object.entries(labels).map(([key, value]) => ({ source: 'cidrgroup', key, value })),
    { source: 'cidrgroup', key: groupNamePrefix + name, value: '' },
  ]);

export function createReferenceIndex(services: Iterable<ReferencedService> = [], groups: Iterable<CidrGroup> = []): ReferenceIndex {
  const byNamespace = new Map<string, Map<string, ReferencedService>>();
  const byName = new Map<string, Map<string, ReferencedService>>();
  const groupsByName = new Map<string, CidrGroup>();
  const index: ReferenceIndex = {
    servicesNamed(namespace, name) {
      if (namespace === '') return byName.get(name)?.values() ?? [];
      const one = byNamespace.get(namespace)?.get(name);
      return one === undefined ? [] : [one];
    },
    servicesIn: (namespace) =>
      namespace === '' ? [...byNamespace.values()].flatMap((m) => [...m.values()]) : (byNamespace.get(namespace)?.values() ?? []),
    cidrGroup: (name) => groupsByName.get(name),
    cidrGroups: () => groupsByName.values(),
    putService(s) {
      inner(byNamespace, s.namespace).set(s.name, s);
      inner(byName, s.name).set(s.namespace, s);
    },
    dropService(namespace, name) {
      drop(byNamespace, namespace, name);
      drop(byName, name, namespace);
    },
    putCidrGroup: (g) => void groupsByName.set(g.name, g),
    dropCidrGroup: (name) => void groupsByName.delete(name),
  };
  for (const s of services) index.putService(s);
  for (const g of groups) index.putCidrGroup(g);
  return index;
}

function inner<V>(map: Map<string, Map<string, V>>, key: string): Map<string, V> {
  const found = map.get(key) ?? new Map<string, V>();
  map.set(key, found);
  return found;
}

function drop<V>(map: Map<string, Map<string, V>>, outer: string, key: string): void {
  const found = map.get(outer);
  found?.delete(key);
  if (found?.size === 0) map.delete(outer);
}
