// World → artifacts → what each node must hold. One call is one revision; parts whose inputs did not change are reused.
// Called by the loop; pure but for its own memory.
import { type CidrAssignment, planCidrIdentities } from '@axoneme/identity';
import { type NamedPort, parsePort, parsePortProtocol } from '@axoneme/model';
import { cidrs as cidrsOf, compileAll, type OriginTable, type PolicyIdentity, type PolicyTable, policyArtifactName } from '@axoneme/policy';
import type { ArtifactBody } from '@axoneme/proto';
import { createServiceCompiler, readEndpointSlice, readService } from '@axoneme/service';
import type { Digest } from '@axoneme/std';
import type { OperatorConfig } from '../config.ts';
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
  shadowedIdentities,
} from './addresses.ts';
import { type Artifact, type ArtifactStore, backendsArtifact, createArtifactStore, serviceArtifact } from './artifacts.ts';
import { NODE_CONFIG, nodeConfigArtifact, routesArtifact, workloadArtifact } from './blobs.ts';
import { createPodViews, identitiesByText, labelsOfIdentity, type PodView } from './pods.ts';
import { createPolicyParser, type ParsedRow, type PolicyParser } from './policies.ts';
import { policyArtifact, subjectArtifact, subjectArtifactName } from './policy-artifacts.ts';

/** Result of one compile. Immutable; the next one replaces it. */
export interface Compiled {
  readonly policies: ReadonlyMap<string, ParsedRow>;
  readonly table: PolicyTable;
  readonly pods: readonly PlacedPod[];
  readonly nodes: readonly NodeAddresses[];
  /** Names of pods by address, for people. */
  readonly podByAddress: ReadonlyMap<string, string>;
  /** Identities whose own addresses every node must know. */
  readonly shadowed: ReadonlySet<number>;
  describeRule(id: number): string | undefined;
}

export interface Compiler {
  compile(tables: Tables, dirty: Dirty): Compiled;
  readonly artifacts: ArtifactStore;
  /** `node/config` is per node: same name, own content. */
  nodeConfig(node: string): Artifact | undefined;
  /** Content of any desired artifact, by name and version. */
  body(name: string, digest: Digest): ArtifactBody | undefined;
  podViews(tables: Tables): readonly PodView[];
}

const touches = (dirty: Dirty, ...names: readonly TableName[]): boolean => names.some((n) => dirty.has(n));

function namedPortsOf(pod: PlacedPod): NamedPort[] {
  return pod.view.row.namedPorts.flatMap((p) => {
    const port = parsePort(p.port);
    const protocol = parsePortProtocol(p.protocol);
    return port.ok && protocol.ok ? [{ name: p.name.toLowerCase(), port: port.value, protocol: protocol.value }] : [];
  });
}

function policyIdentities(tables: Tables, pods: readonly PlacedPod[]): PolicyIdentity[] {
  const ports = new Map<number, Map<string, NamedPort>>();
  for (const p of pods) {
    const list = namedPortsOf(p);
    if (list.length === 0) continue;
    const own = ports.get(p.identity) ?? new Map<string, NamedPort>();
    ports.set(p.identity, own);
    for (const n of list) own.set(`${n.name}/${n.protocol}/${n.port}`, n);
  }
  return [...tables.identities.values()].map((row) => ({
    id: row.id as PolicyIdentity['id'],
    labels: labelsOfIdentity(row),
    ...(ports.has(row.id) ? { namedPorts: [...ports.get(row.id)!.values()] } : {}),
  }));
}

function describeOrigin(origins: OriginTable['origins'], id: number): string | undefined {
  const o = origins.get(id as never);
  if (o === undefined) return undefined;
  const object = `${o.kind} ${o.namespace === '' ? o.name : `${o.namespace}/${o.name}`}`;
  const rule = o.list === 'default-deny' ? `default deny ${o.direction}` : `${o.list}[${o.index ?? 0}]`;
  const more = o.also === undefined || o.also.length === 0 ? '' : ` (and ${o.also.length} more)`;
  return `${object} ${rule}${more}`;
}

/** Replaces the artifacts of one kind: puts the given ones, removes those of before that are not among them. */
function createShelf(store: ArtifactStore): (artifacts: Iterable<Artifact>) => void {
  let held = new Set<string>();
  return (artifacts) => {
    const next = new Set<string>();
    for (const a of artifacts) {
      store.put(a);
      next.add(a.name);
    }
    for (const name of held) if (!next.has(name)) store.remove(name);
    held = next;
  };
}

