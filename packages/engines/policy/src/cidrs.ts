// CIDR peers: which prefixes need an identity, and which identities a CIDR selector matches. Called by the operator and the compilers.
import {
  type Cidr,
  cidrBits,
  cidrContains,
  compareCidr,
  createLabels,
  type IdentityId,
  type Labels,
  type PrefixTable,
  reservedIds,
} from '@axoneme/model';
import type { PeerSelector, Rule } from './rules.ts';

export interface CidrIdentity {
  readonly id: IdentityId;
  readonly cidr: Cidr;
}

export type CidrSelector = Extract<PeerSelector, { kind: 'cidr' }>;

/** All prefixes the rules mention, excepts included, ascending. The caller gives each an identity and an ipcache row. */
export function cidrs(rules: Iterable<Rule>): readonly Cidr[] {
  const all = new Set<Cidr>();
  for (const rule of rules) {
    for (const entry of rule.entries) {
      for (const peer of entry.peers) if (peer.kind === 'cidr') for (const c of prefixesOf(peer)) all.add(c);
    }
  }
  return [...all].sort(compareCidr);
}

/** Prefixes of length 0 are the world itself and need no identity. */
export const prefixesOf = (s: CidrSelector): Cidr[] => [s.cidr, ...s.except].filter((c) => cidrBits(c) > 0);

/** A CIDR identity is outside the cluster: entity world matches it. */
export const cidrLabels = (cidr: Cidr): Labels =>
  createLabels([
    { source: 'cidr', key: cidr.replaceAll(':', '-'), value: '' },
    { source: 'reserved', key: worldName(cidr), value: '' },
  ]);

const worldName = (cidr: Cidr): 'world-ipv4' | 'world-ipv6' => (cidr.includes(':') ? 'world-ipv6' : 'world-ipv4');

/** By containment: the identity of a longer prefix belongs to all its covering prefixes. */
export const selectsCidr = (s: CidrSelector, cidr: Cidr): boolean =>
  cidrContains(s.cidr, cidr) && !s.except.some((e) => cidrContains(e, cidr));

/** World numbers a selector of length 0 matches. 2 is the only one where there is one family. */
export function worldMembers(s: CidrSelector): IdentityId[] {
  if (cidrBits(s.cidr) > 0 || s.except.some((e) => cidrBits(e) === 0)) return [];
  return [reservedIds.world, reservedIds[worldName(s.cidr)]];
}

/** Prefixes of the selector that have no identity: their addresses look like those of the next shorter prefix. */
export const missingPrefixes = (s: CidrSelector, table: PrefixTable<IdentityId>): Cidr[] =>
  prefixesOf(s).filter((c) => table.get(c) === undefined);

/** What the addresses of a prefix without identity resolve to. */
export const standIn = (cidr: Cidr, table: PrefixTable<IdentityId>): IdentityId =>
  table.covering(cidr)[0]?.value ?? reservedIds[worldName(cidr)];
