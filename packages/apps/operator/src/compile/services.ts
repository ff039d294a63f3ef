// Services of the world → artifacts: those every node holds go to the store, those that differ by node are kept beside. Called by the compiler.
import { type Cidr, type ObjectKey, parseCidrOrIp } from '@axoneme/model';
import {
  backendsArtifactName,
  type CompiledRedirect,
  type CompiledService,
  createMaglevTables,
  createServiceCompiler,
  hostPortArtifactName,
  type MaglevSize,
  maglevArtifactName,
  type NodeInput,
  readEndpointSlice,
  readService,
  redirectArtifactName,
  type ServiceChanges,
  type ServiceConfig,
  type ServiceContent,
  type ServiceDelta,
  serviceArtifactName,
  serviceDefaults,
  sourceArtifactName,
} from '@axoneme/service';
import type { NodeName } from '@axoneme/std';
import type { OperatorConfig } from '../config.ts';
import type { Dirty, Tables } from '../world/world.ts';
import type { NodeAddresses } from './addresses.ts';
import type { Artifact, ArtifactStore } from './artifacts.ts';
import { healthArtifact, healthArtifactName } from './health-checks.ts';
import { createNodeArtifacts, type NodeArtifacts } from './node-artifacts.ts';
import { createNeeds, createNodeSets } from './node-sets.ts';
import { createRedirectFeed } from './redirect-feed.ts';
import { backendsArtifact, frontendsArtifact, maglevArtifact, sourceArtifact } from './service-rows.ts';

export type CompiledServices = ReadonlyMap<string, CompiledService>;

export interface ServicePart extends Pick<NodeArtifacts, 'own' | 'body'> {
  /** As they are now: changed by the next update. */
  readonly redirects: ReadonlyMap<string, CompiledRedirect>;
  /** What was not understood or refused, of Services of which there is something to say. Another object when something of it changed. */
  remarks(): ReadonlyMap<ObjectKey, readonly string[]>;
  /** `pathMtu`: largest packet of a pod that every node takes; 0: not known. */
  update(
    tables: Tables,
    dirty: Dirty,
    nodes: readonly NodeAddresses[],
    pathMtu?: number,
    /** Of what is no Service. */
    more?: ServiceChanges,
  ): CompiledServices;
}

const prefixes = (texts: readonly string[]): Cidr[] =>
  texts.flatMap((t) => {
    const cidr = parseCidrOrIp(t);
    return cidr.ok ? [cidr.value] : [];
  });

export function serviceConfig(c: OperatorConfig): ServiceConfig {
  return {
    ...serviceDefaults,
    algorithm: c.loadBalancerAlgorithm,
    maglevSize: c.maglevTableSize,
    forwarding: c.loadBalancerMode === 'annotation' ? 'snat' : c.loadBalancerMode,
    dsrDispatch: c.loadBalancerDsrDispatch,
    noBackend: c.serviceNoBackendResponse,
    clusterCidrs: prefixes([...c.ipv4PodCidrs, ...c.ipv6PodCidrs, ...c.serviceCidrs]),
    allowedExternalCidrs: prefixes(c.allowedExternalCidrs),
    redirectCidrs: prefixes(c.localRedirectCidrs),
  };
}

const ZONE_LABEL = 'topology.kubernetes.io/zone';

/** Nodes that are gone are told apart from those whose row is not there yet. */
function createNodeFeed(): (
  tables: Tables,
  dirty: Dirty,
  nodes: readonly NodeAddresses[],
) => Pick<ServiceChanges, 'nodes' | 'removedNodes'> {
  const known = new Map<string, string>();
  return (tables, dirty, nodes) => {
    if (!dirty.has('nodes') && !dirty.has('ciliumNodes')) return {};
    const changed: NodeInput[] = [];
    const gone = new Set(known.keys());
    for (const n of nodes) {
      gone.delete(n.name);
      const labels = tables.nodes.get(n.name)?.labels ?? {};
      const { addresses, podCidrs } = n;
      const input = { name: n.name as NodeName, zone: labels[ZONE_LABEL] ?? '', labels, addresses, podCidrs };
      const text = JSON.stringify(input);
      if (known.get(n.name) === text) continue;
      known.set(n.name, text);
      changed.push(input);
    }
    for (const name of gone) known.delete(name);
    return changed.length + gone.size === 0 ? {} : { nodes: changed, removedNodes: [...gone] as NodeName[] };
  };
}

function readChanges(tables: Tables, dirty: Dirty): ServiceChanges {
  const services = [...(dirty.get('services') ?? [])] as ObjectKey[];
  const slices = [...(dirty.get('slices') ?? [])] as ObjectKey[];
  const pods = [...(dirty.get('pods') ?? [])] as ObjectKey[];
  const readable = slices.map((key) => ({ key, slice: tables.slices.has(key) ? readEndpointSlice(tables.slices.get(key)) : undefined }));
  return {
    services: services.flatMap((k) => (tables.services.has(k) ? [readService(tables.services.get(k))] : [])),
    removedServices: services.filter((k) => !tables.services.has(k)),
    slices: readable.flatMap((r) => r.slice ?? []),
    removedSlices: readable.filter((r) => r.slice === undefined).map((r) => r.key),
    pods: pods.flatMap((k) => tables.pods.get(k)?.hostPorts ?? []),
    removedPods: pods.filter((k) => tables.pods.get(k)?.hostPorts === undefined),
  };
}

