// Keeps the incremental policy compiler fed and its artifacts current. Called by the compiler.
import { type CidrAssignment, planCidrIdentities } from '@axoneme/identity';
import { type IdentityId, type NamedPort, parsePort, parsePortProtocol } from '@axoneme/model';
import {
  cidrs as cidrsOf,
  createPolicyCompiler,
  type PolicyCompiler,
  type PolicyDelta,
  type PolicyIdentity,
  policyArtifactName,
  policyKey,
  type Rule,
  type SubjectPolicy,
} from '@axoneme/policy';
import { subjectArtifact as subjectName } from '@axoneme/span';
import type { OperatorConfig } from '../config.ts';
import type { PolicyRow } from '../world/rows.ts';
import type { Dirty, Tables } from '../world/world.ts';
import type { PlacedPod } from './addresses.ts';
import type { ArtifactStore } from './artifacts.ts';
import { labelsOfIdentity } from './pods.ts';
import { createPolicyParser, type PolicyParser } from './policies.ts';
import { policyArtifact, subjectArtifact } from './policy-artifacts.ts';

export interface PolicyPart {
  readonly parser: PolicyParser;
  readonly compiler: PolicyCompiler;
  /** Returns the CIDR identities in use. */
  update(tables: Tables, dirty: Dirty, pods: readonly PlacedPod[]): readonly CidrAssignment[];
  /** Subjects that changed since the last call. */
  takeSubjectChanges(): SubjectChanges;
}

export interface SubjectChanges {
  readonly changed: readonly SubjectPolicy[];
  readonly removed: readonly IdentityId[];
}

function namedPortsOf(pod: PlacedPod): NamedPort[] {
  return pod.view.row.namedPorts.flatMap((p) => {
    const port = parsePort(p.port);
    const protocol = parsePortProtocol(p.protocol);
    return port.ok && protocol.ok ? [{ name: p.name.toLowerCase(), port: port.value, protocol: protocol.value }] : [];
  });
}

const portText = (p: NamedPort): string => `${p.name}/${p.protocol}/${p.port}`;

/** Named ports of all pods of each identity, by text. */
function portsByIdentity(pods: readonly PlacedPod[]): Map<number, Map<string, NamedPort>> {
  const out = new Map<number, Map<string, NamedPort>>();
  for (const pod of pods) {
    for (const n of namedPortsOf(pod)) {
      const own = out.get(pod.identity) ?? new Map<string, NamedPort>();
      out.set(pod.identity, own);
      own.set(portText(n), n);
    }
  }
  return out;
}

interface HeldIdentity {
  readonly row: unknown;
  readonly ports: string;
}

/** Identities whose labels or port names differ from the call before, and those that are gone. */
function createIdentityDiff(): (tables: Tables, pods: readonly PlacedPod[]) => { changed: PolicyIdentity[]; removed: IdentityId[] } {
  let held = new Map<number, HeldIdentity>();
  return (tables, pods) => {
    const ports = portsByIdentity(pods);
    const next = new Map<number, HeldIdentity>();
    const changed: PolicyIdentity[] = [];
    for (const row of tables.identities.values()) {
      const own = ports.get(row.id);
      const text = own === undefined ? '' : [...own.keys()].sort().join();
      const old = held.get(row.id);
      next.set(row.id, { row, ports: text });
      if (old?.row === row && old.ports === text) continue;
      const id = row.id as IdentityId;
      changed.push({ id, labels: labelsOfIdentity(row), ...(own === undefined ? {} : { namedPorts: [...own.values()] }) });
    }
    const removed = [...held.keys()].filter((id) => !next.has(id)) as IdentityId[];
    held = next;
    return { changed, removed };
  };
}

const keyOfRow = (row: Pick<PolicyRow, 'kind' | 'namespace' | 'name'>) =>
  policyKey({ kind: row.kind, namespace: row.namespace, name: row.name });

function parseDirty(parser: PolicyParser, tables: Tables, dirty: Dirty) {
  const policies: { key: ReturnType<typeof keyOfRow>; rules: readonly Rule[] }[] = [];
  const removed: ReturnType<typeof keyOfRow>[] = [];
  for (const key of dirty.get('policies') ?? []) {
    const row = tables.policies.get(key);
    if (row === undefined) {
      const old = parser.forget(key);
      if (old !== undefined) removed.push(keyOfRow(old.row));
      continue;
    }
    const { parsed, changed } = parser.parse(key, row);
    // an object that stopped being valid has no effect: its rules are none
    if (changed) policies.push({ key: keyOfRow(row), rules: parsed.rules });
  }
  return { policies, removed };
}

function publish(store: ArtifactStore, delta: PolicyDelta): void {
  for (const rows of delta.addedPolicies) if (rows.count > 0) store.put(policyArtifact(policyArtifactName(rows.handle), rows));
  for (const s of delta.subjects) store.put(subjectArtifact(s));
  for (const id of delta.removedSubjects) store.remove(subjectName(id));
  for (const handle of delta.removedPolicies) store.remove(policyArtifactName(handle));
}

export function createPolicyPart(store: ArtifactStore, config: OperatorConfig): PolicyPart {
  const parser = createPolicyParser(config.clusterName);
  const compiler = createPolicyCompiler({ mode: config.policyEnforcementMode, clusterName: config.clusterName, allowLocalhost: true });
  const identityDiff = createIdentityDiff();
  let cidrs: readonly CidrAssignment[] = [];
  const start = compiler.table();
  const touched = new Set<IdentityId>(start.subjects.keys());
  publish(store, {
    addedPolicies: [...start.policies.values()],
    subjects: [...start.subjects.values()],
    removedSubjects: [],
    removedPolicies: [],
  });

  return {
    parser,
    compiler,
    update(tables, dirty, pods) {
      const { policies, removed } = parseDirty(parser, tables, dirty);
      const rulesChanged = policies.length + removed.length > 0;
      const labelsChanged = ['identities', 'pods', 'endpoints', 'namespaces'].some((t) => dirty.has(t as 'pods'));
      const plan = rulesChanged
        ? planCidrIdentities({ wanted: cidrsOf([...parser.all().values()].flatMap((p) => p.rules)), existing: cidrs, blocked: new Set() })
        : undefined;
      const identities = labelsChanged ? identityDiff(tables, pods) : { changed: [], removed: [] };
      if (plan !== undefined) cidrs = plan.assignments;
      const delta = compiler.update({
        policies,
        removedPolicies: removed,
        identities: identities.changed,
        removedIdentities: identities.removed,
        ...(plan === undefined ? {} : { cidrIdentities: plan.added, removedCidrIdentities: plan.removed.map((c) => c.id) }),
      });
      publish(store, delta);
      for (const subject of delta.subjects) touched.add(subject.identity);
      for (const id of delta.removedSubjects) touched.add(id);
      return cidrs;
    },
    takeSubjectChanges() {
      const ids = [...touched];
      touched.clear();
      return { changed: ids.flatMap((id) => compiler.subject(id) ?? []), removed: ids.filter((id) => compiler.subject(id) === undefined) };
    },
  };
}
