// What the parsers are given: an object as JSON, and how this cluster is set up.
import type { LabelFilter } from '@axoneme/model';

/** An object of one of the policy kinds, as parsed JSON. */
export interface PolicyObject {
  readonly apiVersion?: string | undefined;
  readonly kind?: string | undefined;
  readonly metadata: {
    readonly name?: string | undefined;
    readonly namespace?: string | undefined;
    readonly uid?: string | undefined;
    readonly annotations?: Readonly<Record<string, string>> | null | undefined;
  };
  readonly spec?: object | null | undefined;
  readonly specs?: readonly object[] | null | undefined;
}

export interface ParseConfig {
  readonly clusterName: string;
  /** Peers that do not name a cluster are of the local one; default true. */
  readonly defaultLocalCluster?: boolean | undefined;
  /** Labels identities are made of; default: the filter without user patterns. */
  readonly labelFilter?: LabelFilter | undefined;
}
