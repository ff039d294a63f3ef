// The operator's view of the cluster: one mutable set of tables of immutable rows, and what changed since the last compile.
// Written by the sources and by agents' reports; read by the compile loop.
import type {
  CidrGroupRow,
  CiliumNodeRow,
  DownRow,
  EndpointRow,
  IdentityRow,
  L2LeaseRow,
  NamespaceRow,
  NodeRow,
  PodRow,
  PolicyRow,
} from './rows.ts';

export interface Tables {
  readonly pods: Map<string, PodRow>;
  readonly namespaces: Map<string, NamespaceRow>;
  readonly nodes: Map<string, NodeRow>;
  /** Raw Service and EndpointSlice objects: the service engine parses them. */
  readonly services: Map<string, Readonly<Record<string, unknown>>>;
  readonly slices: Map<string, Readonly<Record<string, unknown>>>;
  /** Key `Kind:namespace/name`, without the namespace for cluster-wide kinds. */
  readonly policies: Map<string, PolicyRow>;
  readonly cidrGroups: Map<string, CidrGroupRow>;
  /** Raw CiliumLoadBalancerIPPool objects. */
  readonly lbPools: Map<string, Readonly<Record<string, unknown>>>;
  /** Raw CiliumL2AnnouncementPolicy objects. */
  readonly l2Policies: Map<string, Readonly<Record<string, unknown>>>;
  readonly l2Leases: Map<string, L2LeaseRow>;
  /** Raw CiliumLocalRedirectPolicy objects. */
  readonly localRedirects: Map<string, Readonly<Record<string, unknown>>>;
  /** Raw ReachabilityInvariant objects. */
  readonly invariants: Map<string, Readonly<Record<string, unknown>>>;
  /** Raw LoadBalancerFleet objects. */
  readonly fleets: Map<string, Readonly<Record<string, unknown>>>;
  /** By fleet, while this replica judges: backends whose checks fail. */
  readonly downTargets: Map<string, DownRow>;
  /** Nodes that are connected and can check backends. */
  readonly probers: Map<string, true>;
  readonly identities: Map<string, IdentityRow>;
  readonly ciliumNodes: Map<string, CiliumNodeRow>;
  /** Key `node|namespace/pod|uid`. */
  readonly endpoints: Map<string, EndpointRow>;
}

export type TableName = keyof Tables;

export type Dirty = ReadonlyMap<TableName, ReadonlySet<string>>;

export interface World {
  readonly tables: Tables;
  /** Inserts or replaces; tells the loop. */
  set<K extends TableName>(table: K, key: string, row: Tables[K] extends Map<string, infer R> ? R : never): void;
  remove(table: TableName, key: string): void;
  /** Keys changed since the last call, by table. */
  takeDirty(): Dirty;
  /** Called after every change; must not throw. */
  onChange(fn: () => void): void;
}

export function createWorld(): World {
  const tables: Tables = {
    pods: new Map(),
    namespaces: new Map(),
    nodes: new Map(),
    services: new Map(),
    slices: new Map(),
    policies: new Map(),
    cidrGroups: new Map(),
    lbPools: new Map(),
    localRedirects: new Map(),
    l2Policies: new Map(),
    l2Leases: new Map(),
    invariants: new Map(),
    fleets: new Map(),
    downTargets: new Map(),
    probers: new Map(),
    identities: new Map(),
    ciliumNodes: new Map(),
    endpoints: new Map(),
  };
  const listeners: (() => void)[] = [];
  let dirty = new Map<TableName, Set<string>>();
  const touched = (t: TableName, key: string): void => {
    const keys = dirty.get(t);
    if (keys === undefined) dirty.set(t, new Set([key]));
    else keys.add(key);
    for (const l of listeners) l();
  };
  return {
    tables,
    set(table, key, row) {
      (tables[table] as Map<string, unknown>).set(key, row);
      touched(table, key);
    },
    remove(table, key) {
      if (tables[table].delete(key)) touched(table, key);
    },
    takeDirty() {
      const d = dirty;
      dirty = new Map();
      return d;
    },
    onChange(fn) {
      listeners.push(fn);
    },
  };
}
