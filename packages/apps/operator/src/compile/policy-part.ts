// Keeps the incremental policy compiler fed and its artifacts current: parse → bind → number → compile. Called by the compiler.
import { type Cidr, type IdentityId, identityRanges, reservedIds } from '@axoneme/model';
import {
  createLayeredCompiler,
  isHostSubject,
  type LayeredCompiler,
  type LayeredDelta,
  policyArtifactName,
  type SubjectSet,
} from '@axoneme/policy';
import { hostSubjectArtifact, subjectArtifact as subjectName } from '@axoneme/span';
import type { OperatorConfig } from '../config.ts';
import type { Dirty, Tables } from '../world/world.ts';
import { ADDR_CLASS, type AddressClasses, classNodes, createAddressClasses } from './address-classes.ts';
import type { CidrRow, NodeAddresses } from './addresses.ts';
import type { ArtifactStore } from './artifacts.ts';
import { type Bindings, createBindings } from './bindings.ts';
import { createHosts, type Hosts } from './hosts.ts';
import { createIdentityDiff } from './identity-diff.ts';
import { createMentions } from './mentions.ts';
import { createNumbers, type Moment } from './numbers.ts';
import type { PodChange } from './pod-part.ts';
import { createPolicyParser, type PolicyParser } from './policies.ts';
import { policyArtifact, subjectArtifact } from './policy-artifacts.ts';
import { createUnits, groupKey, type Units } from './units.ts';

export interface PolicyInput {
  readonly tables: Tables;
  readonly dirty: Dirty;
  readonly pods: ReadonlyMap<string, PodChange>;
  readonly nodes: readonly NodeAddresses[];
  readonly at: Moment;
}

export interface PolicyPart {
  readonly parser: PolicyParser;
  readonly units: Units;
  readonly bindings: Bindings;
  readonly compiler: LayeredCompiler;
  readonly hosts: Hosts;
  /** Takes the world's changes in and compiles. */
  update(input: PolicyInput): void;
  /** Compiles again after other versions of units were chosen; the world is that of the last update. */
  again(): void;
  /** Rows of `ipcache/cidr`; the same list while nothing changed. */
  cidrs(): readonly CidrRow[];
  /** Rows of `addr_class`; likewise. */
  classRows(): readonly CidrRow[];
  /** Counts results that differ from the one before. */
  version(): number;
  /** What was compiled last is given to nodes. */
  publish(): void;
  /** Numbers wait until every node has a table without them. */
  waits(): boolean;
  /** Subjects that changed since the last call. */
  takeSubjectChanges(): SubjectChanges;
}

export interface SubjectChanges {
  readonly changed: readonly SubjectSet[];
  readonly removed: readonly IdentityId[];
}

const nothingDirty: Dirty = new Map();
const noPods: ReadonlyMap<string, PodChange> = new Map();

/** Objects → units. Status-only changes touch none. */
function takeObjects(parser: PolicyParser, units: Units, tables: Tables, dirty: Dirty): void {
  for (const key of dirty.get('policies') ?? []) {
    const row = tables.policies.get(key);
    if (row === undefined) {
      parser.forget(key);
      units.put(key, undefined);
      continue;
    }
    const { parsed, changed } = parser.parse(key, row);
    // an object that stopped being valid has no effect: its rules are none
    if (changed) units.put(key, { kind: 'policy', row: parsed, createdMs: row.createdMs });
  }
  for (const name of dirty.get('cidrGroups') ?? []) {
    const row = tables.cidrGroups.get(name);
    units.put(groupKey(name), row === undefined ? undefined : { kind: 'cidrGroup', row, createdMs: row.createdMs });
  }
}

function createPublisher(store: ArtifactStore, hosts: Hosts): (delta: LayeredDelta) => void {
  /** Artifact of each host subject: the node may be forgotten before the subject is. */
  const hostNames = new Map<IdentityId, string>();
  const put = (set: SubjectSet): void => {
    const node = isHostSubject(set.identity) ? hosts.node(set.identity) : undefined;
    const name = node === undefined ? subjectName(set.identity) : hostSubjectArtifact(node);
    if (node !== undefined) hostNames.set(set.identity, name);
    store.put(subjectArtifact(name, node === undefined ? set.identity : reservedIds.host, set));
  };
  return (delta) => {
    for (const rows of delta.addedPolicies) if (rows.count > 0) store.put(policyArtifact(policyArtifactName(rows.handle), rows));
    for (const id of delta.removedSubjects) {
      store.remove(hostNames.get(id) ?? subjectName(id));
      hostNames.delete(id);
    }
    for (const s of delta.subjects) put(s);
    for (const handle of delta.removedPolicies) store.remove(policyArtifactName(handle));
  };
}

