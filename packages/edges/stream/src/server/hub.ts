// Everything the operator knows about the nodes' streams: desired state in, acknowledgements out. Called by the operator's wiring.
import { type Ack, type AgentHeartbeat, type Hello, type heldTerm, type Nack, SyncResponse } from '@axoneme/proto';
import { AppError, type Clock, type Digest, type Log, type NodeName } from '@axoneme/std';
import { encodeMessage } from '../wire.ts';
import { type Admission, createAdmission } from './admission.ts';
import { type ArtifactSource, createEncoder, createTermCache, type Encoder } from './encoder.ts';
import { type Artifacts, createNodeState, type NodeState, type Position } from './node-state.ts';
import { createSession, type Session, type SessionConfig, type SyncCall } from './session.ts';

export interface HubConfig extends SessionConfig {
  readonly heartbeatMs: number;
  /** Nodes that load their first commit at the same time. */
  readonly admissionMax: number;
  readonly cacheBytesMax: number;
  readonly chunkBytesMax: number;
  /** Nodes with a stream or desired state; more are refused. */
  readonly nodesMax: number;
}

export const hubDefaults: Omit<HubConfig, 'operatorId'> = {
  features: [],
  quietBeatsMax: 4,
  ackTimeoutMs: 120_000,
  admissionHoldMs: 5_000,
  nackBackoff: { baseMs: 500, maxMs: 60_000 },
  heartbeatMs: 5_000,
  admissionMax: 64,
  cacheBytesMax: 128 * 1024 * 1024,
  chunkBytesMax: 128 * 1024,
  nodesMax: 20_000,
};

/** How late a change of leader is seen here. */
const WHO_LEADS_MS = 250;

/** How fresh the operator's own view is. */
export interface Freshness {
  readonly epoch: number;
  readonly leader: boolean;
  /** Age of the last successful watch activity, milliseconds by source. */
  readonly inputAgeMs: Readonly<Record<string, number>>;
}

export interface HubEvents {
  connected?(node: NodeName, hello: Hello): void;
  disconnected?(node: NodeName, reason: string): void;
  ack?(node: NodeName, ack: Ack): void;
  nack?(node: NodeName, nack: Nack): void;
  heartbeat?(node: NodeName, beat: AgentHeartbeat): void;
}

export interface HubDeps {
  readonly artifacts: ArtifactSource;
  readonly freshness: () => Freshness;
  /** A node asks to go on announcing its addresses: for how many milliseconds from when it asked; 0 is no answer. */
  readonly grant?: (node: NodeName) => number;
  readonly events: HubEvents;
  readonly clock: Clock;
  readonly log: Log;
}

export interface NodeLink {
  readonly node: NodeName;
  readonly connected: boolean;
  /** Undefined while nothing is desired. */
  readonly desired: Position | undefined;
  /** Newest revision known to be enforced: the desired one when the node lacks nothing, else the last acknowledged. 0 = none. */
  readonly ackedRevision: number;
  readonly lag: number;
  readonly artifacts: number;
  readonly lastAck: Ack | undefined;
  /** Cleared by the next Ack. */
  readonly lastNack: Nack | undefined;
  readonly heartbeat: AgentHeartbeat | undefined;
  readonly hello: Hello | undefined;
  readonly sent: Sent;
}

/** What went down the streams since the start of this process. */
export interface Sent {
  /** Everything, heartbeats included. */
  readonly bytes: number;
  readonly artifacts: number;
  readonly artifactBytes: number;
}

export interface HubTotals {
  readonly connected: number;
  readonly waiting: number;
  readonly encodes: number;
  readonly cachedBytes: number;
  readonly sent: Sent;
}

