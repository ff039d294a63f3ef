// compileAll is the truth, update is the speed. Called by the operator's compile loop.
import type { ObjectKey } from '@axoneme/model';
import type { NodeName } from '@axoneme/std';
import type { BackendSet } from './backends.ts';
import { type Conflict, createClaims } from './claims.ts';
import { type CompiledService, compileService, type ServiceContent } from './compile.ts';
import type { CompileContext } from './context.ts';
import { createDsrRoom } from './dsr-room.ts';
import { createGuard } from './guard.ts';
import { type CompiledHostPorts, createHostPorts } from './host-ports.ts';
import {
  type HostPortPod,
  type NodeInput,
  type RedirectInput,
  type RedirectPod,
  type ServiceConfig,
  type ServiceInput,
  type SliceInput,
  serviceDefaults,
} from './inputs.ts';
import { type CompiledRedirect, createRedirects, type RedirectWorld } from './redirects.ts';
import { createUses } from './uses.ts';

export interface ServiceSnapshot {
  readonly services: readonly ServiceInput[];
  readonly slices: readonly SliceInput[];
  readonly nodes?: readonly NodeInput[] | undefined;
  readonly pods?: readonly HostPortPod[] | undefined;
  readonly redirects?: readonly RedirectInput[] | undefined;
  /** Those of namespaces with redirects. */
  readonly redirectPods?: readonly RedirectPod[] | undefined;
  /** Largest packet of a pod that every node takes; 0: not known. */
  readonly pathMtu?: number | undefined;
}

export interface ServiceTable {
  readonly services: ReadonlyMap<ObjectKey, CompiledService>;
  readonly hostPorts: ReadonlyMap<ObjectKey, CompiledHostPorts>;
  readonly redirects: ReadonlyMap<ObjectKey, CompiledRedirect>;
  /** Of services that are on all nodes, as `tables`. */
  readonly sets: ReadonlyMap<bigint, BackendSet>;
  /** Sets that need a Maglev table. */
  readonly tables: ReadonlyMap<bigint, BackendSet>;
}

/** Sets and tables that all nodes have; those of a restricted service are in what it is on a node. */
const sharedSets = (s: CompiledService | undefined): readonly BackendSet[] => (s === undefined || s.restricted ? [] : s.allSets);
const sharedTables = (s: CompiledService | undefined): readonly BackendSet[] => (s === undefined || s.restricted ? [] : s.tables);

/** Services without frontends on any node (headless, ExternalName) are not in the result, unless there is something to say about them. */
const exists = (s: CompiledService): boolean =>
  s.frontends.length > 0 || s.watch.everyNode || s.watch.nodes.size > 0 || s.remarks.length > 0;

export function compileAll(snapshot: ServiceSnapshot, config: ServiceConfig = serviceDefaults): ServiceTable {
  const claims = createClaims();
  for (const s of snapshot.services) claims.put(s);
  const index = createRedirects();
  const touched = { redirects: new Set<ObjectKey>(), services: new Set<ObjectKey>() };
  for (const r of snapshot.redirects ?? []) index.put(r, touched);
  for (const p of snapshot.redirectPods ?? []) index.putPod(p, touched);
  const ctx: CompileContext = {
    claims,
    config,
    guard: createGuard(snapshot.nodes ?? [], config),
    dsrRoom: createDsrRoom(snapshot.pathMtu ?? 0),
    redirectsOf: index.portsOf,
  };
  const services = new Map<ObjectKey, CompiledService>();
  const sets = new Map<bigint, BackendSet>();
  const tables = new Map<bigint, BackendSet>();
  for (const s of snapshot.services) {
    const own = snapshot.slices.filter((slice) => slice.service === s.key).sort(bySliceKey);
    const compiled = compileService(s, own, ctx);
    if (!exists(compiled)) continue;
    services.set(s.key, compiled);
    for (const set of sharedSets(compiled)) sets.set(set.id, set);
    for (const set of sharedTables(compiled)) tables.set(set.id, set);
  }
  const pods = createHostPorts();
  const hostPorts = new Map<ObjectKey, CompiledHostPorts>();
  for (const p of snapshot.pods ?? []) pods.put(p);
  for (const p of snapshot.pods ?? []) {
    const compiled = pods.compile(p.key, claims.isNodePort, config);
    if (compiled === undefined) continue;
    hostPorts.set(p.key, compiled);
    for (const set of compiled.sets) sets.set(set.id, set);
  }
  const apiServers = new Set(
    snapshot.slices.filter((x) => x.service === API_SERVER).flatMap((x) => x.endpoints.flatMap((e) => e.addresses)),
  );
  const world: RedirectWorld = {
    ...ctx,
    service: (key) => snapshot.services.find((s) => s.key === key),
    isApiServer: (ip) => apiServers.has(ip),
  };
  const redirects = new Map<ObjectKey, CompiledRedirect>();
  for (const r of snapshot.redirects ?? []) redirects.set(r.key, index.compile(r.key, world)!);
  for (const r of redirects.values()) for (const set of r.sets) sets.set(set.id, set);
  return { services, hostPorts, redirects, sets, tables };
}