function publishClasses(store: ArtifactStore, classes: AddressClasses): void {
  const artifact = classes.artifact();
  if (artifact !== undefined) store.put(artifact);
  else if (store.has(ADDR_CLASS)) store.remove(ADDR_CLASS);
}

export function createPolicyPart(store: ArtifactStore, config: OperatorConfig): PolicyPart {
  const parser = createPolicyParser(config.clusterName);
  const units = createUnits();
  const bindings = createBindings(units);
  const mentions = createMentions();
  const prefixes = createNumbers({ first: identityRanges.cidrFirst, last: identityRanges.cidrLast });
  const classes = createAddressClasses();
  const hosts = createHosts();
  const compiler = createLayeredCompiler({ mode: config.policyEnforcementMode, clusterName: config.clusterName, allowLocalhost: true });
  const identityDiff = createIdentityDiff();
  const publish = createPublisher(store, hosts);
  const start = compiler.table();
  const touched = new Set<IdentityId>(start.subjects.keys());
  publish({
    addedPolicies: [...start.policies.values()],
    subjects: [...start.subjects.values()],
    removedSubjects: [],
    removedPolicies: [],
  });
  let last: PolicyInput | undefined;
  let cidrRows: readonly CidrRow[] = [];
  let version = 0;

  const numberPrefixes = (changed: boolean, at: Moment) => {
    if (!changed && !prefixes.waits()) return {};
    const { added, removed } = prefixes.update(mentions.cidrs(), at);
    if (changed) cidrRows = [...mentions.cidrs()].flatMap((cidr) => rowOf(cidr));
    return {
      cidrIdentities: added.flatMap((cidr) => rowOf(cidr as Cidr)),
      removedCidrIdentities: removed.map((r) => r.id as IdentityId),
    };
  };
  const rowOf = (cidr: Cidr): { cidr: Cidr; id: IdentityId }[] => {
    const id = prefixes.id(cidr);
    return id === undefined ? [] : [{ cidr, id: id as IdentityId }];
  };
  const planClasses = (changed: boolean, i: PolicyInput) => {
    if (!changed) return classes.waits() ? classes.settle(i.at) : {};
    const rules = mentions.classRules();
    return classes.plan(rules, rules.length === 0 ? [] : classNodes(i.nodes), i.at);
  };

  const compile = (i: PolicyInput): void => {
    const bound = bindings.update(i.tables, i.dirty, units.takeChanged());
    const mentioned = mentions.update(bound);
    const nodesChanged = i.dirty.has('nodes') || i.dirty.has('ciliumNodes');
    const identities = identityDiff(i.tables, i.dirty, i.pods);
    const delta = compiler.update({
      policies: bound.policies,
      removedPolicies: bound.removed.map((p) => p.key),
      identities: identities.changed,
      removedIdentities: identities.removed,
      ...numberPrefixes(mentioned.cidrs, i.at),
      ...planClasses(mentioned.classes || (nodesChanged && mentions.classRules().length > 0), i),
      ...(nodesChanged ? hosts.update(i.tables, i.at) : {}),
    });
    if (delta.subjects.length + delta.removedSubjects.length > 0) version += 1;
    publish(delta);
    publishClasses(store, classes);
    for (const subject of delta.subjects) touched.add(subject.identity);
    for (const id of delta.removedSubjects) touched.add(id);
  };

  return {
    parser,
    units,
    bindings,
    compiler,
    hosts,
    cidrs: () => cidrRows,
    classRows: classes.rows,
    version: () => version,
    update(input) {
      last = input;
      takeObjects(parser, units, input.tables, input.dirty);
      compile(input);
    },
    again() {
      if (last !== undefined) compile({ ...last, dirty: nothingDirty, pods: noPods });
    },
    publish() {
      prefixes.publish();
      classes.publish();
    },
    waits: () => prefixes.waits() || classes.waits(),
    takeSubjectChanges() {
      const ids = [...touched];
      touched.clear();
      return { changed: ids.flatMap((id) => compiler.subject(id) ?? []), removed: ids.filter((id) => compiler.subject(id) === undefined) };
    },
  };
}
