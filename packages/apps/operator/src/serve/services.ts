// Admin answers about Services: frontends and sets as nodes are given them, backends with their states, remarks. Called by admin.ts.
import type { ObjectKey } from '@axoneme/model';
import type { ListServicesRequest, ListServicesResponse, ServiceBackend, ServiceFrontend, ServiceState } from '@axoneme/proto';
import {
  backendState,
  type CompiledService,
  candidatesOf,
  type Frontend,
  readEndpointSlice,
  readService,
  type ServiceContent,
  type ServiceInput,
  type SliceInput,
  stateRank,
} from '@axoneme/service';
import { AppError, createYielder, type NodeName } from '@axoneme/std';
import type { Compiled } from '../compile/compiler.ts';
import type { NodeRow } from '../world/rows.ts';
import type { World } from '../world/world.ts';

export interface ServiceAnswerDeps {
  readonly world: World;
  readonly compiled: () => Compiled | undefined;
  /** What nodes say is wrong with Services. */
  readonly problems: () => ReadonlyMap<string, readonly string[]>;
}

const ZONE_LABEL = 'topology.kubernetes.io/zone';
const SERVICE_LABEL = 'kubernetes.io/service-name';

const zoneOf = (n: NodeRow | undefined): string => n?.labels[ZONE_LABEL] ?? '';
const hex = (set: bigint): string => (set === 0n ? '' : set.toString(16).padStart(16, '0'));

function frontendOf(f: Frontend, content: ServiceContent): ServiceFrontend {
  const draining = (id: bigint): number => content.sets.find((s) => s.id === id)?.draining.length ?? 0;
  return {
    kind: f.kind,
    address: f.ip,
    port: f.port,
    protocol: f.protocol,
    setOut: hex(f.setOut),
    setIn: hex(f.setIn),
    countOut: f.countOut,
    countIn: f.countIn,
    drainingOut: draining(f.setOut),
    drainingIn: draining(f.setIn),
    maglevSize: f.maglevSize,
    affinitySeconds: f.affinitySeconds,
    serviceId: f.serviceId,
    flags: f.flags,
  };
}

function backendsOf(d: ServiceAnswerDeps, s: ServiceInput, slices: readonly SliceInput[]): ServiceBackend[] {
  const compiled = d.compiled();
  return s.ports.flatMap((port) =>
    ([4, 6] as const).flatMap((family) =>
      candidatesOf(port, family, slices).map((c) => ({
        address: c.ip,
        port: c.port,
        protocol: port.protocol,
        portName: port.name,
        node: c.endpoint.node,
        zone: zoneOf(d.world.tables.nodes.get(c.endpoint.node)),
        state: c.state,
        weight: c.weight,
        pod: compiled?.podByAddress(c.ip) ?? '',
      })),
    ),
  );
}

