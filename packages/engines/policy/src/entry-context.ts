// What the parsers of one object, and of one ingress or egress entry, share.
import type { LabelFilter, Selector } from '@axoneme/model';
import type { IssueList } from './issues.ts';
import type { Direction, PeerReference, PeerSelector, PolicyMode, PolicySource } from './rules.ts';
import type { Scope } from './scope.ts';

/** One policy object of any kind. */
export interface ObjectContext {
  readonly issues: IssueList;
  readonly source: PolicySource;
  readonly mode: PolicyMode;
  readonly scope: Scope;
  /** Labels it drops are in no identity; selectors that ask for them are linted. */
  readonly filter: LabelFilter;
}

/** One entry of a CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy. */
export interface EntryContext {
  readonly issues: IssueList;
  /** Path of the entry, e.g. `spec.ingress[0]`. */
  readonly path: string;
  readonly direction: Direction;
  readonly deny: boolean;
  readonly scope: Scope;
  readonly filter: LabelFilter;
  readonly subject: Selector;
}

/** What one item stands for. */
export type Peer = { readonly peer: PeerSelector } | { readonly reference: PeerReference };