/** Its backends are the API server. */
const API_SERVER = 'default/kubernetes' as ObjectKey;

/** What one node has, by service. */
export function compileFor(table: ServiceTable, node: NodeInput): Map<ObjectKey, ServiceContent> {
  const out = new Map<ObjectKey, ServiceContent>();
  for (const [key, s] of table.services) {
    const content = s.contentOf(node);
    if (content.frontends.length > 0) out.set(key, content);
  }
  return out;
}

export interface ServiceChanges {
  readonly services?: readonly ServiceInput[] | undefined;
  readonly removedServices?: readonly ObjectKey[] | undefined;
  readonly slices?: readonly SliceInput[] | undefined;
  readonly removedSlices?: readonly ObjectKey[] | undefined;
  readonly nodes?: readonly NodeInput[] | undefined;
  readonly removedNodes?: readonly NodeName[] | undefined;
  readonly pods?: readonly HostPortPod[] | undefined;
  readonly removedPods?: readonly ObjectKey[] | undefined;
  readonly redirects?: readonly RedirectInput[] | undefined;
  readonly removedRedirects?: readonly ObjectKey[] | undefined;
  readonly redirectPods?: readonly RedirectPod[] | undefined;
  readonly removedRedirectPods?: readonly ObjectKey[] | undefined;
  readonly pathMtu?: number | undefined;
}

/** Difference to the table before the update; sets first, so that none is pointed at before it exists. */
export interface ServiceDelta {
  readonly addedSets: readonly BackendSet[];
  readonly addedTables: readonly BackendSet[];
  readonly changed: readonly CompiledService[];
  readonly removed: readonly ObjectKey[];
  /** By node: services whose content there is another one than in general, and undefined for those that are as in general (again). */
  readonly variants: ReadonlyMap<NodeName, ReadonlyMap<ObjectKey, ServiceContent | undefined>>;
  readonly changedHostPorts: readonly CompiledHostPorts[];
  readonly removedHostPorts: readonly CompiledHostPorts[];
  /** By node: what local redirects of addresses are there; undefined: nothing any more. */
  readonly redirects: ReadonlyMap<NodeName, ReadonlyMap<ObjectKey, ServiceContent | undefined>>;
  readonly removedTables: readonly bigint[];
  readonly removedSets: readonly bigint[];
}

export interface ServiceCompiler {
  update(changes: ServiceChanges): ServiceDelta;
  table(): ServiceTable;
  /** As they are now: changed by the next update. */
  readonly services: ReadonlyMap<ObjectKey, CompiledService>;
  readonly redirects: ReadonlyMap<ObjectKey, CompiledRedirect>;
  conflicts(): readonly Conflict[];
}

const bySliceKey = (a: SliceInput, b: SliceInput): number => (a.key < b.key ? -1 : 1);