const withMore = (c: ServiceChanges, more: ServiceChanges | undefined): ServiceChanges =>
  more === undefined
    ? c
    : {
        ...c,
        services: [...(c.services ?? []), ...(more.services ?? [])],
        removedServices: [...(c.removedServices ?? []), ...(more.removedServices ?? [])],
        slices: [...(c.slices ?? []), ...(more.slices ?? [])],
        removedSlices: [...(c.removedSlices ?? []), ...(more.removedSlices ?? [])],
      };

export function createServicePart(store: ArtifactStore, operatorConfig: OperatorConfig): ServicePart {
  const config = serviceConfig(operatorConfig);
  const size = config.maglevSize as MaglevSize;
  const compiler = createServiceCompiler(config);
  const maglev = createMaglevTables();
  const own = createNodeArtifacts();
  const takeNodes = createNodeFeed();
  const takeRedirects = createRedirectFeed(operatorConfig);
  let lastPathMtu = 0;
  let remarks: ReadonlyMap<ObjectKey, readonly string[]> = new Map();
  const takeRemarks = (delta: ServiceDelta): void => {
    const changed = delta.changed.filter((s) => s.remarks.join('\n') !== (remarks.get(s.key) ?? []).join('\n'));
    const gone = delta.removed.filter((key) => remarks.has(key));
    if (changed.length + gone.length === 0) return;
    const next = new Map(remarks);
    for (const s of changed) next.set(s.key, s.remarks);
    for (const key of [...gone, ...changed.filter((s) => s.remarks.length === 0).map((s) => s.key)]) next.delete(key);
    remarks = next;
  };
  // contents are immutable and shared by nodes
  const memo = new WeakMap<ServiceContent, Artifact>();
  const artifactOf = (name: string, content: ServiceContent): Artifact => {
    const artifact = memo.get(content) ?? frontendsArtifact(name, content);
    memo.set(content, artifact);
    return artifact;
  };

  const sets = createNodeSets(own);
  const needsOf = createNeeds({ backends: backendsArtifact, maglev: (set) => maglevArtifact(set, size, maglev), source: sourceArtifact });
  const putShared = (delta: ServiceDelta): void => {
    for (const set of delta.addedSets) store.put(backendsArtifact(set));
    for (const set of delta.addedTables) store.put(maglevArtifact(set, size, maglev));
    for (const s of delta.changed) {
      const name = serviceArtifactName(s.key);
      const source = s.restricted ? undefined : sourceArtifact(s);
      if (source !== undefined) store.put(source);
      else if (store.has(sourceArtifactName(s.key))) store.remove(sourceArtifactName(s.key));
      if (s.frontends.length > 0) store.put(artifactOf(name, s));
      else if (store.has(name)) store.remove(name);
      const health = healthArtifact(s.key, s);
      if (health !== undefined) store.put(health);
      else if (store.has(healthArtifactName(s.key))) store.remove(healthArtifactName(s.key));
    }
    for (const key of delta.removed)
      for (const name of [serviceArtifactName(key), sourceArtifactName(key), healthArtifactName(key)])
        if (store.has(name)) store.remove(name);
    for (const id of delta.removedTables) store.remove(maglevArtifactName(id, size));
    for (const id of delta.removedSets) store.remove(backendsArtifactName(id));
  };
  const putOwn = (delta: ServiceDelta, gone: readonly string[]): void => {
    for (const node of gone) {
      own.clear(node);
      sets.clear(node);
    }
    for (const [node, contents] of delta.variants)
      for (const [key, content] of contents) {
        const name = serviceArtifactName(key);
        own.set(node, name, content === undefined ? undefined : artifactOf(name, content));
        own.set(node, healthArtifactName(key), content === undefined ? undefined : healthArtifact(key, content));
        const s = compiler.services.get(key);
        sets.set(node, key, content !== undefined && s?.restricted ? needsOf(s, content) : undefined);
      }
    for (const [node, contents] of delta.redirects)
      for (const [key, content] of contents) {
        const name = redirectArtifactName(key);
        own.set(node, name, content === undefined ? undefined : artifactOf(name, content));
      }
    for (const p of delta.removedHostPorts) own.set(p.node, hostPortArtifactName(p.key), undefined);
    for (const p of delta.changedHostPorts) own.set(p.node, hostPortArtifactName(p.key), frontendsArtifact(hostPortArtifactName(p.key), p));
  };
  return {
    own: own.own,
    body: own.body,
    redirects: compiler.redirects,
    remarks: () => remarks,
    update(tables, dirty, nodes, pathMtu = 0, more) {
      const nodeChanges = takeNodes(tables, dirty, nodes);
      const redirects = takeRedirects(tables, dirty);
      const same = nodeChanges.nodes === undefined && redirects === undefined && more === undefined && pathMtu === lastPathMtu;
      if (same && !['services', 'slices', 'pods'].some((t) => dirty.has(t as 'pods'))) return compiler.services;
      lastPathMtu = pathMtu;
      const delta = compiler.update({ ...withMore(readChanges(tables, dirty), more), ...nodeChanges, ...redirects, pathMtu });
      takeRemarks(delta);
      putShared(delta);
      putOwn(delta, nodeChanges.removedNodes ?? []);
      return compiler.services;
    },
  };
}
