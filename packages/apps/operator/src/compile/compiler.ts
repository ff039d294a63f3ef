// World → artifacts → what each node must hold. One call is one revision; parts whose inputs did not change are reused.
// Called by the loop; pure but for its own memory.
import type { Cidr, IdentityId } from '@axoneme/model';
import type { RuleOrigin, SubjectPolicy } from '@axoneme/policy';
import type { ArtifactBody } from '@axoneme/proto';
import {
  backendsArtifactName,
  type CompiledService,
  createServiceCompiler,
  readEndpointSlice,
  readService,
  serviceArtifactName,
} from '@axoneme/service';
import type { Digest } from '@axoneme/std';
import type { OperatorConfig } from '../config.ts';
import type { PodRow } from '../world/rows.ts';
import type { Dirty, TableName, Tables } from '../world/world.ts';
import {
  apiServerAddresses,
  cidrIpcache,
  type IpcacheInput,
  type NodeAddresses,
  nodeAddresses,
  nodeIpcache,
  type PlacedPod,
  placePods,
  podIpcache,
} from './addresses.ts';
import { type Artifact, type ArtifactStore, backendsArtifact, createArtifactStore, serviceArtifact } from './artifacts.ts';
import { NODE_CONFIG, nodeConfigArtifact, routesArtifact, workloadArtifact } from './blobs.ts';
import { createPodViews, identitiesByText, labelsOfIdentity, type PodView } from './pods.ts';
import type { ParsedRow } from './policies.ts';
import { createPolicyPart, type SubjectChanges } from './policy-part.ts';
import { createShelf } from './shelf.ts';

/** Result of one compile. Immutable; the next one replaces it. */
export interface Compiled {
  readonly policies: ReadonlyMap<string, ParsedRow>;
  /** Compiled policy of an identity; undefined for identities that are nobody's subject. */
  subject(id: number): SubjectPolicy | undefined;
  readonly pods: readonly PlacedPod[];
  readonly nodes: readonly NodeAddresses[];
  readonly services: CompiledServices;
  /** Names of pods by address, for people. */
  readonly podByAddress: ReadonlyMap<string, string>;
  /** Prefixes of `ipcache/cidr`. */
  readonly cidrs: readonly Cidr[];
  describeRule(id: number): string | undefined;
  /** `spec.log.value` of the policy a rule is of. */
  logOfRule(id: number): string | undefined;
}

export interface Compiler {
  compile(tables: Tables, dirty: Dirty): Compiled;
  readonly artifacts: ArtifactStore;
  /** `node/config` is per node: same name, own content. */
  nodeConfig(node: string): Artifact | undefined;
  /** Content of any desired artifact, by name and version. */
  body(name: string, digest: Digest): ArtifactBody | undefined;
  podViews(tables: Tables): readonly PodView[];
  takeSubjectChanges(): SubjectChanges;
}

const touches = (dirty: Dirty, ...names: readonly TableName[]): boolean => names.some((n) => dirty.has(n));

function describeOrigin(o: RuleOrigin | undefined): string | undefined {
  if (o === undefined) return undefined;
  const object = `${o.kind} ${o.namespace === '' ? o.name : `${o.namespace}/${o.name}`}`;
  const rule = o.list === 'default-deny' ? `default deny ${o.direction}` : `${o.list}[${o.index ?? 0}]`;
  const more = o.also === undefined || o.also.length === 0 ? '' : ` (and ${o.also.length} more)`;
  return `${object} ${rule}${more}`;
}

type CompiledServices = ReadonlyMap<string, CompiledService>;

function createServicePart(store: ArtifactStore): (tables: Tables, dirty: Dirty) => CompiledServices {
  const compiler = createServiceCompiler();
  let compiled: CompiledServices = new Map();
  return (tables, dirty) => {
    if (!touches(dirty, 'services', 'slices')) return compiled;
    const services = [...(dirty.get('services') ?? [])];
    const slices = [...(dirty.get('slices') ?? [])];
    const readable = slices.map((key) => ({ key, slice: tables.slices.has(key) ? readEndpointSlice(tables.slices.get(key)!) : undefined }));
    const delta = compiler.update({
      services: services.flatMap((k) => (tables.services.has(k) ? [readService(tables.services.get(k)!)] : [])),
      removedServices: services.filter((k) => !tables.services.has(k)) as never,
      slices: readable.flatMap((r) => (r.slice === undefined ? [] : [r.slice])),
      removedSlices: readable.filter((r) => r.slice === undefined).map((r) => r.key) as never,
    });
    for (const set of delta.addedSets) store.put(backendsArtifact(backendsArtifactName(set.id), set));
    for (const s of delta.changed) store.put(serviceArtifact(serviceArtifactName(s.key), s));
    for (const key of delta.removed) store.remove(serviceArtifactName(key));
    for (const id of delta.removedSets) store.remove(backendsArtifactName(id));
    compiled = compiler.table().services;
    return compiled;
  };
}

