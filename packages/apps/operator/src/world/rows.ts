// Rows the operator keeps of cluster objects: trimmed to what compilers read, immutable, JSON-like. Made by project.ts.

import type { L2Record } from '@axoneme/ipam';
import type { HostPortPod, TargetId } from '@axoneme/service';

export interface NamedPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
}

export interface PodRow {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly node: string;
  readonly hostNetwork: boolean;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Addresses from status.podIPs, canonical text. */
  readonly addresses: readonly string[];
  /** Succeeded or Failed: holds no address any more. */
  readonly finished: boolean;
  readonly namedPorts: readonly NamedPort[];
  /** Condition Ready is True. */
  readonly ready?: true;
  /** Absent for pods that ask for no port of their node. */
  readonly hostPorts?: HostPortPod;
  /** What policy would drop of this pod passes, and is told. */
  readonly audit: boolean;
  /** The readiness gate `axoneme.io/policy-enforced`, as the pod's status has it (empty: not yet); absent for pods that do not ask. */
  readonly gate?: { readonly status: string; readonly reason: string };
}

export interface NamespaceRow {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface NodeRow {
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly internalAddresses: readonly string[];
  readonly externalAddresses: readonly string[];
  /** Condition Ready, and not on its way out. */
  readonly serves: boolean;
  readonly podCidrs: readonly string[];
}

export const policyKinds = [
  'CiliumNetworkPolicy',
  'CiliumClusterwideNetworkPolicy',
  'NetworkPolicy',
  'AdminNetworkPolicy',
  'BaselineAdminNetworkPolicy',
  'ClusterNetworkPolicy',
] as const;
export type PolicyKind = (typeof policyKinds)[number];

/** Key of a row of `policies`; `key` is `namespace/name`, or `name` for cluster-wide kinds. */
export const policyRowKey = (kind: PolicyKind, key: string): string => `${kind}:${key}`;

/** A policy object as the API server holds it, without managedFields. */
export interface PolicyRow {
  readonly kind: PolicyKind;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  /** 0 if unknown. Older objects are admitted first. */
  readonly createdMs: number;
  readonly object: Readonly<Record<string, unknown>>;
}

/** A CiliumCIDRGroup: a name for prefixes. */
export interface CidrGroupRow {
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  /** As written, not parsed. */
  readonly cidrs: readonly string[];
  readonly createdMs: number;
}

export interface IdentityRow {
  readonly id: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdMs: number;
  /** Set by garbage collection; absent while in use. */
  readonly unusedSinceMs?: number;
}

export interface CiliumNodeRow {
  readonly name: string;
  readonly podCidrs: readonly string[];
  readonly createdMs: number;
}

/** A Lease of ours: who announces an address. */
export interface L2LeaseRow {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly record: L2Record;
}

/** Targets of probes that fail, with the reason. */
export type DownRow = ReadonlyMap<TargetId, string>;

/** What an agent said about one of its endpoints; newer than the Pod's status. */
export interface EndpointRow {
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string;
  readonly node: string;
  readonly endpointId: number;
  readonly identity: number;
  readonly addresses: readonly string[];
  readonly state: string;
}

export const keyOf = (namespace: string, name: string): string => `${namespace}/${name}`;
