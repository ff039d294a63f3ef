// Subjects: who is enforced, by which rules, isolated or not. Shared by both compilers.
import {
  type IdentityId,
  type IdentityInfo,
  type Labels,
  labelKeys,
  labelValue,
  matchesSelector,
  type NamedPort,
  reservedIdentities,
  reservedIds,
} from '@axoneme/model';
import type { Isolation } from './atoms.ts';
import type { PolicyRows } from './rows.ts';
import { combineDefaultDeny, enforcementOrigin } from './rule-id.ts';
import { type Direction, directions, type Rule, type RuleId, type RuleOrigin } from './rules.ts';

export interface PolicyConfig {
  /** default: isolated if a rule says so. always: isolated even without rules. never: nothing is dropped. */
  readonly mode: 'default' | 'always' | 'never';
  /** Identities of other clusters are peers, never subjects. */
  readonly clusterName: string;
  /** The local host reaches its pods unless a deny matches; carried for the datapath. */
  readonly allowLocalhost: boolean;
}

/** An identity with what compiling needs of its endpoints. */
export interface PolicyIdentity extends IdentityInfo {
  /** Named ports of all its endpoints. One name with two numbers: both. */
  readonly namedPorts?: readonly NamedPort[] | undefined;
}

/** What enforcement of one identity needs in one layer. */
export interface SubjectPolicy {
  readonly identity: IdentityId;
  readonly rows: PolicyRows;
  /** The rows name address classes: the peer's address is to be looked up too. */
  readonly usesClasses: boolean;
  readonly defaultDeny: Isolation;
  /** Ids of the default deny, ingress first; 0 where the direction is open. */
  readonly denyRules: readonly [RuleId, RuleId];
  readonly allowLocalhost: boolean;
}

const noRule = 0 as RuleId;
const subjectReserved: readonly IdentityId[] = [reservedIds.health, reservedIds.init, reservedIds.ingress];
/** Pseudo identities of nodes, subjects of host policies, start here. */
export const hostFirst = 0x0300_0000;
export const isHostSubject = (id: IdentityId): boolean => id >= hostFirst;

/** A node as the subject of host policies; never a peer. */
export interface HostSubject {
  /** `hostFirst` + n. */
  readonly id: IdentityId;
  readonly labels: Labels;
}

/** Reserved identities every compile knows; 99 is nobody's peer. */
export const builtInIdentities: readonly PolicyIdentity[] = reservedIdentities
  .filter((r) => r.name !== 'unlisted')
  .map(({ id, labels }) => ({ id, labels }));

/** Numbers up to 255 come from the built-in table, whatever the caller passes. */
export const isBuiltIn = (id: IdentityId): boolean => id <= 255;

/** Pods of this cluster, and the reserved ones that have endpoints. Nodes are subjects under pseudo identities only. */
export function isSubject(identity: PolicyIdentity, config: PolicyConfig): boolean {
  if (isBuiltIn(identity.id)) return subjectReserved.includes(identity.id);
  if (identity.id >= 0x0100_0000) return false;
  const cluster = labelValue(identity.labels, 'k8s', labelKeys.cluster);
  return cluster === undefined || cluster === config.clusterName;
}

/** True if the rule is about the subject, given that it is one. Endpoint rules never see nodes, host rules nothing else. */
export const selectsSubject = (rule: Rule, subject: IdentityInfo): boolean =>
  (rule.subjectKind === 'nodes') === isHostSubject(subject.id) &&
  subject.id !== reservedIds.host &&
  matchesSelector(rule.subject, subject.labels);

export interface SubjectDefaults {
  readonly isolation: Isolation;
  readonly denyRules: readonly [RuleId, RuleId];
  readonly origins: readonly RuleOrigin[];
}

export function subjectDefaults(id: IdentityId, rules: readonly Rule[], config: PolicyConfig): SubjectDefaults {
  const origins = directions.map((d) => isolatingOrigin(id, rules, config, d));
  return {
    isolation: { ingress: origins[0] !== undefined, egress: origins[1] !== undefined },
    denyRules: [origins[0]?.id ?? noRule, origins[1]?.id ?? noRule],
    origins: origins.filter((o) => o !== undefined),
  };
}

function isolatingOrigin(id: IdentityId, rules: readonly Rule[], config: PolicyConfig, direction: Direction): RuleOrigin | undefined {
  if (config.mode === 'never') return undefined;
  const own = rules
    .filter((r) => r.defaultDeny[direction])
    .flatMap((r) => r.origins.filter((o) => o.id === r.defaultDenyIds[direction] && o.list === 'default-deny'));
  const combined = combineDefaultDeny(own);
  // A node is closed by its own rules only: the mode is about pods.
  if (combined !== undefined || isHostSubject(id)) return combined;
  if (config.mode === 'always') return enforcementOrigin('always', direction);
  // Labels not known yet: closed until they are.
  return id === reservedIds.init ? enforcementOrigin('init', direction) : undefined;
}

/** Ingress port names make the rows depend on the subject's own ports. */
export function usesSubjectNames(rules: Iterable<Rule>): boolean {
  for (const r of rules) if (r.entries.some((e) => e.direction === 'ingress' && e.ports.some((p) => p.kind === 'named'))) return true;
  return false;
}

/** Tiers have no default deny. */
export const noDefaults: SubjectDefaults = { isolation: { ingress: false, egress: false }, denyRules: [noRule, noRule], origins: [] };

export const portsText = (ports: readonly NamedPort[]): string =>
  ports
    .map((p) => `${p.name}/${p.protocol}/${p.port}`)
    .sort()
    .join(' ');
