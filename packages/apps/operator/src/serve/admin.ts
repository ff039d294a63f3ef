// Answers of the admin service, from what the operator knows at this moment. Called by the node server for the CLI.

import { Drop, dropReasonHubble } from '@axoneme/datapath';
import { ipFromBytes, reservedNameOf } from '@axoneme/model';
import type { GetStatusResponse, ListTableRequest, MonitorRequest, MonitorResponse } from '@axoneme/proto';
import { AppError, type Clock, type NodeName } from '@axoneme/std';
import type { AdminHandlers, NodeServer } from '@axoneme/stream';
import type { Compiled } from '../compile/compiler.ts';
import { labelsOfIdentity } from '../compile/pods.ts';
import type { Linter } from '../status/lints.ts';
import type { PolicyVerdict } from '../status/policy-status.ts';
import type { World } from '../world/world.ts';
import type { FlowLog, NodeFlow } from './flows.ts';
import { listPolicies, watchPolicy } from './policies.ts';
import { listServices } from './services.ts';

export interface AdminDeps {
  readonly world: World;
  readonly flows: FlowLog;
  readonly server: () => NodeServer;
  readonly compiled: () => Compiled | undefined;
  readonly clock: Clock;
  readonly verdict: (key: string) => PolicyVerdict | undefined;
  readonly linter: Linter;
  /** What nodes say is wrong with Services. */
  readonly problems: () => ReadonlyMap<string, readonly string[]>;
  readonly components: () => GetStatusResponse['components'];
  readonly self: () => { readonly id: string; readonly leader: boolean; readonly revision: number; readonly epoch: number };
}

const DROPPED = 2;

function addressOf(bytes: Uint8Array): string {
  return bytes.length === 4 ? ipFromBytes(4, bytes) : bytes.length === 16 ? ipFromBytes(6, bytes) : '';
}

function nameOf(deps: AdminDeps, address: string, identity: number, port: number): string {
  const pod = deps.compiled()?.podByAddress(address);
  const at = port === 0 ? address : address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  if (pod !== undefined) return `${pod} (${at})`;
  const reserved = reservedNameOf(identity as never);
  return reserved === undefined ? at : `${reserved} (${at})`;
}

/** A forged address must not be blamed on its owner: the name is that of the pod that sent it. */
function sourceOf(deps: AdminDeps, { flow, node }: NodeFlow): string {
  const address = addressOf(flow.sourceAddress);
  if (flow.dropReason !== Drop.invalidSourceIp) return nameOf(deps, address, flow.sourceIdentity, flow.sourcePort);
  const sender = [...deps.world.tables.endpoints.values()].find((e) => e.node === node && e.endpointId === flow.endpointId);
  return sender === undefined ? address : `${sender.namespace}/${sender.pod} (${address})`;
}

function describeFlow(deps: AdminDeps, f: NodeFlow): MonitorResponse {
  const { flow, node } = f;
  const compiled = deps.compiled();
  const ruleOf = (id: number): string => (id === 0 ? '' : (compiled?.describeRule(id) ?? ''));
  return {
    node,
    flow,
    source: sourceOf(deps, f),
    destination: nameOf(deps, addressOf(flow.destinationAddress), flow.destinationIdentity, flow.destinationPort),
    rule: ruleOf(flow.ruleId),
    dropReasonName: flow.dropReason === 0 ? '' : dropReasonHubble(flow.dropReason),
    policyLog: flow.ruleId === 0 ? '' : (compiled?.logOfRule(flow.ruleId) ?? ''),
    shadowRule: ruleOf(flow.shadowRuleId),
  };
}

