// World → artifacts → what each node must hold. One call is one revision; parts whose inputs did not change are reused.
// Called by the loop; pure but for its own memory.
import type { Cidr, IdentityId } from '@axoneme/model';
import { isHostSubject, type PolicyReport, type PolicySource, type RuleOrigin, type SubjectSet } from '@axoneme/policy';
import type { ArtifactBody } from '@axoneme/proto';
import type { Digest } from '@axoneme/std';
import type { OperatorConfig } from '../config.ts';
import type { Dirty, TableName, Tables } from '../world/world.ts';
import {
  apiServerAddresses,
  type CidrRow,
  cidrIpcache,
  type IpcacheInput,
  type NodeAddresses,
  nodeAddresses,
  nodeIpcache,
} from './addresses.ts';
import { type Artifact, type ArtifactStore, createArtifactStore } from './artifacts.ts';
import { NODE_CONFIG, nodeConfigArtifact, routesArtifact, workloadArtifact, workloadArtifactName } from './blobs.ts';
import { createFleetPart, type FleetPart } from './fleets.ts';
import { createL2Part, type L2Part } from './l2.ts';
import { createLooks, type LookInput, type Looks } from './looks.ts';
import type { Moment } from './numbers.ts';
import { createPathMtus, type PathMtus } from './path-mtu.ts';
import { createPodAddresses, type PodAddresses } from './pod-addresses.ts';
import { createPodPart, type PlacedPod, type PodChange } from './pod-part.ts';
import { createPodViews, type PodView } from './pods.ts';
import type { ParsedRow } from './policies.ts';
import { createPolicyPart, type SubjectChanges } from './policy-part.ts';
import { type CompiledServices, createServicePart, type ServicePart } from './services.ts';
import type { Units } from './units.ts';

/** Result of one compile. Immutable; the next one replaces it. */
export interface Compiled {
  readonly policies: ReadonlyMap<string, ParsedRow>;
  /** Compiled policy of an identity, by layer; undefined for identities that are nobody's subject. */
  subject(id: number): SubjectSet | undefined;
  /** What host policies make of a node; undefined if none selects it. */
  host(node: string): SubjectSet | undefined;
  /** Pseudo identity under which host rules know a node. */
  hostId(node: string): number | undefined;
  /** References of a policy that name nothing, in words. Another list whenever the policy was bound anew. */
  missing(key: string): readonly string[];
  /** What the parts of a policy do at the moment; undefined for policies without rules. */
  report(key: string, inUse?: (identity: number) => boolean): PolicyReport | undefined;
  /** Identities and nodes a policy selects; empty for policies without rules. */
  selected(key: string): ReadonlySet<IdentityId>;
  /** Objects that select an identity. */
  policiesOn(id: IdentityId): readonly PolicySource[];
  /** Node of a pseudo identity. */
  nodeOfHost(id: IdentityId): string | undefined;
  origin(rule: number): RuleOrigin | undefined;
  readonly pods: readonly PlacedPod[];
  readonly nodes: readonly NodeAddresses[];
  readonly services: CompiledServices;
  readonly redirects: ServicePart['redirects'];
  /** Load balancer fleets by name. */
  readonly fleets: FleetPart['fleets'];
  readonly fleetInputs: FleetPart['inputs'];
  /** As of this compile, by Service, and by what fleets have instead. */
  readonly serviceRemarks: ReadonlyMap<string, readonly string[]>;
  readonly apiServers: IpcacheInput['apiServers'];
  /** Rows of `addr_class`. */
  readonly classRows: readonly CidrRow[];
  /** Counts: equal for equal policy of all subjects. */
  readonly version: number;
  /** How addresses look to policy. */
  looks(): Looks;
  /** Names of pods by address, for people. */
  podByAddress(address: string): string | undefined;
  /** Prefixes of `ipcache/cidr`. */
  readonly cidrs: readonly Cidr[];
  describeRule(id: number): string | undefined;
  /** `spec.log.value` of the policy a rule is of. */
  logOfRule(id: number): string | undefined;
}

