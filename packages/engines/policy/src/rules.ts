// The intermediate form: what every policy API is translated into and what the compiler and the reference evaluator read.
// Kubernetes NetworkPolicy and tiered APIs become further producers of the same rules.

import type { Cidr, Selector } from '@axoneme/model';
import type { Brand } from '@axoneme/std';

/** u32; see rule-id.ts. 0 is "no rule". */
export type RuleId = Brand<number, 'RuleId'>;
export type Direction = 'ingress' | 'egress';
export const directions = ['ingress', 'egress'] as const;

/** Where a rule stands before all others; docs/design/policy.md. admin and baseline: AdminNetworkPolicy and its kin. normal: everything else. */
export type Tier = 'admin' | 'normal' | 'baseline';
export const tiers = ['admin', 'normal', 'baseline'] as const;

/** shadow: judged and reported, never enforced. Annotation `policy.axoneme.io/mode`. */
export type PolicyMode = 'enforce' | 'shadow';
export const modeAnnotation = 'policy.axoneme.io/mode';

/**
 * `redirect`: allowed under a condition that only a proxy can check; today nothing checks it, so it blocks.
 * `pass`: tier admin only; the next tier decides.
 */
export type Action = 'allow' | 'deny' | 'redirect' | 'pass';

export type PeerSelector =
  | { readonly kind: 'any' }
  | { readonly kind: 'labels'; readonly selector: Selector }
  /** Addresses outside the cluster only; never a pod or a node. */
  | { readonly kind: 'cidr'; readonly cidr: Cidr; readonly except: readonly Cidr[] }
  /** Addresses, whoever has them: pods, nodes, the outside. */
  | { readonly kind: 'block'; readonly cidr: Cidr; readonly except: readonly Cidr[] }
  /** Nodes by label, the local one included; never a pod, whatever its labels. */
  | { readonly kind: 'nodes'; readonly selector: Selector };

/** Peers that name other objects; `bindRules` turns them into peers. Absent and empty results differ from "any": nobody. */
export type PeerReference =
  /** Services of one namespace (empty: of every namespace), by name or by label. */
  | { readonly kind: 'service'; readonly namespace: string; readonly name: string; readonly clusterName: string }
  | { readonly kind: 'service'; readonly namespace: string; readonly selector: Selector; readonly clusterName: string }
  /** CiliumCIDRGroup by name or by label. */
  | { readonly kind: 'cidrGroup'; readonly name: string; readonly except: readonly Cidr[] }
  | { readonly kind: 'cidrGroup'; readonly selector: Selector; readonly except: readonly Cidr[] };

/** `protocol` 0 = every protocol (then first 0, last 65535). ICMP types are ports of protocol 1 and 58. */
export type PortMatch =
  | { readonly kind: 'range'; readonly protocol: number; readonly first: number; readonly last: number }
  /** `protocol` 0 = TCP, UDP and SCTP. Ingress: a port of the subject. Egress: a port of the peer. */
  | { readonly kind: 'named'; readonly protocol: number; readonly name: string };

export const allTraffic: PortMatch = { kind: 'range', protocol: 0, first: 0, last: 65_535 };

/** Order inside a tier; lower is stronger. 0 … priorityMax; 0 in tier normal. */
export const priorityMax = 0xff_ffff;

/** Peers are ORed, ports are ORed, both must match. An empty list matches nothing. */
export interface RuleEntry {
  readonly id: RuleId;
  readonly direction: Direction;
  readonly action: Action;
  readonly priority: number;
  readonly peers: readonly PeerSelector[];
  /** Not bound yet; a rule that is compiled has none. ORed with `peers`. */
  readonly references?: readonly PeerReference[] | undefined;
  readonly ports: readonly PortMatch[];
  /** Set with `redirect`. `l7` yields to an equal plain allow and to a missing default deny; `other` never does. */
  readonly condition?: 'l7' | 'other' | undefined;
}

export interface PolicySource {
  readonly kind: string;
  /** Empty for cluster-wide kinds. */
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string | undefined;
}

/** One `spec` of one object. */
export interface Rule {
  readonly source: PolicySource;
  readonly tier: Tier;
  readonly mode: PolicyMode;
  /** nodes: a host policy; `subject` selects by node labels. */
  readonly subjectKind: 'endpoints' | 'nodes';
  /** Only pods, init, health and ingress can be subjects; the namespace of a namespaced policy is already in here. */
  readonly subject: Selector;
  readonly entries: readonly RuleEntry[];
  /** Directions this rule isolates. */
  readonly defaultDeny: { readonly ingress: boolean; readonly egress: boolean };
  /** Ids that name the default deny of this rule. */
  readonly defaultDenyIds: { readonly ingress: RuleId; readonly egress: RuleId };
  /** What each id of this rule stands for. */
  readonly origins: readonly RuleOrigin[];
}

/** What a rule id in a row, an event or a counter stands for. */
export interface RuleOrigin extends PolicySource {
  readonly id: RuleId;
  /** The text the id is a hash of, e.g. `CiliumNetworkPolicy/shop/web#ingress[0]`. */
  readonly text: string;
  readonly direction: Direction;
  /** `ingress`, `ingressDeny`, … with a prefix `specs[n].` for all but the first; `default-deny` for isolation. */
  readonly list: string;
  readonly index?: number | undefined;
  readonly description?: string | undefined;
  /** `spec.log.value` */
  readonly log?: string | undefined;
  /** Further rules that share the id: all policies that isolate the same subject. */
  readonly also?: readonly string[] | undefined;
}

/** `kind/namespace/name`: names an object in indexes and reports. */
export type PolicyKey = Brand<string, 'PolicyKey'>;
export const policyKey = (s: PolicySource): PolicyKey => `${s.kind}/${s.namespace}/${s.name}` as PolicyKey;

/** Equal peers have equal text. */
export function peerText(p: PeerSelector): string {
  switch (p.kind) {
    case 'any':
      return 'any';
    case 'labels':
      return `labels ${p.selector.text}`;
    case 'cidr':
    case 'block':
      return `${p.kind} ${p.cidr} ${p.except.join(' ')}`;
    case 'nodes':
      return `nodes ${p.selector.text}`;
  }
}

/** Equal port matches have equal text. */
export const portText = (p: PortMatch): string => (p.kind === 'range' ? `${p.protocol} ${p.first}-${p.last}` : `${p.protocol} ${p.name}`);