function createServicePart(store: ArtifactStore): (tables: Tables, dirty: Dirty) => void {
  const compiler = createServiceCompiler();
  const shelf = createShelf(store);
  return (tables, dirty) => {
    if (!touches(dirty, 'services', 'slices')) return;
    const services = [...(dirty.get('services') ?? [])];
    const slices = [...(dirty.get('slices') ?? [])];
    const readable = slices.map((key) => ({ key, slice: tables.slices.has(key) ? readEndpointSlice(tables.slices.get(key)!) : undefined }));
    compiler.update({
      services: services.flatMap((k) => (tables.services.has(k) ? [readService(tables.services.get(k)!)] : [])),
      removedServices: services.filter((k) => !tables.services.has(k)) as never,
      slices: readable.flatMap((r) => (r.slice === undefined ? [] : [r.slice])),
      removedSlices: readable.filter((r) => r.slice === undefined).map((r) => r.key) as never,
    });
    const table = compiler.table();
    shelf([
      ...[...table.sets].map(([id, set]) => backendsArtifact(`backends/${id.toString(16).padStart(16, '0')}`, set)),
      ...[...table.services].map(([key, s]) => serviceArtifact(`service/${key}`, s)),
    ]);
  };
}

interface PolicyPart {
  readonly parser: PolicyParser;
  run(tables: Tables, dirty: Dirty, pods: readonly PlacedPod[]): { readonly table: PolicyTable; readonly cidrs: readonly CidrAssignment[] };
}

function createPolicyPart(store: ArtifactStore, config: OperatorConfig): PolicyPart {
  const parser = createPolicyParser(config.clusterName);
  const policyConfig = { mode: config.policyEnforcementMode, clusterName: config.clusterName, allowLocalhost: true } as const;
  const policies = createShelf(store);
  const subjects = createShelf(store);
  let cidrs: readonly CidrAssignment[] = [];
  let table: PolicyTable | undefined;
  let identitiesText = '';
  const policyArtifacts = new Map<string, Artifact>();

  const parseDirty = (tables: Tables, dirty: Dirty): boolean => {
    let changed = false;
    for (const key of dirty.get('policies') ?? []) {
      const row = tables.policies.get(key);
      if (row === undefined) changed = parser.forget(key) !== undefined || changed;
      else changed = parser.parse(key, row).changed || changed;
    }
    return changed;
  };
  const publish = (t: PolicyTable): void => {
    const wanted = [...t.policies.values()]
      .filter((rows) => rows.count > 0)
      .map((rows) => ({ name: policyArtifactName(rows.handle), rows }));
    const fresh = wanted.map(({ name, rows }) => policyArtifacts.get(name) ?? policyArtifact(name, rows));
    policyArtifacts.clear();
    for (const a of fresh) policyArtifacts.set(a.name, a);
    policies(fresh);
    subjects([...t.subjects.values()].map(subjectArtifact));
  };

  return {
    parser,
    run(tables, dirty, pods) {
      const rulesChanged = parseDirty(tables, dirty);
      const identities = policyIdentities(tables, pods);
      const text = identities
        .map(
          (i) =>
            `${i.id}=${i.labels.text}|${(i.namedPorts ?? [])
              .map((p) => `${p.name}/${p.protocol}/${p.port}`)
              .sort()
              .join()}`,
        )
        .sort()
        .join('\n');
      if (table !== undefined && !rulesChanged && text === identitiesText) return { table, cidrs };
      identitiesText = text;
      const rules = [...parser.all().values()].flatMap((p) => p.rules);
      cidrs = planCidrIdentities({ wanted: cidrsOf(rules), existing: cidrs, blocked: new Set() }).assignments;
      table = compileAll({ rules, identities, cidrIdentities: cidrs.map((c) => ({ id: c.id, cidr: c.cidr })) }, policyConfig);
      publish(table);
      return { table, cidrs };
    },
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
  let placed: readonly PlacedPod[] = [];
  let nodes: readonly NodeAddresses[] = [];
  let podByAddress: ReadonlyMap<string, string> = new Map();

  const placeAll = (tables: Tables): void => {
    const ids = identitiesByText(tables.identities.values(), labelsOfIdentity);
    placed = placePods(tables, views.list(tables), (text) => ids.get(text));
    podByAddress = new Map(
      placed.flatMap((p) => p.addresses.map((a) => [String(a), `${p.view.row.namespace}/${p.view.row.name}`] as const)),
    );
    // a pod without identity yet is not told to its node: it starts under reserved:init until then
    workloads(placed.filter((p) => p.view.row.node !== '' && p.identity !== 0).map(workloadArtifact));
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
    compile(tables, dirty) {
      if (touches(dirty, 'pods', 'namespaces', 'identities', 'endpoints')) placeAll(tables);
      if (touches(dirty, 'nodes', 'ciliumNodes')) placeNodes(tables);
      services(tables, dirty);
      const { table, cidrs } = policy.run(tables, dirty, placed);
      const input: IpcacheInput = { pods: placed, nodes, apiServers: apiServerAddresses(tables), cidrs };
      ipcache([...podIpcache(input).values()]);
      single([nodeIpcache(input), cidrIpcache(input), routesArtifact(nodes)]);
      return {
        policies: policy.parser.all(),
        table,
        pods: placed,
        nodes,
        podByAddress,
        shadowed: shadowedIdentities(input),
        describeRule: (id) => describeOrigin(table.origins, id),
      };
    },
  };
}

export { NODE_CONFIG, subjectArtifactName };