async function* monitor(deps: AdminDeps, q: MonitorRequest, signal: AbortSignal): AsyncGenerator<MonitorResponse> {
  const wanted = (f: NodeFlow): boolean => (!q.dropsOnly || f.flow.verdict === DROPPED) && (q.node === '' || q.node === f.node);
  const live = deps.flows.follow(signal);
  for (const f of deps.flows
    .last(Number.MAX_SAFE_INTEGER)
    .filter(wanted)
    .slice(-q.last || Number.MAX_SAFE_INTEGER)) {
    if (q.last > 0) yield describeFlow(deps, f);
  }
  if (q.noFollow) return;
  for await (const f of live) if (wanted(f)) yield describeFlow(deps, f);
}

async function* listTable(deps: AdminDeps, q: ListTableRequest): AsyncGenerator<{ json: string }> {
  if (!deps.world.tables.nodes.has(q.node)) {
    throw new AppError({
      code: 'operator/unknown-node',
      message: `there is no node "${q.node}"`,
      hint: `known nodes: ${[...deps.world.tables.nodes.keys()].join(', ')}`,
    });
  }
  for await (const json of deps.server().relay(q.node as NodeName, q.table, q.limit)) yield { json };
}

function status(deps: AdminDeps): GetStatusResponse {
  const { world } = deps;
  const links = new Map(
    deps
      .server()
      .hub.status()
      .map((l) => [String(l.node), l]),
  );
  const self = deps.self();
  return {
    operatorId: self.id,
    leader: self.leader,
    revision: self.revision,
    epoch: self.epoch,
    nodes: [...world.tables.nodes.keys()].sort().map((name) => {
      const l = links.get(name);
      return {
        name,
        connected: l?.connected ?? false,
        ackedRevision: l?.ackedRevision ?? 0,
        lastNack: l?.lastNack === undefined ? '' : `${l.lastNack.code}: ${l.lastNack.reason}`,
        rssBytes: l?.heartbeat?.rssBytes ?? 0,
        artifacts: l?.artifacts ?? 0,
        bytesSent: l?.sent.bytes ?? 0,
        artifactBytesSent: l?.sent.artifactBytes ?? 0,
        podCidrs: [...(world.tables.ciliumNodes.get(name)?.podCidrs ?? [])],
        tables: l?.lastAck?.tables ?? {},
        problems: l?.heartbeat?.health.filter((h) => h.state !== 'ok') ?? [],
      };
    }),
    components: deps.components(),
    policies: world.tables.policies.size,
    identities: world.tables.identities.size,
    endpoints: world.tables.endpoints.size,
    services: world.tables.services.size,
  };
}

export function createAdminHandlers(deps: AdminDeps): AdminHandlers {
  const { tables } = deps.world;
  return {
    getStatus: () => status(deps),
    listIdentities() {
      const uses = new Map<number, number>();
      for (const e of tables.endpoints.values()) uses.set(e.identity, (uses.get(e.identity) ?? 0) + 1);
      const identities = [...tables.identities.values()]
        .sort((a, b) => a.id - b.id)
        .map((i) => ({
          id: i.id,
          labels: Object.fromEntries(labelsOfIdentity(i).list.map((l) => [`${l.source}:${l.key}`, l.value])),
          endpoints: uses.get(i.id) ?? 0,
        }));
      return { identities };
    },
    listEndpoints() {
      const endpoints = [...tables.endpoints.values()].map((e) => ({
        namespace: e.namespace,
        pod: e.pod,
        node: e.node,
        endpointId: e.endpointId,
        identity: e.identity,
        ipv4: e.addresses.find((a) => !a.includes(':')) ?? '',
        ipv6: e.addresses.find((a) => a.includes(':')) ?? '',
        state: e.state,
      }));
      return { endpoints: endpoints.sort((a, b) => `${a.namespace}/${a.pod}`.localeCompare(`${b.namespace}/${b.pod}`)) };
    },
    listPolicies: (q) => listPolicies(deps, q),
    watchPolicy: (q, signal) => watchPolicy(deps, q, signal),
    listServices: (q) => listServices(deps, q),
    listTable: (q) => listTable(deps, q),
    monitor: (q, signal) => monitor(deps, q, signal),
  };
}
