// compileLayers: every subject × every rule × every peer, straight. The truth that the incremental compiler is held against.
import { createPrefixTable, type IdentityId, matchesSelector, noLabels, type PrefixTable } from '@axoneme/model';
import { type Atom, type Isolation, peerTemplates, prepare } from './atoms.ts';
import { type CidrIdentity, type CidrSelector, cidrLabels, missingPrefixes, selectsCidr, standIn, worldMembers } from './cidrs.ts';
import { type AddressClass, type BlockSelector, missingBlocks, selectsBlock, standInBlock } from './classes.ts';
import { isPresent, type LayerName, layersOf, planLayers, type SubjectLayers, type SubjectSet, tierConditions } from './layer-plan.ts';
import { createPolicyRows, type PolicyHandle, type PolicyRows, packTemplates, writePeerRows } from './rows.ts';
import { createOriginTable, type OriginTable } from './rule-id.ts';
import type { Rule, RuleOrigin } from './rules.ts';
import {
  builtInIdentities,
  type HostSubject,
  isBuiltIn,
  isHostSubject,
  isSubject,
  noDefaults,
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
  /** One for each of `planAddressClasses(…).classes`. */
  readonly classes?: readonly AddressClass[] | undefined;
  /** One for each node. */
  readonly hosts?: readonly HostSubject[] | undefined;
}

export interface LayerTable extends OriginTable {
  readonly subjects: ReadonlyMap<IdentityId, SubjectSet>;
  /** Of all layers, without the empty one. */
  readonly policies: ReadonlyMap<PolicyHandle, PolicyRows>;
}

export function compileLayers(snapshot: PolicySnapshot, config: PolicyConfig): LayerTable {
  const world = createPeerWorld(snapshot);
  const subjects = new Map<IdentityId, SubjectSet>();
  const policies = new Map<PolicyHandle, PolicyRows>();
  const origins: RuleOrigin[] = snapshot.rules.flatMap((r) => r.origins);
  for (const subject of [...world.peers.filter((p) => isSubject(p, config)), ...[...(snapshot.hosts ?? [])].sort((a, b) => a.id - b.id)]) {
    const rules = snapshot.rules.filter((r) => selectsSubject(r, subject));
    if (isHostSubject(subject.id) && (rules.length === 0 || config.mode === 'never')) continue;
    const set = compileSubject(subject, rules, world, config, origins);
    for (const [, { rows }] of layersOf(set)) if (rows.count > 0) policies.set(rows.handle, rows);
    subjects.set(subject.id, set);
  }
  return { subjects, policies, ...createOriginTable(origins) };
}

/** `origins` takes those of the default deny. */
function compileSubject(
  subject: PolicyIdentity,
  selected: readonly Rule[],
  world: PeerWorld,
  config: PolicyConfig,
  origins: RuleOrigin[],
): SubjectSet {
  const layers: { -readonly [K in LayerName]?: SubjectPolicy } = {};
  for (const { name, isolates, rules } of planLayers(selected, (r) => r, config.mode)) {
    const { isolation, denyRules, origins: own } = isolates ? subjectDefaults(subject.id, rules, config) : noDefaults;
    const rows = compileRows(rules, subject, isolates ? isolation : tierConditions, world);
    const policy: SubjectPolicy = {
      identity: subject.id,
      rows,
      usesClasses: rows.usesClasses,
      defaultDeny: isolation,
      denyRules,
      allowLocalhost: config.allowLocalhost && !isHostSubject(subject.id),
    };
    origins.push(...own);
    if (isPresent(name, policy)) layers[name] = policy;
  }
  return { identity: subject.id, layers: layers as SubjectLayers };
}

interface Peer extends PolicyIdentity {
  readonly cidr?: CidrIdentity['cidr'];
  readonly cls?: AddressClass;
}

interface PeerWorld {
  /** Ascending. */
  readonly peers: readonly Peer[];
  readonly cidrs: PrefixTable<IdentityId>;
  readonly blocks: PrefixTable<true>;
}

function createPeerWorld(snapshot: PolicySnapshot): PeerWorld {
  const cidrs = createPrefixTable<IdentityId>();
  const blocks = createPrefixTable<true>();
  for (const c of snapshot.cidrIdentities) cidrs.set(c.cidr, c.id);
  for (const c of snapshot.classes ?? []) if (c.block !== undefined) blocks.set(c.block, true);
  const peers: Peer[] = [
    ...builtInIdentities,
    ...snapshot.identities.filter((i) => !isBuiltIn(i.id)),
    ...snapshot.cidrIdentities.map((c) => ({ id: c.id, labels: cidrLabels(c.cidr), cidr: c.cidr })),
    ...(snapshot.classes ?? []).map((cls) => ({ id: cls.id, labels: noLabels, cls })),
  ];
  return { peers: peers.sort((a, b) => a.id - b.id), cidrs, blocks };
}

function compileRows(rules: readonly Rule[], subject: PolicyIdentity, conditions: Isolation, world: PeerWorld): PolicyRows {
  const prepared = prepare(rules, subject.namedPorts ?? [], conditions);
  const parts = [packTemplates(prepared.anyRows)];
  for (const peer of world.peers) {
    const atoms = prepared.atoms.filter((a) => selectsPeer(a, peer, world));
    const templates = packTemplates(peerTemplates(prepared, atoms, peer.namedPorts ?? []));
    const part = Buffer.alloc(templates.length);
    writePeerRows(part, 0, peer.id, templates);
    parts.push(part);
  }
  return createPolicyRows(Buffer.concat(parts));
}

function selectsPeer(atom: Atom, peer: Peer, world: PeerWorld): boolean {
  const deny = atom.base.verdict === 'deny';
  switch (atom.peer.kind) {
    case 'any':
      return true;
    case 'labels':
      return peer.cls === undefined && matchesSelector(atom.peer.selector, peer.labels);
    case 'cidr':
      return cidrMatches(atom.peer, deny, peer, world.cidrs);
    case 'block':
      return blockMatches(atom.peer, deny, peer.cls, world.blocks);
    case 'nodes':
      return peer.cls?.nodes.includes(atom.peer.selector.text) ?? false;
  }
}

/** Where an identity is missing, an allow matches nobody and a deny also what the addresses look like instead. */
function cidrMatches(s: CidrSelector, deny: boolean, peer: Peer, table: PrefixTable<IdentityId>): boolean {
  const missing = missingPrefixes(s, table);
  if (missing.length > 0 && !deny) return false;
  if (missing.includes(s.cidr) && standIn(s.cidr, table) === peer.id) return true;
  return peer.cidr === undefined ? worldMembers(s).includes(peer.id) : selectsCidr(s, peer.cidr);
}

/** The same for classes. */
function blockMatches(s: BlockSelector, deny: boolean, cls: AddressClass | undefined, table: PrefixTable<true>): boolean {
  const missing = missingBlocks(s, table);
  if (cls?.block === undefined || (missing.length > 0 && !deny)) return false;
  return selectsBlock(s, cls.block) || (missing.includes(s.cidr) && standInBlock(s.cidr, table) === cls.block);
}
