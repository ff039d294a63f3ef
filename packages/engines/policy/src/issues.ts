// What is wrong, not supported or doubtful in a policy object, each with the path of the field. Made by the parsers.

export interface PolicyIssue {
  /** error: the object is rejected. unsupported: accepted, compiled fail-closed. lint: compiled as written, probably not meant. */
  readonly severity: 'error' | 'unsupported' | 'lint';
  /** e.g. `spec.ingress[0].toPorts[0].ports[1].port` */
  readonly path: string;
  readonly message: string;
  readonly hint?: string | undefined;
}

/** Collects issues while one object is read; private to a parse. */
export interface IssueList {
  readonly items: readonly PolicyIssue[];
  error(path: string, message: string, hint?: string): void;
  unsupported(path: string, message: string): void;
  lint(path: string, message: string, hint?: string): void;
}

/** More issues than this in one object are not listed: the first ones tell enough. */
const issuesMax = 100;

export function createIssueList(): IssueList {
  const items: PolicyIssue[] = [];
  const add = (issue: PolicyIssue): void => {
    // Errors are never dropped: whether there is one decides about the object.
    if (items.length < issuesMax || (issue.severity === 'error' && !items.some((i) => i.severity === 'error'))) items.push(issue);
  };
  return {
    items,
    error: (path, message, hint) => add({ severity: 'error', path, message, ...(hint === undefined ? {} : { hint }) }),
    unsupported: (path, message) => add({ severity: 'unsupported', path, message }),
    lint: (path, message, hint) => add({ severity: 'lint', path, message, ...(hint === undefined ? {} : { hint }) }),
  };
}

/** One line for a status condition. */
export const renderIssue = (i: PolicyIssue): string => `${i.path}: ${i.message}${i.hint === undefined ? '' : ` (${i.hint})`}`;