/** Holds private indexes; its table equals compileAll of the same objects after any history. */
export function createServiceCompiler(config: ServiceConfig = serviceDefaults): ServiceCompiler {
  const inputs = createInputs(config);
  const services = new Map<ObjectKey, CompiledService>();
  const hostPorts = new Map<ObjectKey, CompiledHostPorts>();
  const redirects = createRedirectTable();
  const sets = createUses();
  const tables = createUses();
  const variants = createVariants(inputs.nodes, services);

  const replace = (key: ObjectKey, next: CompiledService | undefined): void => {
    const old = services.get(key);
    sets.change(sharedSets(old), sharedSets(next));
    tables.change(sharedTables(old), sharedTables(next));
    if (next === undefined) services.delete(key);
    else services.set(key, next);
    variants.replaced(key, old, next);
  };
  const replacePod = (key: ObjectKey, next: CompiledHostPorts | undefined): void => {
    sets.change(hostPorts.get(key)?.sets ?? [], next?.sets ?? []);
    if (next === undefined) hostPorts.delete(key);
    else hostPorts.set(key, next);
  };
  return {
    table: () => ({
      services: new Map(services),
      hostPorts: new Map(hostPorts),
      redirects: new Map(redirects.all),
      sets: sets.all(),
      tables: tables.all(),
    }),
    services,
    redirects: redirects.all,
    conflicts: inputs.claims.conflicts,
    update(changes) {
      const dirty = inputs.take(changes);
      const changed: CompiledService[] = [];
      const removed: ObjectKey[] = [];
      const changedHostPorts: CompiledHostPorts[] = [];
      const removedHostPorts: CompiledHostPorts[] = [];
      for (const key of [...dirty.services].sort()) {
        const next = inputs.compile(key);
        const old = services.get(key);
        if (old?.fullHash === next?.fullHash) continue;
        replace(key, next);
        if (next === undefined) removed.push(key);
        else changed.push(next);
      }
      for (const key of [...dirty.pods].sort()) {
        const next = inputs.compilePod(key);
        const old = hostPorts.get(key);
        if (old?.hash === next?.hash && old?.node === next?.node) continue;
        replacePod(key, next);
        if (next !== undefined) changedHostPorts.push(next);
        if (old !== undefined && old.node !== next?.node) removedHostPorts.push(old);
      }
      for (const key of [...dirty.redirects].sort()) {
        const next = inputs.compileRedirect(key);
        sets.change(redirects.all.get(key)?.sets ?? [], next?.sets ?? []);
        redirects.replace(key, next);
      }
      const s = sets.take();
      const t = tables.take();
      return {
        addedSets: s.added,
        addedTables: t.added,
        changed,
        removed,
        variants: variants.take(dirty.nodes),
        changedHostPorts,
        removedHostPorts,
        redirects: redirects.take(dirty.nodes),
        removedTables: t.removed,
        removedSets: s.removed,
      };
    },
  };
}

/** Redirects of addresses, and what nodes must be told of them. */
function createRedirectTable() {
  const all = new Map<ObjectKey, CompiledRedirect>();
  let out = new Map<NodeName, Map<ObjectKey, ServiceContent | undefined>>();
  const tell = (node: NodeName, key: ObjectKey): void => {
    const list = out.get(node) ?? new Map<ObjectKey, ServiceContent | undefined>();
    out.set(node, list.set(key, all.get(key)?.byNode.get(node)));
  };
  return {
    all: all as ReadonlyMap<ObjectKey, CompiledRedirect>,
    replace(key: ObjectKey, next: CompiledRedirect | undefined): void {
      const old = all.get(key);
      if (old?.hash === next?.hash) return;
      if (next === undefined) all.delete(key);
      else all.set(key, next);
      for (const node of new Set([...(old?.byNode.keys() ?? []), ...(next?.byNode.keys() ?? [])])) tell(node, key);
    },
    take(changedNodes: ReadonlySet<NodeName>): ServiceDelta['redirects'] {
      for (const node of changedNodes) for (const r of all.values()) if (r.byNode.has(node)) tell(node, r.key);
      const done = out;
      out = new Map();
      return done;
    },
  };
}

interface Dirty {
  readonly services: Set<ObjectKey>;
  readonly redirects: Set<ObjectKey>;
  readonly pods: Set<ObjectKey>;
  /** New, or with another zone or other labels. */
  readonly nodes: Set<NodeName>;
}