export interface Compiler {
  /** Without `at` every compile is a revision that all nodes have at once. */
  compile(tables: Tables, dirty: Dirty, at?: Moment): Compiled;
  /** Compiles the same world again after other versions of `units` were chosen. */
  again(): Compiled;
  /** Policy objects and CIDR groups, and which version of each is used. */
  readonly units: Units;
  /** The last result is a revision. */
  publish(): void;
  /** Something waits until every node has the last revision: compile again then. */
  waits(): boolean;
  /** Node of a pseudo identity; its subject has an artifact of another name. */
  hostOf(id: IdentityId): string | undefined;
  readonly artifacts: ArtifactStore;
  /** What nodes say about the size of packets; a change is in `nodeConfig` at once, in Services with the next compile. */
  readonly pathMtus: Pick<PathMtus, 'hear'>;
  /** `node/config` is per node: same name, own content. */
  nodeConfig(node: string): Artifact | undefined;
  /** Services and host ports that are others on this node. */
  readonly ownServices: ServicePart['own'];
  /** Which backends of fleets each node checks. */
  readonly fleets: Omit<FleetPart, 'update' | 'body'>;
  /** What each node announces on its local network. */
  readonly l2: Omit<L2Part, 'update' | 'body'>;
  /** Content of any desired artifact, by name and version. */
  body(name: string, digest: Digest): ArtifactBody | undefined;
  podViews(tables: Tables): readonly PodView[];
  takeSubjectChanges(): SubjectChanges;
  /** Pods by key (undefined: gone) and keys of endpoints that changed since the last call. */
  takeWorkloadChanges(): WorkloadChanges;
  takeVerdictChanges(): VerdictChanges;
}

/** Of all compiles since the last call. */
export interface VerdictChanges {
  /** Keys of the table. */
  readonly policies: ReadonlySet<string>;
  /** By key; undefined: gone. */
  readonly pods: ReadonlyMap<string, PlacedPod | undefined>;
  /** Nodes came, went or have other labels. */
  readonly nodes: boolean;
}

export interface WorkloadChanges {
  readonly pods: ReadonlyMap<string, PlacedPod | undefined>;
  readonly endpoints: ReadonlySet<string>;
}

const touches = (dirty: Dirty, ...names: readonly TableName[]): boolean => names.some((n) => dirty.has(n));

function describeOrigin(o: RuleOrigin | undefined): string | undefined {
  if (o === undefined) return undefined;
  const object = `${o.kind} ${o.namespace === '' ? o.name : `${o.namespace}/${o.name}`}`;
  const rule = o.list === 'default-deny' ? `default deny ${o.direction}` : `${o.list}[${o.index ?? 0}]`;
  const more = o.also === undefined || o.also.length === 0 ? '' : ` (and ${o.also.length} more)`;
  return `${object} ${rule}${more}`;
}

/** Addresses that are no pod's. Parts whose inputs did not change are kept. */
function createAddressPart(store: ArtifactStore): (input: IpcacheInput, pods: PodAddresses, podsMoved: boolean) => void {
  let last: IpcacheInput | undefined;
  return (input, pods, podsMoved) => {
    const differs = (...parts: readonly (keyof IpcacheInput)[]): boolean => parts.some((p) => last?.[p] !== input[p]);
    if (differs('nodes', 'apiServers')) store.put(nodeIpcache(input));
    if (podsMoved || differs('nodes', 'apiServers', 'cidrs')) store.put(cidrIpcache(input, pods.has));
    if (differs('nodes')) store.put(routesArtifact(input.nodes));
    last = input;
  };
}

function createPodNames(pods: readonly PlacedPod[]): (address: string) => string | undefined {
  let names: ReadonlyMap<string, string> | undefined;
  return (address) => {
    // for people: made when the first of them asks
    names ??= new Map(pods.flatMap((p) => p.addresses.map((a) => [String(a), `${p.view.row.namespace}/${p.view.row.name}`] as const)));
    return names.get(address);
  };
}

