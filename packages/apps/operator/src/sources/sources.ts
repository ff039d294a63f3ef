// One reflector per kind the operator reads; each projects objects to rows and notes changes in the world. Called by wiring.ts.

import { type Clock, canonicalJson, type Health, type Living, type Log } from '@axoneme/std';
import {
  type Change,
  createReflector,
  type KubeClient,
  type KubeObject,
  type Reflector,
  type Resource,
  resources,
  type Selection,
} from 'kopf-ts';
import type { OperatorConfig } from '../config.ts';
import {
  L2_LABEL,
  projectCidrGroup,
  projectCiliumNode,
  projectIdentity,
  projectL2Lease,
  projectNamespace,
  projectNode,
  projectPod,
  projectPolicy,
} from '../world/project.ts';
import { type L2LeaseRow, type PolicyKind, policyRowKey } from '../world/rows.ts';
import type { TableName, World } from '../world/world.ts';

const cilium = (plural: string, kind: string, namespaced: boolean): Resource => ({
  group: 'cilium.io',
  version: 'v2',
  plural,
  kind,
  namespaced,
});

function tiered(version: string, plural: string, kind: string): Resource {
  return { group: 'policy.networking.k8s.io', version, plural, kind, namespaced: false };
}

/** The collections of the policy API group that the operator reads and writes. */
export const ciliumResources = {
  networkPolicies: cilium('ciliumnetworkpolicies', 'CiliumNetworkPolicy', true),
  clusterwidePolicies: cilium('ciliumclusterwidenetworkpolicies', 'CiliumClusterwideNetworkPolicy', false),
  identities: cilium('ciliumidentities', 'CiliumIdentity', false),
  endpoints: cilium('ciliumendpoints', 'CiliumEndpoint', true),
  nodes: cilium('ciliumnodes', 'CiliumNode', false),
  cidrGroups: cilium('ciliumcidrgroups', 'CiliumCIDRGroup', false),
  lbPools: cilium('ciliumloadbalancerippools', 'CiliumLoadBalancerIPPool', false),
  localRedirects: cilium('ciliumlocalredirectpolicies', 'CiliumLocalRedirectPolicy', true),
  l2Policies: { ...cilium('ciliuml2announcementpolicies', 'CiliumL2AnnouncementPolicy', false), version: 'v2alpha1' },
} as const;

/** Where each kind of policy object is stored. */
export const policyResources: Readonly<Record<PolicyKind, Resource>> = {
  CiliumNetworkPolicy: ciliumResources.networkPolicies,
  CiliumClusterwideNetworkPolicy: ciliumResources.clusterwidePolicies,
  NetworkPolicy: { group: 'networking.k8s.io', version: 'v1', plural: 'networkpolicies', kind: 'NetworkPolicy', namespaced: true },
  AdminNetworkPolicy: tiered('v1alpha1', 'adminnetworkpolicies', 'AdminNetworkPolicy'),
  BaselineAdminNetworkPolicy: tiered('v1alpha1', 'baselineadminnetworkpolicies', 'BaselineAdminNetworkPolicy'),
  ClusterNetworkPolicy: tiered('v1alpha2', 'clusternetworkpolicies', 'ClusterNetworkPolicy'),
};

export const invariantResource: Resource = {
  group: 'axoneme.io',
  version: 'v1alpha1',
  plural: 'reachabilityinvariants',
  kind: 'ReachabilityInvariant',
  namespaced: false,
};

export const fleetResource: Resource = {
  group: 'axoneme.io',
  version: 'v1alpha1',
  plural: 'loadbalancerfleets',
  kind: 'LoadBalancerFleet',
  namespaced: false,
};

type Raw = Readonly<Record<string, unknown>>;

interface SourceSpec {
  readonly resource: Resource;
  readonly table: TableName;
  readonly keyPrefix?: string;
  readonly project: (o: Raw) => unknown;
  /** Its CRD need not be installed: empty until it is. */
  readonly optional?: boolean;
  readonly selection?: Selection;
}

/** How soon a kind is noticed whose CRD is installed later. */
const ABSENT_MS = 5_000;

const policySource = (kind: PolicyKind, optional = false): SourceSpec => ({
  resource: policyResources[kind],
  table: 'policies',
  keyPrefix: policyRowKey(kind, ''),
  project: (o) => projectPolicy(kind, o),
  optional,
});

function withoutNoise(o: Raw): Raw {
  const { managedFields: _dropped, ...metadata } = (o.metadata ?? {}) as Raw;
  return { ...o, metadata };
}