function createInputs(config: ServiceConfig) {
  const held = new Map<ObjectKey, ServiceInput>();
  const claims = createClaims();
  const pods = createHostPorts();
  const slices = new Map<ObjectKey, SliceInput>();
  const slicesOf = new Map<ObjectKey, Map<ObjectKey, SliceInput>>();
  const nodes = new Map<NodeName, NodeInput>();
  /** Services with addresses that the guard has a say in. */
  const guarded = new Set<ObjectKey>();
  const redirects = createRedirects();
  let ctx: CompileContext = {
    claims,
    config,
    guard: createGuard([], config),
    dsrRoom: createDsrRoom(0),
    redirectsOf: redirects.portsOf,
  };

  const dropSlice = (key: ObjectKey, dirty: Dirty): void => {
    const old = slices.get(key);
    if (old === undefined) return;
    slices.delete(key);
    const siblings = slicesOf.get(old.service);
    siblings?.delete(key);
    if (siblings?.size === 0) slicesOf.delete(old.service);
    touchService(old.service, dirty);
  };
  const touchService = (key: ObjectKey, dirty: Dirty): void => {
    dirty.services.add(key);
    if (key === API_SERVER) for (const k of redirects.withAddress()) dirty.redirects.add(k);
  };
  const putSlice = (slice: SliceInput, dirty: Dirty): void => {
    dropSlice(slice.key, dirty);
    slices.set(slice.key, slice);
    const siblings = slicesOf.get(slice.service) ?? new Map<ObjectKey, SliceInput>();
    slicesOf.set(slice.service, siblings.set(slice.key, slice));
    touchService(slice.service, dirty);
  };
  const setService = (key: ObjectKey, next: ServiceInput | undefined, dirty: Dirty): void => {
    const old = held.get(key);
    if (next === undefined) held.delete(key);
    else held.set(key, next);
    if (next !== undefined && next.externalIps.length + next.loadBalancerIps.length > 0) guarded.add(key);
    else guarded.delete(key);
    for (const k of next === undefined ? claims.drop(key) : claims.put(next)) dirty.services.add(k);
    for (const s of [old, next])
      for (const what of s === undefined ? [] : [key, ...s.clusterIps, ...s.loadBalancerIps, ...s.externalIps])
        for (const k of redirects.asking(what)) dirty.redirects.add(k);
    for (const p of [...(old?.ports ?? []), ...(next?.ports ?? [])])
      if (p.nodePort !== 0) for (const k of pods.asking(p.nodePort, p.protocol)) dirty.pods.add(k);
  };
  const setNodes = (c: ServiceChanges, dirty: Dirty): void => {
    const put = new Set(c.nodes?.map((n) => n.name));
    for (const name of c.removedNodes ?? []) if (!put.has(name)) nodes.delete(name);
    for (const n of c.nodes ?? []) {
      if (textOf(nodes.get(n.name)) !== textOf(n)) dirty.nodes.add(n.name);
      nodes.set(n.name, n);
    }
    const guard = createGuard(nodes.values(), config);
    if (guard.text === ctx.guard.text) return;
    ctx = { ...ctx, guard };
    for (const key of guarded) dirty.services.add(key);
    for (const key of redirects.withAddress()) dirty.redirects.add(key);
  };
  const setPathMtu = (pathMtu: number, dirty: Dirty): void => {
    const dsrRoom = createDsrRoom(pathMtu);
    if (dsrRoom.text !== ctx.dsrRoom.text) for (const key of held.keys()) dirty.services.add(key);
    ctx = { ...ctx, dsrRoom };
  };
  return {
    claims,
    nodes: nodes as ReadonlyMap<NodeName, NodeInput>,
    take(c: ServiceChanges): Dirty {
      const dirty: Dirty = { services: new Set(), redirects: new Set(), pods: new Set(), nodes: new Set() };
      for (const key of c.removedSlices ?? []) dropSlice(key, dirty);
      for (const slice of c.slices ?? []) putSlice(slice, dirty);
      for (const key of c.removedServices ?? []) if (held.has(key)) setService(key, undefined, dirty);
      for (const s of c.services ?? []) setService(s.key, s, dirty);
      if (c.nodes !== undefined || c.removedNodes !== undefined) setNodes(c, dirty);
      if (c.pathMtu !== undefined) setPathMtu(c.pathMtu, dirty);
      for (const key of c.removedPods ?? []) for (const k of pods.drop(key)) dirty.pods.add(k);
      for (const p of c.pods ?? []) for (const k of pods.put(p)) dirty.pods.add(k);
      for (const key of c.removedRedirects ?? []) redirects.drop(key, dirty);
      for (const r of c.redirects ?? []) redirects.put(r, dirty);
      for (const key of c.removedRedirectPods ?? []) redirects.dropPod(key, dirty);
      for (const p of c.redirectPods ?? []) redirects.putPod(p, dirty);
      return dirty;
    },
    compile(key: ObjectKey): CompiledService | undefined {
      const input = held.get(key);
      if (input === undefined) return undefined;
      const compiled = compileService(input, [...(slicesOf.get(key)?.values() ?? [])].sort(bySliceKey), ctx);
      return exists(compiled) ? compiled : undefined;
    },
    compileRedirect: (key: ObjectKey): CompiledRedirect | undefined =>
      redirects.compile(key, {
        ...ctx,
        service: (k) => held.get(k),
        isApiServer: (ip) => [...(slicesOf.get(API_SERVER)?.values() ?? [])].some((x) => x.endpoints.some((e) => e.addresses.includes(ip))),
      }),
    compilePod: (key: ObjectKey): CompiledHostPorts | undefined => pods.compile(key, claims.isNodePort, config),
  };
}

