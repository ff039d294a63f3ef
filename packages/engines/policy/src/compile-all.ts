// compileAll: every subject × every rule × every peer, straight. The truth that the incremental compiler is held against.
import { createPrefixTable, type IdentityId, matchesSelector, type PrefixTable } from '@axoneme/model';
import { type Atom, peerTemplates, prepare } from './atoms.ts';
import { type CidrIdentity, type CidrSelector, cidrLabels, missingPrefixes, selectsCidr, standIn, worldMembers } from './cidrs.ts';
import { createPolicyRows, noRows, type PolicyHandle, type PolicyRows, packTemplates, writePeerRows } from './rows.ts';
import { createOriginTable, type OriginTable } from './rule-id.ts';
import type { Rule, RuleOrigin } from './rules.ts';
import {
  builtInIdentities,
  isBuiltIn,
  isSubject,
  type PolicyConfig,
  type PolicyIdentity,
  type SubjectPolicy,
  selectsSubject,
  subjectDefaults,
} from './subjects.ts';

export interface PolicySnapshot {
  readonly rules: readonly Rule[];
  /** Pod identities of all clusters. Reserved ones are added by the compiler. */
  readonly identities: readonly PolicyIdentity[];
  /** One for each of `cidrs(rules)`. */
  readonly cidrIdentities: readonly CidrIdentity[];
}

export interface PolicyTable extends OriginTable {
  readonly subjects: ReadonlyMap<IdentityId, SubjectPolicy>;
  /** Without the empty one. */
  readonly policies: ReadonlyMap<PolicyHandle, PolicyRows>;
}

export function compileAll(snapshot: PolicySnapshot, config: PolicyConfig): PolicyTable {
  const cidrTable = createPrefixTable<IdentityId>();
  for (const c of snapshot.cidrIdentities) cidrTable.set(c.cidr, c.id);
  const peers = [
    ...builtInIdentities,
    ...snapshot.identities.filter((i) => !isBuiltIn(i.id)),
    ...snapshot.cidrIdentities.map((c) => ({ id: c.id, labels: cidrLabels(c.cidr), cidr: c.cidr })),
  ].sort((a, b) => a.id - b.id);
  const subjects = new Map<IdentityId, SubjectPolicy>();
  const policies = new Map<PolicyHandle, PolicyRows>();
  const origins: RuleOrigin[] = snapshot.rules.flatMap((r) => r.origins);
  for (const identity of peers) {
    if (!isSubject(identity, config)) continue;
    const rules = snapshot.rules.filter((r) => selectsSubject(r, identity));
    const { isolation, denyRules, origins: own } = subjectDefaults(identity.id, rules, config);
    const rows = config.mode === 'never' ? noRows : compileRows(rules, identity, isolation, peers, cidrTable);
    if (rows.count > 0) policies.set(rows.handle, rows);
    origins.push(...own);
    subjects.set(identity.id, { identity: identity.id, rows, defaultDeny: isolation, denyRules, allowLocalhost: config.allowLocalhost });
  }
  return { subjects, policies, ...createOriginTable(origins) };
}

type Peer = PolicyIdentity & { readonly cidr?: CidrIdentity['cidr'] };

function compileRows(
  rules: readonly Rule[],
  subject: PolicyIdentity,
  isolation: SubjectPolicy['defaultDeny'],
  peers: readonly Peer[],
  table: PrefixTable<IdentityId>,
): PolicyRows {
  const prepared = prepare(rules, subject.namedPorts ?? [], isolation);
  const parts = [packTemplates(prepared.anyRows)];
  for (const peer of peers) {
    const atoms = prepared.atoms.filter((a) => selectsPeer(a, peer, table));
    const templates = packTemplates(peerTemplates(prepared, atoms, peer.namedPorts ?? []));
    const part = Buffer.alloc(templates.length);
    writePeerRows(part, 0, peer.id, templates);
    parts.push(part);
  }
  return createPolicyRows(Buffer.concat(parts));
}

function selectsPeer(atom: Atom, peer: Peer, table: PrefixTable<IdentityId>): boolean {
  switch (atom.peer.kind) {
    case 'any':
      return true;
    case 'labels':
      return matchesSelector(atom.peer.selector, peer.labels);
    case 'cidr':
      return cidrMatches(atom.peer, atom.base.verdict === 'deny', peer, table);
    case 'block':
    case 'nodes':
      return false;
  }
}

/** Where an identity is missing, an allow matches nobody and a deny also what the addresses look like instead. */
function cidrMatches(s: CidrSelector, deny: boolean, peer: Peer, table: PrefixTable<IdentityId>): boolean {
  const missing = missingPrefixes(s, table);
  if (missing.length > 0 && !deny) return false;
  if (missing.includes(s.cidr) && standIn(s.cidr, table) === peer.id) return true;
  return peer.cidr === undefined ? worldMembers(s).includes(peer.id) : selectsCidr(s, peer.cidr);
}