const specs: readonly SourceSpec[] = [
  { resource: resources.namespaces, table: 'namespaces', project: projectNamespace },
  { resource: resources.nodes, table: 'nodes', project: projectNode },
  { resource: resources.pods, table: 'pods', project: projectPod },
  { resource: resources.services, table: 'services', project: withoutNoise },
  { resource: resources.endpointSlices, table: 'slices', project: withoutNoise },
  policySource('CiliumNetworkPolicy'),
  policySource('CiliumClusterwideNetworkPolicy'),
  policySource('NetworkPolicy'),
  policySource('AdminNetworkPolicy', true),
  policySource('BaselineAdminNetworkPolicy', true),
  policySource('ClusterNetworkPolicy', true),
  { resource: ciliumResources.cidrGroups, table: 'cidrGroups', project: projectCidrGroup, optional: true },
  { resource: ciliumResources.lbPools, table: 'lbPools', project: withoutNoise, optional: true },
  { resource: ciliumResources.localRedirects, table: 'localRedirects', project: withoutNoise, optional: true },
  { resource: invariantResource, table: 'invariants', project: withoutNoise, optional: true },
  { resource: fleetResource, table: 'fleets', project: withoutNoise, optional: true },
  { resource: ciliumResources.identities, table: 'identities', project: projectIdentity },
  { resource: ciliumResources.nodes, table: 'ciliumNodes', project: projectCiliumNode },
];

/** Tables of rows that leave most of an object out: a heartbeat of a node, say, changes no row and is nobody's business. */
const trimmed: ReadonlySet<TableName> = new Set(['pods', 'namespaces', 'nodes', 'identities', 'ciliumNodes', 'cidrGroups']);
const sameRow = (a: unknown, b: unknown): boolean => a !== undefined && canonicalJson(a) === canonicalJson(b);

/** Who announces which addresses is kept in Leases beside the operator's own. */
const l2Sources = (namespace: string): readonly SourceSpec[] => [
  { resource: ciliumResources.l2Policies, table: 'l2Policies', project: withoutNoise, optional: true },
  { resource: resources.leases, table: 'l2Leases', project: projectL2Lease, selection: { namespace, labelSelector: L2_LABEL } },
];

/** What we wrote ourselves is known before the watch tells of it, and what it tells of the time before must not undo that. */
const outdated = (held: L2LeaseRow | undefined, told: L2LeaseRow): boolean =>
  held?.uid === told.uid && Number(held.resourceVersion) > Number(told.resourceVersion);

export interface Sources extends Living {
  /** Resolves after the first complete list of every kind. */
  readonly synced: Promise<void>;
  /** Milliseconds since each source last heard from the API server. */
  ages(): Readonly<Record<string, number>>;
  /** Collections missing or unreadable right now. */
  oldestMs(): number;
}

export function createSources(deps: {
  readonly client: KubeClient;
  readonly world: World;
  readonly log: Log;
  readonly clock: Clock;
  readonly config: Pick<OperatorConfig, 'podNamespace' | 'l2AnnouncementsEnabled'>;
}): Sources {
  const { client, world, log, clock, config } = deps;
  const all = config.l2AnnouncementsEnabled ? [...specs, ...l2Sources(config.podNamespace)] : specs;
  const reflectors: Reflector<unknown>[] = all.map((s) => {
    const prefix = s.keyPrefix ?? '';
    return createReflector<unknown>({
      client,
      resource: s.resource,
      ...s.selection,
      log,
      clock,
      ...(s.optional === true ? { absentMs: ABSENT_MS } : {}),
      project: (o: KubeObject) => s.project(o as unknown as Raw),
      onChange: (c: Change<unknown>) => {
        const key = prefix + c.key;
        if (c.kind === 'delete') world.remove(s.table, key);
        else if (s.table === 'l2Leases' && outdated(world.tables.l2Leases.get(key), c.value as L2LeaseRow)) return;
        else if (trimmed.has(s.table) && sameRow(world.tables[s.table].get(key), c.value)) return;
        else world.set(s.table, key, c.value as never);
      },
    });
  });
  return {
    name: 'sources',
    synced: Promise.all(reflectors.map((r) => r.synced)).then(() => undefined),
    async start(signal) {
      await Promise.all(reflectors.map((r) => r.start(signal)));
    },
    health(): Health {
      const bad = reflectors.filter((r) => r.health().state !== 'ok').map((r) => r.resource.plural);
      return bad.length === 0 ? { state: 'ok' } : { state: 'degraded', reason: `no news of ${bad.join(', ')}` };
    },
    ages: () => Object.fromEntries(reflectors.map((r) => [r.resource.plural, Math.floor(Math.min(r.ageMs(), 0xffff_ffff))])),
    oldestMs: () => Math.max(...reflectors.map((r) => r.ageMs())),
  };
}
