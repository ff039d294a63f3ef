// The leader duties that tell users what is true: status of policies and invariants, readiness of pods. Called by wiring.ts.
import type { Clock } from '@axoneme/std';
import type { KubeClient } from 'kopf-ts';
import type { InvariantState } from '../compile/gates/invariants.ts';
import type { CompileLoop } from '../compile/loop.ts';
import type { OperatorConfig } from '../config.ts';
import type { Term } from '../leader/leader.ts';
import type { Reconciler } from '../leader/reconciler.ts';
import type { World } from '../world/world.ts';
import { createFleetStatusWriter, type FleetRevisions } from './fleet-writer.ts';
import { createInvariantStatusWriter } from './invariant-writer.ts';
import type { Linter } from './lints.ts';
import type { NodeProblems } from './node-problems.ts';
import type { Acked } from './policy-status.ts';
import { createPolicyStatusWriter } from './policy-writer.ts';
import { createGateWriter, type PodGates } from './readiness.ts';
import { createRedirectStatusWriter } from './redirect-writer.ts';
import { createServiceEventWriter } from './service-events.ts';

export interface StatusDutiesDeps {
  readonly config: Pick<OperatorConfig, 'localRedirectPolicies'>;
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
  readonly linter: Linter;
  readonly gates: PodGates;
  readonly loop: () => CompileLoop;
  readonly acked: Acked;
  readonly problems: NodeProblems;
  readonly fleetRevisions: FleetRevisions;
  /** As `acked`, of nodes that are connected. */
  readonly ackedNow: (node: string) => number;
  readonly invariants: () => ReadonlyMap<string, InvariantState>;
}

const none: ReadonlyMap<string, readonly string[]> = new Map();

export function statusDuties(d: StatusDutiesDeps, t: Term): Reconciler[] {
  const { client, world, clock, acked } = d;
  const { assertLeader } = t;
  const later = (r: () => Reconciler) => (ms: number) => void clock.after(ms, () => r().mark());
  const policies: Reconciler = t.reconciler(
    'policy status',
    createPolicyStatusWriter({
      client,
      world,
      clock,
      acked,
      assertLeader,
      linter: d.linter,
      verdict: (key) => d.loop().verdicts.get(key),
      changed: () => d.loop().verdicts.takeChanged(),
      state: () => d.loop().last(),
      later: later(() => policies),
    }),
  );
  const invariants = t.reconciler(
    'invariant status',
    createInvariantStatusWriter({ client, world, clock, assertLeader, states: d.invariants, revision: () => d.loop().revision() }),
  );
  const gates: Reconciler = t.reconciler(
    'readiness gates',
    createGateWriter({
      client,
      world,
      clock,
      acked: (node) => acked(node, false),
      assertLeader,
      gates: d.gates,
      later: later(() => gates),
    }),
  );
  const services: Reconciler = t.reconciler(
    'service events',
    createServiceEventWriter({
      world,
      clock,
      events: t.events,
      remarks: () => d.loop().last()?.serviceRemarks ?? none,
      problems: d.problems.byService,
      later: later(() => services),
      assertLeader,
    }),
  );
  const redirects = t.reconciler(
    'local redirect status',
    createRedirectStatusWriter({
      client,
      world,
      clock,
      events: t.events,
      assertLeader,
      enabled: d.config.localRedirectPolicies,
      states: () => d.loop().last()?.redirects,
    }),
  );
  const fleets: Reconciler = t.reconciler(
    'fleet status',
    createFleetStatusWriter({
      client,
      world,
      clock,
      assertLeader,
      compiled: () => d.loop().last(),
      revisions: d.fleetRevisions,
      acked: d.ackedNow,
      later: later(() => fleets),
    }),
  );
  return [policies, invariants, gates, services, redirects, fleets];
}