/** An address counts once, with its best state. */
function statesOf(slices: readonly SliceInput[]): Record<string, number> {
  const best = new Map<string, ReturnType<typeof backendState>>();
  for (const e of slices.flatMap((s) => s.endpoints))
    for (const ip of e.addresses) {
      const [now, before] = [backendState(e), best.get(ip)];
      if (before === undefined || stateRank(now) < stateRank(before)) best.set(ip, now);
    }
  const counts: Record<string, number> = {};
  for (const state of best.values()) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

const contentOn = (s: CompiledService, node: NodeRow): ServiceContent =>
  s.contentOf({ name: node.name as NodeName, zone: zoneOf(node), labels: node.labels });

/** Without a node that of nodes where nothing is special; of what is on some nodes only, that of the first of them. */
function contentFor(d: ServiceAnswerDeps, s: CompiledService | undefined, node: NodeRow | undefined): ServiceContent | undefined {
  if (s === undefined || node !== undefined) return s && contentOn(s, node!);
  if (s.restricted)
    for (const n of d.world.tables.nodes.values()) {
      const content = contentOn(s, n);
      if (content.frontends.length > 0) return content;
    }
  return s;
}

/** Raw slices by Service; of one, only its own. */
function slicesBy(world: World, only: string | undefined): ReadonlyMap<string, readonly unknown[]> {
  const out = new Map<string, unknown[]>();
  for (const raw of world.tables.slices.values()) {
    const meta = raw.metadata as { namespace?: string; labels?: Readonly<Record<string, string>> };
    const key = `${meta.namespace}/${meta.labels?.[SERVICE_LABEL]}`;
    if (only !== undefined && key !== only) continue;
    const list = out.get(key) ?? [];
    out.set(key, list);
    list.push(raw);
  }
  return out;
}

function nodeOf(d: ServiceAnswerDeps, name: string): NodeRow | undefined {
  const node = d.world.tables.nodes.get(name);
  if (name === '' || node !== undefined) return node;
  throw new AppError({
    code: 'operator/unknown-node',
    message: `there is no node "${name}"`,
    hint: `known nodes: ${[...d.world.tables.nodes.keys()].join(', ')}`,
  });
}

/** What the list has instead of a namespace for what fleets have for Services. */
const FLEET = 'fleet';

interface Entry {
  /** As people know it. */
  readonly name: string;
  /** As the compiler knows it. */
  readonly key: ObjectKey;
  readonly type?: string;
  read(): { readonly input: ServiceInput; readonly own: readonly SliceInput[] };
}

function* entriesOf(d: ServiceAnswerDeps, only: string | undefined): Generator<Entry> {
  const { services } = d.world.tables;
  const slices = slicesBy(d.world, only);
  const keys = only === undefined ? [...services.keys()].sort() : services.has(only) ? [only] : [];
  for (const key of keys) {
    const raw = services.get(key);
    if (raw === undefined) continue;
    const read = () => ({ input: readService(raw), own: (slices.get(key) ?? []).flatMap((s) => readEndpointSlice(s) ?? []) });
    yield { name: key, key: key as ObjectKey, read };
  }
  const compiled = d.compiled();
  for (const fleet of [...(compiled?.fleets.keys() ?? [])].sort())
    for (const given of compiled!.fleetInputs(fleet))
      for (const input of given.services) {
        const name = `${FLEET}/${input.key.slice(input.key.indexOf('/') + 1)}`;
        const own = given.slices.filter((s) => s.service === input.key);
        if (only === undefined || only === name) yield { name, key: input.key, type: 'Fleet', read: () => ({ input, own }) };
      }
}

export async function* listServices(d: ServiceAnswerDeps, q: ListServicesRequest): AsyncGenerator<ListServicesResponse> {
  const node = nodeOf(d, q.node);
  const single = q.name === '' ? undefined : `${q.namespace}/${q.name}`;
  const pause = createYielder();
  let found = false;
  for (const entry of entriesOf(d, single)) {
    if (q.namespace !== '' && !entry.name.startsWith(`${q.namespace}/`)) continue;
    const compiled = d.compiled()?.services.get(entry.key);
    if (q.serviceId !== 0 && !contentFor(d, compiled, undefined)?.frontends.some((f) => f.serviceId === q.serviceId)) continue;
    found = true;
    yield { service: stateOf(d, entry, { ...entry.read(), compiled, node, backends: single !== undefined }) };
    await pause();
  }
  if (single !== undefined && !found) throw new AppError({ code: 'stream/not-found', message: `there is no Service ${single}` });
}

interface Found {
  readonly input: ServiceInput;
  readonly own: readonly SliceInput[];
  readonly compiled: CompiledService | undefined;
  readonly node: NodeRow | undefined;
  readonly backends: boolean;
}

function stateOf(d: ServiceAnswerDeps, { name: shown, key, type }: Entry, { input, own, compiled, node, backends }: Found): ServiceState {
  const [namespace = '', name = ''] = shown.split('/');
  const content = contentFor(d, compiled, node);
  return {
    namespace,
    name,
    type: type ?? input.type,
    frontends: (content?.frontends ?? []).map((f) => frontendOf(f, content!)),
    backends: backends ? backendsOf(d, input, own) : [],
    states: statesOf(own),
    remarks: [...(d.compiled()?.serviceRemarks.get(key) ?? []), ...(d.problems().get(key) ?? [])],
    externalLocal: input.externalLocal,
    internalLocal: input.internalLocal,
    healthCheckPort: input.healthCheckPort,
    differs: compiled !== undefined && (compiled.watch.everyNode || compiled.watch.nodes.size > 0),
  };
}
