// One state of a cluster, compiled: the base or the head of a plan. Numbers are shared by both, so that equal rows have equal handles.
// Called by plan.ts.
import {
  type Cidr,
  cidrOfIp,
  createPrefixTable,
  type IdentityId,
  type IpAddr,
  type IpFamily,
  identityRanges,
  ipFamily,
  type Labels,
  type NamedPort,
  type PrefixTable,
  reservedIds,
} from '@axoneme/model';
import { cidrs as cidrsOf } from '../cidrs.ts';
import { planAddressClasses } from '../classes.ts';
import { layersOf, type SubjectSet } from '../layer-plan.ts';
import { createLayeredCompiler, type LayeredCompiler } from '../layers.ts';
import { classFirst } from '../rows.ts';
import { type PolicyKey, policyKey, type Rule } from '../rules.ts';
import { hostFirst, type PolicyConfig, type PolicyIdentity } from '../subjects.ts';
import type { PeerLook } from './invariants.ts';
import { createRegions, type Regions, signatureOf } from './region-cache.ts';
import type { SceneNode } from './scene.ts';

/** A pod, or all pods of a template. */
export interface PlanPod {
  /** The same workload has the same name in base and head. */
  readonly name: string;
  readonly labels: Labels;
  readonly namedPorts: readonly NamedPort[];
  /** Empty where none runs yet: such a pod has addresses of both families that no narrower prefix of a rule holds. */
  readonly addresses: readonly IpAddr[];
  readonly node?: string | undefined;
}

export interface PlanState {
  /** Bound. */
  readonly rules: readonly Rule[];
  readonly pods: readonly PlanPod[];
  readonly nodes: readonly SceneNode[];
  readonly config: PolicyConfig;
}

/** Rows by table. */
export interface Occupancy {
  readonly policy: number;
  readonly subject: number;
  readonly addressClasses: number;
  /** Prefixes that rules mention, and the addresses in the input. */
  readonly ipcache: number;
}

export interface Side {
  readonly state: PlanState;
  readonly regions: Regions;
  readonly compiler: LayeredCompiler;
  identityOf(labels: Labels): IdentityId;
  subject(id: IdentityId): SubjectSet | undefined;
  hostSubject(node: string): SubjectSet | undefined;
  classOf(address: IpAddr): IdentityId | undefined;
  /** Class of addresses nothing is known of. */
  unknownClass(family: IpFamily): IdentityId | undefined;
  /** How an address outside the cluster looks that is in no longer prefix. */
  lookOf(cidr: Cidr): PeerLook;
  readonly prefixes: readonly Cidr[];
  occupancy(): Occupancy;
}

export interface Numbering {
  of(space: 'identity' | 'cidr' | 'class' | 'host', key: string): IdentityId;
}

const firsts = {
  identity: identityRanges.clusterFirst,
  cidr: identityRanges.cidrFirst,
  class: classFirst + 1,
  host: hostFirst + 1,
} as const;

export function createNumbering(): Numbering {
  const spaces = {
    identity: new Map<string, number>(),
    cidr: new Map<string, number>(),
    class: new Map<string, number>(),
    host: new Map<string, number>(),
  };
  return {
    of(space, key) {
      const known = spaces[space].get(key);
      const n = known ?? firsts[space] + spaces[space].size;
      if (known === undefined) spaces[space].set(key, n);
      return n as IdentityId;
    },
  };
}

export function compileSide(state: PlanState, numbers: Numbering): Side {
  const compiler = createLayeredCompiler(state.config);
  const identityOf = (labels: Labels): IdentityId => numbers.of('identity', labels.text);
  const cidrList = cidrsOf(state.rules);
  const cidrTable = createPrefixTable<IdentityId>();
  for (const c of cidrList) cidrTable.set(c, numbers.of('cidr', c));
  const plan = planAddressClasses({ rules: state.rules, nodes: state.nodes });
  const classTable = createPrefixTable<IdentityId>();
  for (const r of plan.rows) classTable.set(r.cidr, numbers.of('class', r.key));
  const hosts = new Map(state.nodes.map((n) => [n.name, numbers.of('host', n.name)]));
  compiler.update({
    policies: policiesOf(state.rules),
    identities: identitiesOf(state.pods, identityOf),
    cidrIdentities: cidrList.map((cidr) => ({ cidr, id: numbers.of('cidr', cidr) })),
    classes: plan.classes.map(({ key, block, nodes }) => ({ id: numbers.of('class', key), block, nodes })),
    hosts: state.nodes.map((n) => ({ id: hosts.get(n.name)!, labels: n.labels })),
  });
  const whole = { 4: '0.0.0.0/0' as Cidr, 6: '::/0' as Cidr };
  return {
    state,
    compiler,
    regions: createRegions(),
    identityOf,
    subject: (id) => compiler.subject(id),
    hostSubject: (node) => (hosts.has(node) ? compiler.subject(hosts.get(node)!) : undefined),
    classOf: (address) => classTable.lookup(address)?.value,
    unknownClass: (family) => classTable.get(whole[family]),
    lookOf: (cidr) => lookIn(cidr, cidrTable, classTable),
    prefixes: [...new Set([...cidrList, ...plan.rows.map((r) => r.cidr)])],
    occupancy: () => occupancyOf(compiler, state, cidrList.length, plan.rows.length),
  };
}

function lookIn(cidr: Cidr, cidrs: PrefixTable<IdentityId>, classes: PrefixTable<IdentityId>): PeerLook {
  const world = cidr.includes(':') ? reservedIds['world-ipv6'] : reservedIds['world-ipv4'];
  return { peer: cidrs.covering(cidr)[0]?.value ?? world, cls: classes.covering(cidr)[0]?.value };
}

function policiesOf(rules: readonly Rule[]): { readonly key: PolicyKey; readonly rules: readonly Rule[] }[] {
  const byKey = Map.groupBy(rules, (r) => policyKey(r.source));
  return [...byKey].map(([key, own]) => ({ key, rules: own }));
}

function identitiesOf(pods: readonly PlanPod[], identityOf: (labels: Labels) => IdentityId): PolicyIdentity[] {
  const byText = Map.groupBy(pods, (p) => p.labels.text);
  return [...byText.values()].map((own) => {
    const ports = new Map(own.flatMap((p) => p.namedPorts).map((n) => [`${n.name}/${n.protocol}/${n.port}`, n]));
    const { labels } = own[0]!;
    return { id: identityOf(labels), labels, namedPorts: [...ports.values()] };
  });
}

function occupancyOf(compiler: LayeredCompiler, state: PlanState, cidrs: number, classRows: number): Occupancy {
  const table = compiler.table();
  const addresses = new Set([...state.pods.flatMap((p) => p.addresses), ...state.nodes.flatMap((n) => n.addresses)].map(cidrOfIp));
  let subject = 0;
  for (const s of table.subjects.values()) subject += layersOf(s).length;
  let policy = 0;
  for (const rows of table.policies.values()) policy += rows.count;
  return { policy, subject, addressClasses: classRows, ipcache: cidrs + addresses.size };
}

/** Subjects with equal text decide alike, in both states. */
export const subjectText = (s: SubjectSet | undefined): string => (s === undefined ? '' : signatureOf(s));
export const familiesIn = (addresses: readonly IpAddr[]): readonly IpFamily[] =>
  addresses.length === 0 ? [4, 6] : [...new Set(addresses.map(ipFamily))];