export interface Hub {
  /** What the node must hold. The map must not change afterwards; giving the same map again costs nothing. */
  setDesired(node: NodeName, desired: Artifacts, at: Position): void;
  /** Cheaper form when the caller knows the difference; null removes. */
  changeDesired(node: NodeName, changes: ReadonlyMap<string, Digest | null>, at: Position): void;
  /** The node left the cluster: its stream ends and its record goes. */
  forget(node: NodeName): void;
  status(): readonly NodeLink[];
  link(node: NodeName): NodeLink | undefined;
  /** What a connected node holds under a name; undefined while that is not certain, or not what it should hold: a commit is on its way. */
  holding(node: NodeName, name: string): { readonly digest: Digest | undefined } | undefined;
  totals(): HubTotals;
}

/** Hub plus what only the servers of this package call. */
export interface HubCore extends Hub {
  accept(node: NodeName, call: SyncCall): void;
  /** Starts heartbeats; ends with the signal. */
  run(signal: AbortSignal): void;
}

interface NodeRecord {
  readonly state: NodeState;
  session: Session | undefined;
  acked: number;
  lastAck: Ack | undefined;
  lastNack: Nack | undefined;
  heartbeat: AgentHeartbeat | undefined;
  hello: Hello | undefined;
  readonly sent: Tally;
}

interface Tally {
  bytes: number;
  artifacts: number;
  artifactBytes: number;
}

const noneSent = (): Tally => ({ bytes: 0, artifacts: 0, artifactBytes: 0 });

function add(sum: Tally, count: Partial<Sent>): void {
  sum.bytes += count.bytes ?? 0;
  sum.artifacts += count.artifacts ?? 0;
  sum.artifactBytes += count.artifactBytes ?? 0;
}

/** Sessions are pumped at their own pace, a slice of time per turn of the loop. */
function createPumper(): (session: Session) => void {
  const dirty = new Set<Session>();
  const turn = (): void => {
    const until = performance.now() + 8;
    for (const s of dirty) {
      dirty.delete(s);
      s.pump();
      if (performance.now() > until) break;
    }
    if (dirty.size > 0) setImmediate(turn);
  };
  return (session) => {
    if (dirty.size === 0) setImmediate(turn);
    dirty.add(session);
  };
}

function linkOf(node: NodeName, r: NodeRecord): NodeLink {
  const desired = r.state.position();
  const current = desired !== undefined && r.state.heldKnown() && r.state.lag().size === 0 && r.acked > 0;
  return {
    node,
    connected: r.session !== undefined,
    desired,
    ackedRevision: current ? desired.revision : r.acked,
    lag: r.state.lag().size,
    artifacts: r.state.desiredSize(),
    lastAck: r.lastAck,
    lastNack: r.lastNack,
    heartbeat: r.heartbeat,
    hello: r.hello,
    sent: { ...r.sent },
  };
}

