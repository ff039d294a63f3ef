// What only the leader does: identities, blocks, endpoint objects, load balancer addresses, policy status, trust. Runs while the lease is held. Called by wiring.ts.

import { AppError, type Clock, type Health, type Log } from '@axoneme/std';
import { createElection, createEventRecorder, type Election, type EventRecorder, type KubeClient } from 'kopf-ts';
import type { PodView } from '../compile/pods.ts';
import type { OperatorConfig } from '../config.ts';
import type { Dirty, World } from '../world/world.ts';
import { createBlockWriter } from './blocks.ts';
import { createEndpointWriter } from './endpoints.ts';
import { createIdentityWriter } from './identities.ts';
import { createLbAddressWriter } from './lb-addresses.ts';
import { createNodeAddressWriter } from './node-addresses.ts';
import { createReconciler, type Reconciler } from './reconciler.ts';

export interface LeaderDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
  readonly log: Log;
  readonly pods: () => readonly PodView[];
  readonly isFresh: () => boolean;
  readonly epochFloor: () => number;
  /** Writers that other parts contribute, e.g. policy status and trust. */
  readonly writers: (t: Term) => readonly Reconciler[];
  readonly onTerm: (epoch: number | undefined) => void;
}

/** One period of leadership. */
export interface Term {
  readonly signal: AbortSignal;
  readonly epoch: number;
  readonly events: EventRecorder;
  readonly assertLeader: () => void;
  readonly reconciler: (name: string, run: () => Promise<void>) => Reconciler;
}

export interface Leader {
  start(signal: AbortSignal): Promise<void>;
  isLeader(): boolean;
  epoch(): number | undefined;
  /** Epoch of whoever leads, as this replica knows it; 0 before the first look. */
  epochSeen(): number;
  /** Tells the writers what changed. */
  notice(dirty: Dirty): void;
  /** Marks the writers contributed through `writers`. */
  poke(): void;
  health(): Health;
  readonly ended: Promise<void>;
}

const IDENTITY_GRACE_MS = 15 * 60_000;
const IDENTITY_QUARANTINE_MS = 60 * 60_000;
const GC_INTERVAL_MS = 60_000;

interface Duties {
  readonly identities: Reconciler;
  readonly blocks: Reconciler;
  readonly endpoints: Reconciler;
  /** Absent where load balancer addresses are somebody else's. */
  readonly lbAddresses: Reconciler | undefined;
  /** Absent unless Services are to have addresses of nodes. */
  readonly nodeAddresses: Reconciler | undefined;
  readonly others: readonly Reconciler[];
}

const allOf = (d: Duties): Reconciler[] => [
  d.identities,
  d.blocks,
  d.endpoints,
  ...(d.lbAddresses === undefined ? [] : [d.lbAddresses]),
  ...(d.nodeAddresses === undefined ? [] : [d.nodeAddresses]),
  ...d.others,
];

function startDuties(deps: LeaderDeps, config: OperatorConfig, term: Term): Duties {
  const { client, world, clock, log, pods } = deps;
  const { assertLeader, events } = term;
  const identityConfig = { clusterId: config.clusterId, unusedGraceMs: IDENTITY_GRACE_MS, quarantineMs: IDENTITY_QUARANTINE_MS };
  const duties = {
    identities: term.reconciler('identities', createIdentityWriter({ client, world, clock, log, pods, assertLeader }, identityConfig)),
    blocks: term.reconciler('blocks', createBlockWriter({ client, world, events, assertLeader, clock }, config)),
    endpoints: term.reconciler('endpoints', createEndpointWriter({ client, world, assertLeader })),
    lbAddresses: config.lbIpamEnabled
      ? term.reconciler('load balancer addresses', createLbAddressWriter({ client, world, clock, assertLeader }, config))
      : undefined,
    nodeAddresses: config.nodeIpamEnabled
      ? term.reconciler('addresses of nodes', createNodeAddressWriter({ client, world, events, assertLeader }, config))
      : undefined,
    others: deps.writers(term),
  };
  for (const r of allOf(duties)) r.mark();
  const tick = (): void => {
    if (term.signal.aborted) return;
    duties.identities.mark();
    clock.after(GC_INTERVAL_MS, tick);
  };
  clock.after(GC_INTERVAL_MS, tick);
  return duties;
}

export function createLeader(deps: LeaderDeps, config: OperatorConfig): Leader {
  let duties: Duties | undefined;
  let election: Election | undefined;

  const begin = (epoch: number, signal: AbortSignal): void => {
    const assertLeader = (): void => {
      if (election?.isLeader() !== true || signal.aborted) {
        throw new AppError({ code: 'operator/not-leader', message: 'this replica does not lead any more', retry: 'later' });
      }
    };
    const log = deps.log.child({ epoch });
    const events = createEventRecorder({ client: deps.client, component: 'axoneme-operator', log, clock: deps.clock });
    const reconciler = (name: string, run: () => Promise<void>): Reconciler =>
      createReconciler(name, { clock: deps.clock, log, signal }, run);
    log.info('leading');
    deps.onTerm(epoch);
    duties = startDuties(deps, config, { signal, epoch, events, assertLeader, reconciler });
  };

  const createOwnElection = (): Election =>
    createElection({
      client: deps.client,
      lease: { namespace: config.podNamespace, name: 'axoneme-operator' },
      identity: `${config.podName}_${process.pid}_${deps.clock.nowMs()}`,
      log: deps.log,
      clock: deps.clock,
      isFresh: deps.isFresh,
      epochFloor: deps.epochFloor,
      // an earlier process of this very pod, or a pod that is gone; the epoch fences whoever is wrong
      isDead: (holder) =>
        holder.startsWith(`${config.podName}_`) || !deps.world.tables.pods.has(`${config.podNamespace}/${holder.split('_')[0]}`),
      onStarted: begin,
      onStopped: (reason) => {
        deps.log.warn('stopped leading', { reason });
        duties = undefined;
        deps.onTerm(undefined);
      },
    });

  election = createOwnElection();
  return {
    start: (signal) => election.start(signal),
    isLeader: () => election.isLeader(),
    epoch: () => election.epoch(),
    epochSeen: () => election.epochSeen(),
    ended: election.ended,
    notice(dirty) {
      if (duties === undefined) return;
      if (dirty.has('pods') || dirty.has('namespaces') || dirty.has('identities') || dirty.has('endpoints')) duties.identities.mark();
      if (dirty.has('nodes') || dirty.has('ciliumNodes')) duties.blocks.mark();
      if (dirty.has('endpoints') || dirty.has('pods') || dirty.has('identities')) duties.endpoints.mark();
      if (dirty.has('services') || dirty.has('lbPools')) duties.lbAddresses?.mark();
      if (dirty.has('services') || dirty.has('nodes') || dirty.has('slices')) duties.nodeAddresses?.mark();
    },
    poke() {
      for (const r of duties?.others ?? []) r.mark();
    },
    health() {
      const all = duties === undefined ? [] : allOf(duties);
      return all.map((r) => r.health()).find((h) => h.state !== 'ok') ?? { state: 'ok' };
    },
  };
}