/** A pod without identity yet is not told to its node: it starts under reserved:init until then. */
const isTold = (p: PlacedPod | undefined): boolean => p !== undefined && p.view.row.node !== '' && p.identity !== 0;

function publishWorkloads(store: ArtifactStore, changes: ReadonlyMap<string, PodChange>): void {
  for (const { before, after } of changes.values()) {
    if (isTold(after)) store.put(workloadArtifact(after!));
    else if (isTold(before)) store.remove(workloadArtifactName(before!.view.row.namespace, before!.view.row.name));
  }
}

function createPrefixMemo(): (rows: readonly CidrRow[]) => readonly Cidr[] {
  let held: { readonly rows: readonly CidrRow[]; readonly list: readonly Cidr[] } = { rows: [], list: [] };
  return (rows) => {
    if (held.rows !== rows) held = { rows, list: rows.map((r) => r.cidr) };
    return held.list;
  };
}

/** Made when somebody asks, and again when a part of the input changed. */
function createLooksMemo(): (input: LookInput) => Looks {
  let held: { readonly input: LookInput; readonly looks: Looks } | undefined;
  return (input) => {
    const keys = Object.keys(input) as (keyof LookInput)[];
    if (held === undefined || keys.some((k) => held?.input[k] !== input[k])) held = { input, looks: createLooks(input) };
    return held.looks;
  };
}

/** `node/config` of every node with a block; made anew when others take smaller packets. */
function createNodeConfigs(config: OperatorConfig, mtus: PathMtus) {
  const held = new Map<string, { readonly node: NodeAddresses; readonly limit: number; readonly artifact: Artifact }>();
  const make = (node: NodeAddresses): Artifact => {
    const limit = mtus.limit(node.name);
    const artifact = nodeConfigArtifact(node, config, limit);
    held.set(node.name, { node, limit, artifact });
    return artifact;
  };
  return {
    place(nodes: readonly NodeAddresses[]): void {
      held.clear();
      for (const n of nodes) if (n.podCidrs.length > 0) make(n);
    },
    get(name: string): Artifact | undefined {
      const h = held.get(name);
      return h === undefined || h.limit === mtus.limit(name) ? h?.artifact : make(h.node);
    },
    body(digest: Digest): ArtifactBody | undefined {
      for (const { artifact } of held.values()) if (artifact.digest === digest) return artifact.body;
      return undefined;
    },
  };
}

const nobody: ReadonlySet<IdentityId> = new Set();
const noneJudged = () => ({ policies: new Set<string>(), pods: new Set<string>(), nodes: false });

