// What the span is derived from. Filled by the operator from one compile.
import type { Cidr, IdentityId, IpAddr } from '@axoneme/model';
import type { NodeName } from '@axoneme/std';
import type { ArtifactDescriptor } from './names.ts';

export interface SpanNode {
  readonly name: NodeName;
  readonly podCidrs: readonly Cidr[];
  /** Artifacts of this node alone, under names that other nodes use for their own: `node/config`. */
  readonly own: readonly ArtifactDescriptor[];
}

/** A pod bound to a node, or an endpoint a node reports. */
export interface SpanWorkload {
  /** Unique, e.g. `namespace/pod`. */
  readonly key: string;
  readonly node: NodeName;
  /** 0 while unknown. */
  readonly identity: IdentityId | 0;
  readonly addresses: readonly IpAddr[];
  /** Name of its blob; absent for an endpoint that only needs policy. */
  readonly artifact?: string | undefined;
}

/** What enforcement of one identity needs on a node that has it. */
export interface SpanSubject {
  readonly identity: IdentityId;
  /** Name of its subject artifact; absent: `subject/<identity>`. */
  readonly subject?: string | undefined;
  /** Names of its policy artifacts, one a layer that has rows; any order, repetitions do no harm. */
  readonly policies: readonly string[];
  /** Identities its rows mention. */
  readonly peers: readonly IdentityId[];
}

export interface SpanSnapshot {
  readonly nodes: readonly SpanNode[];
  readonly workloads: readonly SpanWorkload[];
  readonly subjects: readonly SpanSubject[];
  /** Prefixes of `ipcache/cidr`. */
  readonly cidrs: readonly Cidr[];
  /** Artifacts that exist. One that a rule below wants but that does not exist is simply not part of the span. */
  readonly artifacts: readonly ArtifactDescriptor[];
}
