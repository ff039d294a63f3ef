// One Service × its EndpointSlices → frontends and backend sets, and what differs on which node. Pure core of compileAll and of the incremental
// compiler. Nodes are no input: a compiled Service says what it is for the facts of any node, so that nodes come and go without a compile.
import { type Cidr, type IpFamily, ipFamily, labelsFromMap, matchesSelector, type ObjectKey } from '@axoneme/model';
import { canonicalJson, hash64, type NodeName } from '@axoneme/std';
import { selectServing } from './backend-state.ts';
import { type BackendSet, type Candidate, candidatesOf, createSet, localOf, nearOf, type Place } from './backends.ts';
import type { CompileContext, PortRedirect } from './context.ts';
import { type Frontend, type FrontendPlan, frontendFlags, frontendOf, planFrontends } from './frontends.ts';
import type { NodeInput, ServiceConfig, ServiceInput, ServicePort, SliceInput } from './inputs.ts';

/** What a Service is on a node. */
export interface ServiceContent {
  readonly frontends: readonly Frontend[];
  /** Sets the frontends point at, by ascending id; empty sets are left out. */
  readonly sets: readonly BackendSet[];
  /** For `healthCheckNodePort`: how many active backends are on the node. */
  readonly health: { readonly port: number; readonly local: number } | undefined;
  /** Changes exactly when something above does. */
  readonly hash: bigint;
}

export interface SourceRange {
  readonly serviceId: number;
  readonly cidr: Cidr;
}

/** Nodes that may have other content than the rest. */
export interface Watch {
  readonly everyNode: boolean;
  readonly nodes: ReadonlySet<string>;
}

/** As content: that of nodes where nothing is special. */
export interface CompiledService extends ServiceContent {
  readonly key: ObjectKey;
  readonly watch: Watch;
  /** It is on some nodes only: its sets and tables are theirs, not everybody's. */
  readonly restricted: boolean;
  /** Equal nodes share one object. */
  contentOf(node: Pick<NodeInput, 'name' | 'zone' | 'labels'>): ServiceContent;
  /** Sets that some node may have. */
  readonly allSets: readonly BackendSet[];
  /** Of load balancer addresses, the same on all nodes. */
  readonly sources: readonly SourceRange[];
  /** Sets that need a Maglev table. */
  readonly tables: readonly BackendSet[];
  /** What was not understood or refused, in words. */
  readonly remarks: readonly string[];
  /** Changes when something of the service does, on any node. */
  readonly fullHash: bigint;
}

/** `backends/<set>` */
export const backendsArtifactName = (set: bigint): string => `backends/${set.toString(16).padStart(16, '0')}`;
/** `maglev/<set>-<size>` */
export const maglevArtifactName = (set: bigint, size: number): string => `maglev/${set.toString(16).padStart(16, '0')}-${size}`;
/** `service/<namespace>/<name>` */
export const serviceArtifactName = (key: ObjectKey): string => `service/${key}`;
/** `source/<namespace>/<name>` */
export const sourceArtifactName = (key: ObjectKey): string => `source/${key}`;

export const bySetId = (a: BackendSet, b: BackendSet): number => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

export function sealContent(
  frontends: readonly Frontend[],
  sets: readonly BackendSet[],
  health?: ServiceContent['health'],
): ServiceContent {
  const facts = frontends.map((f) => ({ ...f, setIn: f.setIn.toString(), setOut: f.setOut.toString() }));
  return { frontends, sets: [...sets].sort(bySetId), health, hash: hash64(canonicalJson([facts, health ?? null])) };
}

const nothing: ServiceContent = sealContent([], []);

export function compileService(service: ServiceInput, slices: readonly SliceInput[], ctx: CompileContext): CompiledService {
  const ours = service.proxyName === ctx.config.proxyName;
  const remarks = ours ? [...service.remarks, ...slices.flatMap((s) => s.remarks.map((r) => `${s.key}: ${r}`))] : [];
  const plans = planFrontends(service, ctx, (text) => void remarks.push(text));
  const recipe = createRecipe(service, slices, plans, ctx);
  const contents = recipe.places.map((p) => recipe.at(p));
  const general = isRestricted(service) ? nothing : contents[0]!;
  const { sets, tables, sources } = gather(service, contents);
  const facts = [contents.map((c) => c.hash.toString()), recipe.facts, restriction(service), sources, remarks];
  return {
    ...general,
    key: service.key,
    watch: { everyNode: plans.length > 0 && (isRestricted(service) || recipe.zones), nodes: recipe.nodes },
    restricted: isRestricted(service),
    contentOf: (node) => (runsOn(service, node) ? recipe.at(recipe.place(node)) : nothing),
    allSets: sets,
    sources,
    tables,
    remarks,
    fullHash: hash64(canonicalJson(facts)),
  };
}

function gather(
  service: ServiceInput,
  contents: readonly ServiceContent[],
): Pick<CompiledService, 'sources' | 'tables'> & { sets: BackendSet[] } {
  const sets = new Map<bigint, BackendSet>();
  const tables = new Map<bigint, BackendSet>();
  const ranged = new Set<number>();
  for (const c of contents) {
    for (const s of c.sets) sets.set(s.id, s);
    for (const f of c.frontends) {
      if (f.maglevSize > 0) tables.set(f.setOut, sets.get(f.setOut)!);
      if (f.sourceRanges) ranged.add(f.serviceId);
    }
  }
  const sources = [...ranged].sort((a, b) => a - b).flatMap((serviceId) => service.sourceRanges.map((cidr) => ({ serviceId, cidr })));
  return { sets: [...sets.values()].sort(bySetId), tables: [...tables.values()].sort(bySetId), sources };
}

