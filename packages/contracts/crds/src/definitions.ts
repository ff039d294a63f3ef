// The kinds we serve: addresses of their collections, names, columns. Called by generate.ts, operator, CLI and sandbox.
import type { z } from 'zod';
import { adminPolicyBody, baselinePolicyBody } from './admin-policy.ts';
import { cidrGroupBody } from './cidr-group.ts';
import { clusterPolicyBody } from './cluster-policy.ts';
import { endpointBody } from './endpoint.ts';
import { identityBody } from './identity.ts';
import { invariantBody } from './invariant.ts';
import { l2AnnouncementPolicyBody } from './l2-announcement-policy.ts';
import { loadBalancerFleetBody } from './load-balancer-fleet.ts';
import { loadBalancerPoolBody } from './load-balancer-pool.ts';
import { localRedirectBody } from './local-redirect.ts';
import { nodeBody } from './node.ts';
import { policyBody } from './policy.ts';

/** Address of a collection; fits kopf-ts' Resource. */
export interface CrdResource {
  readonly group: 'cilium.io' | 'axoneme.io' | 'policy.networking.k8s.io';
  /** The one that is stored. */
  readonly version: 'v2' | 'v2alpha1' | 'v1alpha1' | 'v1alpha2';
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date' | 'boolean';
  readonly jsonPath: string;
  readonly description: string;
  /** 1: only with `-o wide`. */
  readonly priority?: number;
}

export interface CrdDefinition {
  readonly resource: CrdResource;
  /** Older versions with the same schema, served and marked as deprecated. */
  readonly aliases?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly columns: readonly PrinterColumn[];
  readonly statusSubresource: boolean;
  readonly required: readonly string[];
  readonly body: z.ZodType;
}

const of = (kind: string, plural: string, namespaced: boolean): CrdResource => ({
  group: 'cilium.io',
  version: 'v2',
  plural,
  kind,
  namespaced,
});

const adminApi = { group: 'policy.networking.k8s.io' } as const;

export const crdResources = {
  networkPolicies: of('CiliumNetworkPolicy', 'ciliumnetworkpolicies', true),
  clusterwidePolicies: of('CiliumClusterwideNetworkPolicy', 'ciliumclusterwidenetworkpolicies', false),
  identities: of('CiliumIdentity', 'ciliumidentities', false),
  endpoints: of('CiliumEndpoint', 'ciliumendpoints', true),
  nodes: of('CiliumNode', 'ciliumnodes', false),
  cidrGroups: of('CiliumCIDRGroup', 'ciliumcidrgroups', false),
  loadBalancerPools: of('CiliumLoadBalancerIPPool', 'ciliumloadbalancerippools', false),
  l2AnnouncementPolicies: { ...of('CiliumL2AnnouncementPolicy', 'ciliuml2announcementpolicies', false), version: 'v2alpha1' },
  localRedirects: of('CiliumLocalRedirectPolicy', 'ciliumlocalredirectpolicies', true),
  invariants: { ...of('ReachabilityInvariant', 'reachabilityinvariants', false), group: 'axoneme.io', version: 'v1alpha1' },
  fleets: { ...of('LoadBalancerFleet', 'loadbalancerfleets', false), group: 'axoneme.io', version: 'v1alpha1' },
  adminPolicies: { ...of('AdminNetworkPolicy', 'adminnetworkpolicies', false), ...adminApi, version: 'v1alpha1' },
  baselinePolicies: { ...of('BaselineAdminNetworkPolicy', 'baselineadminnetworkpolicies', false), ...adminApi, version: 'v1alpha1' },
  clusterPolicies: { ...of('ClusterNetworkPolicy', 'clusternetworkpolicies', false), ...adminApi, version: 'v1alpha2' },
} as const;

