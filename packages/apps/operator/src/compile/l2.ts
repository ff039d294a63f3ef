// Announcement policies, Services and the Leases of addresses → what each node announces, as artifact `l2/leases`. Called by the compiler;
// the leader's duty reads what is wanted here and who was told what.

import { blobTables } from '@axoneme/datapath';
import { type L2Record, type L2Want, readL2Policy, readL2Service, wantedL2 } from '@axoneme/ipam';
import { type IpAddr, labelsFromMap } from '@axoneme/model';
import { L2Leases } from '@axoneme/proto';
import type { Digest } from '@axoneme/std';
import { durationMs, type OperatorConfig } from '../config.ts';
import type { Dirty, Tables } from '../world/world.ts';
import { parseIps } from './addresses.ts';
import { blobArtifact } from './artifacts.ts';
import { createNodeArtifacts, type NodeArtifacts } from './node-artifacts.ts';

export const L2_LEASES = 'l2/leases';

export interface L2Part extends Pick<NodeArtifacts, 'own' | 'body'> {
  update(tables: Tables, dirty: Dirty): void;
  wants(): ReadonlyMap<IpAddr, L2Want>;
  /** Addresses the node announces, as of the last compile. */
  content(node: string): ReadonlySet<IpAddr>;
  /** Of the artifact that says so; undefined: it has none. */
  digest(node: string): Digest | undefined;
  /** As of the last compile. */
  record(address: IpAddr): L2Record | undefined;
}

type Raw = Readonly<Record<string, unknown>>;
interface RawEndpoint {
  readonly nodeName?: string;
  readonly conditions?: { readonly ready?: boolean; readonly serving?: boolean };
}

/** Nodes by Service with a backend that is ready; where none is, with one that still serves. */
export function backendNodes(tables: Tables): (service: string) => ReadonlySet<string> {
  const serving = new Map<string, { readonly ready: Set<string>; readonly ending: Set<string> }>();
  for (const raw of tables.slices.values()) {
    const meta = raw.metadata as { namespace?: string; labels?: Raw };
    const key = `${meta.namespace ?? ''}/${String(meta.labels?.['kubernetes.io/service-name'] ?? '')}`;
    const of = serving.get(key) ?? { ready: new Set<string>(), ending: new Set<string>() };
    serving.set(key, of);
    for (const e of (raw.endpoints ?? []) as readonly RawEndpoint[]) {
      if (e.nodeName === undefined) continue;
      if (e.conditions?.ready !== false) of.ready.add(e.nodeName);
      else if (e.conditions.serving === true) of.ending.add(e.nodeName);
    }
  }
  const nobody: ReadonlySet<string> = new Set();
  return (key) => {
    const of = serving.get(key);
    return of === undefined ? nobody : of.ready.size > 0 ? of.ready : of.ending;
  };
}

/** Objects are immutable: each is read once. */
function createReader<T>(read: (raw: Raw) => T): (raw: Raw) => T {
  const known = new WeakMap<Raw, { readonly value: T }>();
  return (raw) => {
    let held = known.get(raw);
    if (held === undefined) {
      held = { value: read(raw) };
      known.set(raw, held);
    }
    return held.value;
  };
}

function createWanted() {
  const policyOf = createReader(readL2Policy);
  const serviceOf = createReader(readL2Service);
  return (tables: Tables): { readonly wants: ReadonlyMap<IpAddr, L2Want>; readonly ofBackends: boolean } => {
    const taken = new Set<IpAddr>();
    const nodes = [...tables.nodes.values()].map((n) => {
      for (const ip of parseIps([...n.internalAddresses, ...n.externalAddresses])) taken.add(ip);
      return { name: n.name, labels: labelsFromMap(n.labels) };
    });
    let of: ReturnType<typeof backendNodes> | undefined;
    const wants = wantedL2({
      policies: [...tables.l2Policies.values()].map(policyOf),
      services: [...tables.services.values()].flatMap((raw) => serviceOf(raw) ?? []),
      nodes,
      backendNodes: (service) => {
        of ??= backendNodes(tables);
        return of(service);
      },
      taken,
    });
    return { wants, ofBackends: of !== undefined };
  };
}

interface Told {
  readonly addresses: ReadonlySet<IpAddr>;
  readonly digest: Digest;
}

const INPUTS = ['l2Policies', 'services', 'nodes'] as const;
const nothing: ReadonlySet<IpAddr> = new Set();

export function createL2Part(config: Pick<OperatorConfig, 'l2AnnouncementsEnabled' | 'l2LeaseRetryPeriod'>): L2Part {
  const own = createNodeArtifacts();
  const renewMs = durationMs(config.l2LeaseRetryPeriod);
  const wanted = createWanted();
  let wants: ReadonlyMap<IpAddr, L2Want> = new Map();
  /** Some Service is announced where its backends are. */
  let ofBackends = false;
  let records: ReadonlyMap<IpAddr, L2Record> = new Map();
  let told: ReadonlyMap<string, Told> = new Map();

  const tell = (): void => {
    const byNode = new Map<string, { record: L2Record; interfaces: readonly string[] }[]>();
    for (const record of records.values()) {
      // who had it before has to stop first
      const interfaces = record.former.length > 0 ? undefined : wants.get(record.address)?.candidates.get(record.node);
      if (interfaces === undefined) continue;
      byNode.set(record.node, [...(byNode.get(record.node) ?? []), { record, interfaces }]);
    }
    const next = new Map<string, Told>();
    for (const [node, list] of byNode) {
      list.sort((a, b) => (a.record.address < b.record.address ? -1 : 1));
      const leases = list.map(({ record, interfaces }) => ({
        address: record.address,
        interfaces: [...interfaces],
        epoch: record.epoch,
      }));
      const artifact = blobArtifact(L2_LEASES, blobTables.l2.name, L2Leases.encode({ leases, renewMs }).finish());
      own.set(node, L2_LEASES, artifact);
      next.set(node, { addresses: new Set(list.map((l) => l.record.address)), digest: artifact.digest });
    }
    for (const node of told.keys()) if (!next.has(node)) own.set(node, L2_LEASES, undefined);
    told = next;
  };

  return {
    own: own.own,
    body: own.body,
    wants: () => wants,
    content: (node) => told.get(node)?.addresses ?? nothing,
    digest: (node) => told.get(node)?.digest,
    record: (address) => records.get(address),
    update(tables, dirty) {
      const again = INPUTS.some((t) => dirty.has(t)) || (ofBackends && dirty.has('slices'));
      if (!config.l2AnnouncementsEnabled || !(again || dirty.has('l2Leases'))) return;
      if (tables.l2Policies.size + wants.size + records.size + tables.l2Leases.size === 0) return;
      if (again) ({ wants, ofBackends } = wanted(tables));
      records = new Map([...tables.l2Leases.values()].map((l) => [l.record.address, l.record]));
      tell();
    },
  };
}