const isRestricted = (s: ServiceInput): boolean => s.nodes !== undefined || s.nodeSelector !== undefined;
const restriction = (s: ServiceInput): unknown => [
  s.nodes === undefined ? null : [...s.nodes].sort(),
  s.nodeSelector?.requirements ?? null,
];

function runsOn(s: ServiceInput, node: Pick<NodeInput, 'name' | 'labels'>): boolean {
  if (s.nodes !== undefined && !s.nodes.has(node.name)) return false;
  return s.nodeSelector === undefined || matchesSelector(s.nodeSelector, labelsFromMap(node.labels));
}

type Pools = (port: ServicePort, family: IpFamily) => readonly Candidate[];

interface Recipe {
  at(place: Place): ServiceContent;
  /** The place as far as this service tells places apart. */
  place(node: Pick<NodeInput, 'name' | 'zone'>): Place;
  /** Between them they have every set; the first is where nothing is special. */
  readonly places: readonly Place[];
  readonly nodes: ReadonlySet<string>;
  /** Zones are told apart. */
  readonly zones: boolean;
  /** What tells places apart. */
  readonly facts: unknown;
}

/** Contents by place, each made once: nodes of one zone, or without local backends, share theirs. */
function createRecipe(
  service: ServiceInput,
  slices: readonly SliceInput[],
  plans: readonly FrontendPlan[],
  { config, redirectsOf }: CompileContext,
): Recipe {
  const redirected = redirectsOf(service);
  const pools = new Map<string, readonly Candidate[]>();
  const poolOf: Pools = (port, family) => {
    const at = `${family} ${port.name} ${port.protocol}`;
    const pool = pools.get(at) ?? candidatesOf(port, family, slices);
    pools.set(at, pool);
    return pool;
  };
  const local = service.internalLocal || (service.externalLocal && plans.some((p) => p.external));
  const endpoints = plans.length === 0 ? [] : slices.flatMap((s) => s.endpoints);
  const nodes = new Set<string>();
  const zones = new Set<string>();
  for (const e of endpoints) {
    if (local && e.node !== '') nodes.add(e.node);
    if (service.near === 'node') for (const n of e.hintNodes) nodes.add(n);
    if (service.near !== 'any') for (const z of e.hintZones) zones.add(z);
  }
  const led = plans.length === 0 ? [] : [...redirected.values()].flatMap((r) => [...r.byNode.keys()]);
  for (const node of led) nodes.add(node);
  const made = new Map<string, ServiceContent>();
  return {
    nodes,
    zones: zones.size > 0,
    places: [
      { node: '', zone: '' },
      ...[...zones].sort().map((zone) => ({ node: '', zone })),
      ...[...nodes].sort().map((node) => ({ node, zone: '' })),
    ],
    facts: nodes.size + zones.size === 0 ? null : [endpoints.map((e) => [e.addresses, e.node, e.hintNodes, e.hintZones]), led],
    place: (n) => ({ node: nodes.has(n.name) ? n.name : '', zone: zones.has(n.zone) ? n.zone : '' }),
    at(place) {
      const text = `${place.node} ${place.zone}`;
      const content = made.get(text) ?? contentAt(place, service, plans, poolOf, config, redirected);
      made.set(text, content);
      return content;
    },
  };
}

function contentAt(
  place: Place,
  service: ServiceInput,
  plans: readonly FrontendPlan[],
  poolOf: Pools,
  config: ServiceConfig,
  redirected: ReadonlyMap<string, PortRedirect>,
): ServiceContent {
  const sets = new Map<bigint, BackendSet>();
  const made = new Map<string, BackendSet | undefined>();
  const setOf = (port: ServicePort, family: IpFamily, local: boolean): BackendSet | undefined => {
    const at = `${family} ${port.name} ${port.protocol} ${local}`;
    if (made.has(at)) return made.get(at);
    const pool = poolOf(port, family);
    const here = local ? localOf(pool, place.node) : pool;
    const set = createSet(port.protocol, local ? selectServing(here) : nearOf(pool, service.near, place), here);
    made.set(at, set);
    if (set !== undefined) sets.set(set.id, set);
    return set;
  };
  const frontends = plans.map((plan) => {
    const { port } = plan;
    if (port === undefined) return frontendOf(plan, service, config, undefined, undefined);
    const family = ipFamily(plan.ip);
    const redirect = plan.kind === 'cluster-ip' ? redirected.get(`${port.port}/${port.protocol}`) : undefined;
    const pods = redirect?.byNode.get(place.node as NodeName)?.filter((c) => ipFamily(c.ip) === family) ?? [];
    if (redirect !== undefined && pods.length > 0) {
      const led = createSet(port.protocol, pods)!;
      sets.set(led.id, led);
      if (!redirect.skipOwn) return frontendOf(plan, service, config, led, led, frontendFlags.localRedirect);
      // the original backends, for the pods themselves
      const original = setOf(port, family, service.internalLocal);
      return frontendOf(plan, service, config, led, original, frontendFlags.localRedirect | frontendFlags.skipOwn);
    }
    const inside = setOf(port, family, service.internalLocal);
    return frontendOf(plan, service, config, inside, plan.external ? setOf(port, family, service.externalLocal) : inside);
  });
  return sealContent(frontends, [...sets.values()], healthAt(place, service, poolOf));
}

/** Counted by the first port and family: a pod has them all. */
function healthAt(place: Place, service: ServiceInput, poolOf: Pools): ServiceContent['health'] {
  const [port, ip] = [service.ports[0], service.clusterIps[0]];
  if (service.healthCheckPort === 0 || port === undefined || ip === undefined) return undefined;
  const local = localOf(poolOf(port, ipFamily(ip)), place.node).filter((c) => c.state === 'active').length;
  return { port: service.healthCheckPort, local };
}