const textOf = (n: NodeInput | undefined): string =>
  n === undefined ? '' : JSON.stringify([n.zone, Object.entries(n.labels).sort(([a], [b]) => (a < b ? -1 : 1))]);

interface Variants {
  replaced(key: ObjectKey, old: CompiledService | undefined, next: CompiledService | undefined): void;
  /** What nodes must be told: for services that were replaced, and all of it for nodes that are new or changed. */
  take(changedNodes: ReadonlySet<NodeName>): ServiceDelta['variants'];
}

function createVariants(nodes: ReadonlyMap<NodeName, NodeInput>, services: ReadonlyMap<ObjectKey, CompiledService>): Variants {
  /** Services that ask every node, and by node those that ask this one. */
  const everyNode = new Set<ObjectKey>();
  const byNode = new Map<string, Set<ObjectKey>>();
  let out = new Map<NodeName, Map<ObjectKey, ServiceContent | undefined>>();

  const watch = (key: ObjectKey, s: CompiledService | undefined, there: boolean): void => {
    if (s?.watch.everyNode === true) everyNode[there ? 'add' : 'delete'](key);
    for (const name of s?.watch.nodes ?? []) {
      const keys = byNode.get(name) ?? new Set();
      if (there) keys.add(key);
      else keys.delete(key);
      if (keys.size > 0) byNode.set(name, keys);
      else byNode.delete(name);
    }
  };
  const tell = (node: NodeInput, key: ObjectKey): void => {
    const s = services.get(key);
    const content = s?.contentOf(node);
    const list = out.get(node.name) ?? new Map<ObjectKey, ServiceContent | undefined>();
    out.set(node.name, list.set(key, content?.hash === s?.hash ? undefined : content));
  };
  return {
    replaced(key, old, next) {
      watch(key, old, false);
      watch(key, next, true);
      const all = old?.watch.everyNode === true || next?.watch.everyNode === true;
      const names = all ? nodes.keys() : new Set([...(old?.watch.nodes ?? []), ...(next?.watch.nodes ?? [])]);
      for (const name of names) {
        const node = nodes.get(name as NodeName);
        if (node !== undefined) tell(node, key);
      }
    },
    take(changedNodes) {
      for (const name of changedNodes)
        for (const keys of [everyNode, byNode.get(name) ?? []]) for (const key of keys) tell(nodes.get(name)!, key);
      const done = out;
      out = new Map();
      return done;
    },
  };
}