export function createCompiler(config: OperatorConfig): Compiler {
  const store = createArtifactStore();
  const views = createPodViews(config.clusterName);
  const services = createServicePart(store);
  const policy = createPolicyPart(store, config);
  const ipcache = createShelf(store);
  const workloads = createShelf(store);
  const single = createShelf(store);
  const nodeConfigs = new Map<string, Artifact>();
  // rows are immutable: a pod that did not change keeps its encoded artifact
  const workloadMemo = new WeakMap<PodRow, { readonly identity: number; readonly artifact: Artifact }>();
  let apiServers: IpcacheInput['apiServers'] = new Set();
  let addressed: IpcacheInput | undefined;
  let placed: readonly PlacedPod[] = [];
  let nodes: readonly NodeAddresses[] = [];
  let podByAddress: ReadonlyMap<string, string> = new Map();

  const workloadOf = (p: PlacedPod): Artifact => {
    const held = workloadMemo.get(p.view.row);
    if (held?.identity === p.identity) return held.artifact;
    const artifact = workloadArtifact(p);
    workloadMemo.set(p.view.row, { identity: p.identity, artifact });
    return artifact;
  };
  const placeAll = (tables: Tables): void => {
    const ids = identitiesByText(tables.identities.values(), labelsOfIdentity);
    placed = placePods(tables, views.list(tables), (text) => ids.get(text));
    podByAddress = new Map(
      placed.flatMap((p) => p.addresses.map((a) => [String(a), `${p.view.row.namespace}/${p.view.row.name}`] as const)),
    );
    // a pod without identity yet is not told to its node: it starts under reserved:init until then
    workloads(placed.filter((p) => p.view.row.node !== '' && p.identity !== 0).map(workloadOf));
  };
  const placeNodes = (tables: Tables): void => {
    nodes = nodeAddresses(tables, config.routingMode === 'tunnel');
    nodeConfigs.clear();
    for (const n of nodes) if (n.podCidrs.length > 0) nodeConfigs.set(n.name, nodeConfigArtifact(n, config));
  };

  return {
    artifacts: store,
    nodeConfig: (node) => nodeConfigs.get(node),
    body(name, digest) {
      if (name !== NODE_CONFIG) return store.body(name, digest);
      for (const a of nodeConfigs.values()) if (a.digest === digest) return a.body;
      return undefined;
    },
    podViews: (tables) => views.list(tables),
    takeSubjectChanges: policy.takeSubjectChanges,
    compile(tables, dirty) {
      if (touches(dirty, 'pods', 'namespaces', 'identities', 'endpoints')) placeAll(tables);
      if (touches(dirty, 'nodes', 'ciliumNodes')) placeNodes(tables);
      const serviceTable = services(tables, dirty);
      const cidrs = policy.update(tables, dirty, placed);
      if (touches(dirty, 'slices')) apiServers = apiServerAddresses(tables);
      const input: IpcacheInput = { pods: placed, nodes, apiServers, cidrs };
      const moved = addressed?.pods !== placed || addressed.nodes !== nodes;
      if (moved) ipcache([...podIpcache(input).values()]);
      if (moved || addressed?.cidrs !== cidrs || addressed.apiServers !== apiServers)
        single([nodeIpcache(input), cidrIpcache(input), routesArtifact(nodes)]);
      addressed = input;
      return {
        policies: policy.parser.all(),
        subject: (id) => policy.compiler.subject(id as IdentityId),
        pods: placed,
        nodes,
        podByAddress,
        services: serviceTable,
        cidrs: cidrs.map((c) => c.cidr),
        describeRule: (id) => describeOrigin(policy.compiler.origin(id as never)),
        logOfRule: (id) => policy.compiler.origin(id as never)?.log,
      };
    },
  };
}