export function createHub(d: HubDeps, config: HubConfig): HubCore {
  const encoder: Encoder = createEncoder(d.artifacts, config);
  const admission: Admission = createAdmission(config.admissionMax);
  const term: typeof heldTerm = createTermCache(500_000);
  const records = new Map<NodeName, NodeRecord>();
  const pumpSoon = createPumper();
  const total = noneSent();

  const record = (node: NodeName): NodeRecord => {
    let r = records.get(node);
    if (r === undefined) {
      if (records.size >= config.nodesMax)
        throw new AppError({ code: 'stream/busy', message: `more than ${config.nodesMax} nodes`, retry: 'later' });
      r = {
        state: createNodeState(term),
        session: undefined,
        acked: 0,
        lastAck: undefined,
        lastNack: undefined,
        heartbeat: undefined,
        hello: undefined,
        sent: noneSent(),
      };
      records.set(node, r);
    }
    return r;
  };
  const touched = (r: NodeRecord): void => {
    if (r.session !== undefined) pumpSoon(r.session);
  };

  const accept = (node: NodeName, call: SyncCall): void => {
    const r = record(node);
    r.session?.close(new AppError({ code: 'stream/replaced', message: 'a newer stream of this node took over' }));
    let greeted = false;
    const session: Session = createSession(
      {
        node,
        call,
        state: r.state,
        encoder,
        admission,
        epoch: () => d.freshness().epoch,
        clock: d.clock,
        log: d.log,
        events: {
          greeted(hello) {
            greeted = true;
            // The list of held artifacts may be large and is used up.
            r.hello = { ...hello, held: {} };
            d.log.info('node connected', { node, revision: hello.revision, agentBuild: hello.agentBuild });
            d.events.connected?.(node, hello);
          },
          ack(ack) {
            r.acked = ack.revision;
            r.lastAck = ack;
            r.lastNack = undefined;
            d.events.ack?.(node, ack);
          },
          nack(nack) {
            r.lastNack = nack;
            d.log.warn('node refused a commit', {
              node,
              revision: nack.revision,
              code: nack.code,
              reason: nack.reason,
              artifact: nack.artifact,
            });
            d.events.nack?.(node, nack);
          },
          heartbeat(beat) {
            r.heartbeat = beat;
            d.events.heartbeat?.(node, beat);
          },
          lease: () => d.grant?.(node) ?? 0,
          sent(count) {
            for (const sum of [r.sent, total]) add(sum, count);
          },
          closed(reason) {
            if (r.session !== session) return;
            r.session = undefined;
            // A node that nothing is desired for (it left the cluster) leaves no record behind.
            if (r.state.position() === undefined && records.get(node) === r) records.delete(node);
            // Without a Hello it only asked who leads.
            if (!greeted) return;
            d.log.info('node disconnected', { node, reason });
            d.events.disconnected?.(node, reason);
          },
        },
      },
      config,
    );
    r.session = session;
    // At once: the agent learns whether this operator is worth staying with.
    session.beat(heartbeat());
  };

  const heartbeat = (): Buffer => {
    const { epoch, leader, inputAgeMs } = d.freshness();
    const value = { epoch, leader, inputAgeMs: { ...inputAgeMs } };
    return encodeMessage(SyncResponse, { message: { $case: 'heartbeat', value } });
  };
  const beat = (inTurn: boolean): void => {
    const message = heartbeat();
    for (const r of records.values()) r.session?.beat(message, inTurn);
  };
  const whoLeads = (): string => {
    const { epoch, leader } = d.freshness();
    return `${epoch} ${leader}`;
  };

  return {
    accept,
    setDesired(node, desired, at) {
      const r = record(node);
      r.state.setDesired(desired, at);
      touched(r);
    },
    changeDesired(node, changes, at) {
      const r = record(node);
      r.state.change(changes, at);
      touched(r);
    },
    forget(node) {
      const r = records.get(node);
      records.delete(node);
      r?.session?.close(new AppError({ code: 'stream/not-found', message: 'the node left the cluster' }));
    },
    status: () => [...records].map(([node, r]) => linkOf(node, r)),
    link(node) {
      const r = records.get(node);
      return r === undefined ? undefined : linkOf(node, r);
    },
    holding(node, name) {
      const r = records.get(node);
      if (r?.session === undefined || !r.state.heldKnown() || r.state.lag().has(name) || r.session.sends(name)) return undefined;
      return { digest: r.state.held(name) };
    },
    totals: () => ({
      connected: [...records.values()].filter((r) => r.session !== undefined).length,
      waiting: admission.waiting(),
      encodes: encoder.encodes(),
      cachedBytes: encoder.cachedBytes(),
      sent: { ...total },
    }),
    run(signal) {
      void (async () => {
        while (!signal.aborted) {
          await d.clock.sleep(config.heartbeatMs, signal);
          if (!signal.aborted) beat(true);
        }
      })();
      // who has to find another leader learns it at once
      void (async () => {
        let told = whoLeads();
        while (!signal.aborted) {
          await d.clock.sleep(Math.min(config.heartbeatMs, WHO_LEADS_MS), signal);
          const now = whoLeads();
          if (signal.aborted || now === told) continue;
          told = now;
          beat(false);
        }
      })();
    },
  };
}
