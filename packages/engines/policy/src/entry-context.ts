// What the parsers of one ingress or egress entry share.
import type { Selector } from '@axoneme/model';
import type { IssueList } from './issues.ts';
import type { Direction } from './rules.ts';
import type { Scope } from './scope.ts';

export interface EntryContext {
  readonly issues: IssueList;
  /** Path of the entry, e.g. `spec.ingress[0]`. */
  readonly path: string;
  readonly direction: Direction;
  readonly deny: boolean;
  readonly scope: Scope;
  readonly subject: Selector;
}
