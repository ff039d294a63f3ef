// CIDR identities: one number per prefix that policy mentions, equal on all nodes. Called by the leading operator.

import { type Cidr, compareCidr, type IdentityId, identityRanges } from '@axoneme/model';
import { AppError } from '@axoneme/std';
import { pickNumbers } from './numbers.ts';

export interface CidrAssignment {
  readonly cidr: Cidr;
  readonly id: IdentityId;
}

export interface CidrInput {
  /** Every prefix the rules mention, excepts included. */
  readonly wanted: Iterable<Cidr>;
  /** What was assigned so far; a prefix keeps its number while wanted. */
  readonly existing: readonly CidrAssignment[];
  /** Numbers that must not be given to another prefix yet. */
  readonly blocked: ReadonlySet<IdentityId>;
}

export interface CidrPlan {
  /** Ascending by prefix. */
  readonly assignments: readonly CidrAssignment[];
  readonly added: readonly CidrAssignment[];
  readonly removed: readonly CidrAssignment[];
  readonly failures: readonly { readonly cidr: Cidr; readonly error: AppError }[];
}

/** Without memory (`existing` empty) the same prefixes get the same numbers again, but for the rare clash of hashes. */
export function planCidrIdentities(input: CidrInput): CidrPlan {
  const wanted = new Set(input.wanted);
  const kept = new Map<Cidr, IdentityId>();
  const removed: CidrAssignment[] = [];
  const taken = new Set<IdentityId>(input.blocked);
  for (const e of [...input.existing].sort(byCidr)) {
    if (wanted.has(e.cidr) && !kept.has(e.cidr)) kept.set(e.cidr, e.id);
    else removed.push(e);
    taken.add(e.id);
  }
  const missing = [...wanted].filter((c) => !kept.has(c));
  const range = { first: identityRanges.cidrFirst, last: identityRanges.cidrLast };
  const { picked, exhausted } = pickNumbers(missing, range, (n) => taken.has(n as IdentityId));
  const added = [...picked].map(([cidr, id]) => ({ cidr: cidr as Cidr, id: id as IdentityId })).sort(byCidr);
  return {
    assignments: [...[...kept].map(([cidr, id]) => ({ cidr, id })), ...added].sort(byCidr),
    added,
    removed,
    failures: exhausted.map((c) => ({
      cidr: c as Cidr,
      error: new AppError({ code: 'identity/cidr-exhausted', retry: 'later', message: `no number is left for ${c}` }),
    })),
  };
}

const byCidr = (a: CidrAssignment, b: CidrAssignment): number => compareCidr(a.cidr, b.cidr);