const age: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since creation.' };
const policyColumns: readonly PrinterColumn[] = [
  age,
  {
    name: 'Valid',
    type: 'string',
    jsonPath: '.status.conditions[?(@.type=="Valid")].status',
    description: 'Whether the policy could be read.',
  },
  { name: 'Enforced', type: 'string', jsonPath: '.status.enforced', description: 'Nodes that enforce it, of all nodes that need it.' },
  {
    name: 'Message',
    type: 'string',
    jsonPath: '.status.conditions[?(@.type=="Valid")].message',
    description: 'What is wrong with it.',
    priority: 1,
  },
];
const policies = {
  categories: ['cilium', 'ciliumpolicy'],
  columns: policyColumns,
  statusSubresource: true,
  required: ['metadata'],
  body: policyBody,
};

const column = (name: string, type: PrinterColumn['type'], jsonPath: string, description: string, priority?: number): PrinterColumn => ({
  name,
  type,
  jsonPath,
  description,
  ...(priority === undefined ? {} : { priority }),
});

const priorityColumn = column('Priority', 'integer', '.spec.priority', 'Lower is stronger.');
/** API groups under k8s.io are closed unless the review that admitted the API is named. */
const approvedBy = (review: number): Readonly<Record<string, string>> => ({
  'api-approved.kubernetes.io': `https://github.com/kubernetes-sigs/network-policy-api/pull/${review}`,
});