export function createCompiler(config: OperatorConfig): Compiler {
  const store = createArtifactStore();
  const views = createPodViews(config.clusterName);
  const services = createServicePart(store, config);
  const fleets = createFleetPart();
  const l2 = createL2Part(config);
  const policy = createPolicyPart(store, config);
  const addresses = createAddressPart(store);
  const podPart = createPodPart(views);
  const podAddresses = createPodAddresses(store);
  const pathMtus = createPathMtus();
  const nodeConfigs = createNodeConfigs(config, pathMtus);
  let apiServers: IpcacheInput['apiServers'] = new Set();
  let podNames = createPodNames([]);
  /** Of all compiles since the dispatcher asked. */
  let workloads = new Set<string>();
  let endpoints = new Set<string>();
  /** Of all compiles since the verdicts asked. */
  let judged = noneJudged();
  let nodes: readonly NodeAddresses[] = [];
  let serviceTable: CompiledServices = new Map();
  let revision = 0;

  const placeNodes = (tables: Tables): void => {
    nodes = nodeAddresses(tables, config.routingMode === 'tunnel');
    pathMtus.keep(nodes.map((n) => n.name));
    nodeConfigs.place(nodes);
  };
  const looksOf = createLooksMemo();
  const prefixes = createPrefixMemo();
  const finish = (podsMoved: boolean): Compiled => {
    const pods = podPart.pods();
    const cidrs = policy.cidrs();
    const input = { pods, nodes, apiServers, cidrs, classes: policy.classRows() };
    addresses({ nodes, apiServers, cidrs }, podAddresses, podsMoved);
    return {
      policies: policy.parser.all(),
      subject: (id) => policy.compiler.subject(id as IdentityId),
      host: (node) => {
        const id = policy.hosts.id(node);
        return id === undefined ? undefined : policy.compiler.subject(id);
      },
      hostId: policy.hosts.id,
      missing: policy.bindings.missing,
      report: (key, inUse) => {
        const bound = policy.bindings.all().get(key);
        return bound === undefined ? undefined : policy.compiler.report(bound.key, inUse);
      },
      selected: (key) => {
        const bound = policy.bindings.all().get(key);
        return bound === undefined ? nobody : policy.compiler.selected(bound.key);
      },
      policiesOn: (id) => policy.compiler.policiesOn(id),
      nodeOfHost: (id) => policy.hosts.node(id),
      origin: (id) => policy.compiler.origin(id as never),
      pods,
      nodes,
      podByAddress: podNames,
      services: serviceTable,
      redirects: services.redirects,
      fleets: fleets.fleets,
      fleetInputs: fleets.inputs,
      serviceRemarks: services.remarks(),
      apiServers,
      classRows: input.classes,
      version: policy.version(),
      looks: () => looksOf(input),
      cidrs: prefixes(cidrs),
      describeRule: (id) => describeOrigin(policy.compiler.origin(id as never)),
      logOfRule: (id) => policy.compiler.origin(id as never)?.log,
    };
  };

  return {
    artifacts: store,
    units: policy.units,
    pathMtus,
    nodeConfig: nodeConfigs.get,
    ownServices: services.own,
    fleets,
    l2,
    body(name, digest) {
      if (name !== NODE_CONFIG)
        return store.body(name, digest) ?? services.body(name, digest) ?? l2.body(name, digest) ?? fleets.body(name, digest);
      return nodeConfigs.body(digest);
    },
    podViews: (tables) => views.list(tables),
    takeSubjectChanges: policy.takeSubjectChanges,
    takeWorkloadChanges() {
      const out = { pods: new Map([...workloads].map((key) => [key, podPart.get(key)])), endpoints };
      workloads = new Set();
      endpoints = new Set();
      return out;
    },
    takeVerdictChanges() {
      const out = { ...judged, pods: new Map([...judged.pods].map((key) => [key, podPart.get(key)])) };
      judged = noneJudged();
      return out;
    },
    hostOf: (id) => (isHostSubject(id) ? policy.hosts.node(id) : undefined),
    publish: policy.publish,
    waits: policy.waits,
    compile(tables, dirty, at) {
      revision = at?.revision ?? revision + 1;
      for (const key of dirty.get('policies') ?? []) judged.policies.add(key);
      if (touches(dirty, 'nodes', 'ciliumNodes')) judged.nodes = true;
      if (touches(dirty, 'nodes', 'ciliumNodes')) placeNodes(tables);
      const changes = podPart.update(tables, dirty);
      podAddresses.update(changes, nodes);
      publishWorkloads(store, changes);
      if (changes.size > 0) podNames = createPodNames(podPart.pods());
      for (const key of changes.keys()) {
        workloads.add(key);
        judged.pods.add(key);
      }
      for (const key of dirty.get('endpoints') ?? []) endpoints.add(key);
      serviceTable = services.update(tables, dirty, nodes, pathMtus.smallest(), fleets.update(tables, dirty));
      l2.update(tables, dirty);
      if (touches(dirty, 'slices')) apiServers = apiServerAddresses(tables);
      policy.update({ tables, dirty, pods: changes, nodes, at: at ?? { revision, settled: revision - 1 } });
      return finish(changes.size > 0);
    },
    again() {
      policy.again();
      return finish(false);
    },
  };
}