export const crdDefinitions: readonly CrdDefinition[] = [
  { resource: crdResources.networkPolicies, singular: 'ciliumnetworkpolicy', shortNames: ['cnp', 'ciliumnp'], ...policies },
  { resource: crdResources.clusterwidePolicies, singular: 'ciliumclusterwidenetworkpolicy', shortNames: ['ccnp'], ...policies },
  {
    resource: crdResources.identities,
    singular: 'ciliumidentity',
    shortNames: ['ciliumid'],
    categories: ['cilium'],
    columns: [
      column('Namespace', 'string', '.metadata.labels.io\\.kubernetes\\.pod\\.namespace', 'Namespace of the pods that have the identity.'),
      age,
    ],
    statusSubresource: true,
    required: ['metadata', 'security-labels'],
    body: identityBody,
  },
  {
    resource: crdResources.endpoints,
    singular: 'ciliumendpoint',
    shortNames: ['cep', 'ciliumep'],
    categories: ['cilium'],
    columns: [
      column('Security Identity', 'integer', '.status.identity.id', 'Identity of the pod.'),
      column('Ingress Enforcement', 'string', '.status.policy.ingress.state', 'Enforcement towards the pod.', 1),
      column('Egress Enforcement', 'string', '.status.policy.egress.state', 'Enforcement from the pod.', 1),
      column('Endpoint State', 'string', '.status.state', 'Life of the endpoint.'),
      column('IPv4', 'string', '.status.networking.addressing[0].ipv4', 'IPv4 address.'),
      column('IPv6', 'string', '.status.networking.addressing[0].ipv6', 'IPv6 address.'),
    ],
    statusSubresource: false,
    required: ['metadata'],
    body: endpointBody,
  },
  {
    resource: crdResources.nodes,
    singular: 'ciliumnode',
    shortNames: ['cn', 'ciliumn'],
    categories: ['cilium'],
    columns: [
      column(
        'CiliumInternalIP',
        'string',
        '.spec.addresses[?(@.type=="CiliumInternalIP")].ip',
        'Address of the node inside the pod network.',
      ),
      column('InternalIP', 'string', '.spec.addresses[?(@.type=="InternalIP")].ip', 'Address of the node.'),
      column('PodCIDRs', 'string', '.spec.ipam.podCIDRs', 'Address blocks of the node.'),
      age,
    ],
    statusSubresource: true,
    required: ['metadata', 'spec'],
    body: nodeBody,
  },
  {
    resource: crdResources.cidrGroups,
    aliases: ['v2alpha1'],
    singular: 'ciliumcidrgroup',
    shortNames: ['ccg'],
    categories: ['cilium'],
    columns: [age],
    statusSubresource: false,
    required: ['metadata', 'spec'],
    body: cidrGroupBody,
  },
  {
    resource: crdResources.loadBalancerPools,
    aliases: ['v2alpha1'],
    singular: 'ciliumloadbalancerippool',
    shortNames: ['ippools', 'ippool', 'lbippool', 'lbippools'],
    categories: ['cilium'],
    columns: [
      column('Disabled', 'boolean', '.spec.disabled', 'Whether it gives no new addresses.'),
      column(
        'Conflicting',
        'string',
        '.status.conditions[?(@.type=="cilium.io/PoolConflict")].status',
        'Whether it shares addresses with an older pool.',
      ),
      column('IPs Available', 'string', '.status.conditions[?(@.type=="cilium.io/IPsAvailable")].message', 'Addresses that nobody has.'),
      age,
    ],
    statusSubresource: true,
    required: ['metadata', 'spec'],
    body: loadBalancerPoolBody,
  },
  {
    resource: crdResources.l2AnnouncementPolicies,
    singular: 'ciliuml2announcementpolicy',
    shortNames: ['l2announcement'],
    categories: ['cilium'],
    columns: [age],
    statusSubresource: true,
    required: ['metadata'],
    body: l2AnnouncementPolicyBody,
  },
  {
    resource: crdResources.localRedirects,
    singular: 'ciliumlocalredirectpolicy',
    shortNames: ['clrp'],
    categories: ['cilium', 'ciliumpolicy'],
    columns: [
      column('OK', 'boolean', '.status.ok', 'Whether the policy is in force.'),
      age,
      column('Message', 'string', '.status.conditions[?(@.type=="Ready")].message', 'What is wrong with it.', 1),
    ],
    statusSubresource: true,
    required: ['metadata', 'spec'],
    body: localRedirectBody,
  },
  {
    resource: crdResources.invariants,
    singular: 'reachabilityinvariant',
    shortNames: ['invariant', 'invariants'],
    categories: ['axoneme'],
    columns: [
      column('Expect', 'string', '.spec.expect', 'What must hold.'),
      column('Action', 'string', '.spec.action', 'What happens to a change that breaks it.'),
      column('Holds', 'string', '.status.conditions[?(@.type=="Holds")].status', 'Whether the enforced policies keep it.'),
      column('Message', 'string', '.status.conditions[?(@.type=="Holds")].message', 'Who breaks it.', 1),
      age,
    ],
    statusSubresource: true,
    required: ['metadata', 'spec'],
    body: invariantBody,
  },
  {
    resource: crdResources.fleets,
    singular: 'loadbalancerfleet',
    shortNames: ['lbf'],
    categories: ['axoneme'],
    columns: [
      column('Services', 'integer', '.status.summary.services', 'Number of services.'),
      column('Nodes', 'string', '.status.summary.nodes', 'Nodes that are ready / selected.'),
      column('Ready', 'string', '.status.conditions[?(@.type=="Ready")].status', 'Whether every selected node has it.'),
      column('Message', 'string', '.status.conditions[?(@.type=="Accepted")].message', 'What is wrong with it.', 1),
      age,
    ],
    statusSubresource: true,
    required: ['metadata', 'spec'],
    body: loadBalancerFleetBody,
  },
  {
    resource: crdResources.adminPolicies,
    annotations: approvedBy(300),
    singular: 'adminnetworkpolicy',
    shortNames: ['anp'],
    categories: [],
    columns: [priorityColumn, ...policyColumns],
    statusSubresource: true,
    required: ['metadata', 'spec'],
    body: adminPolicyBody,
  },
  {
    resource: crdResources.baselinePolicies,
    annotations: approvedBy(300),
    singular: 'baselineadminnetworkpolicy',
    shortNames: ['banp'],
    categories: [],
    columns: policyColumns,
    statusSubresource: true,
    required: ['metadata', 'spec'],
    body: baselinePolicyBody,
  },
  {
    resource: crdResources.clusterPolicies,
    annotations: approvedBy(347),
    singular: 'clusternetworkpolicy',
    // The published short name, cnp, is that of CiliumNetworkPolicy: kubectl could not tell them apart.
    shortNames: [],
    categories: [],
    columns: [column('Tier', 'string', '.spec.tier', 'Admin or Baseline.'), priorityColumn, ...policyColumns],
    statusSubresource: true,
    required: ['metadata', 'spec'],
    body: clusterPolicyBody,
  },
];
