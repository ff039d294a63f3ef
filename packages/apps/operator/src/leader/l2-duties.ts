// Puts the announcements' duties into a period of leadership, and passes on to them what nodes say. Called by wiring.ts.

import type { Clock, Log, NodeName } from '@axoneme/std';
import type { Hub } from '@axoneme/stream';
import type { KubeClient } from 'kopf-ts';
import type { Compiler } from '../compile/compiler.ts';
import { L2_LEASES } from '../compile/l2.ts';
import { durationMs, type OperatorConfig } from '../config.ts';
import type { World } from '../world/world.ts';
import { createL2Duty, type L2Duty } from './l2.ts';
import { createL2PolicyWriter } from './l2-policies.ts';
import { createL2Store } from './l2-store.ts';
import type { Term } from './leader.ts';
import type { Reconciler } from './reconciler.ts';

/** Agents without it announce nothing. */
export const LEASE_FEATURE = 'l2-leases';
/** How soon it is noticed that a time is over. */
const LOOK_MS = 100;

export interface L2Duties {
  /** For a period of leadership. */
  writers(term: Term): readonly Reconciler[];
  grant(node: string): number;
  connected(node: string, features: readonly string[]): void;
  disconnected(node: string): void;
  sign(node: string): void;
}

export interface L2DutiesDeps {
  readonly config: OperatorConfig;
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
  readonly log: Log;
  readonly compiler: Pick<Compiler, 'l2'>;
  readonly hub: () => Hub;
  readonly isLeader: () => boolean;
}

export function createL2Duties(d: L2DutiesDeps): L2Duties {
  const { config, client, world, clock, log } = d;
  const validMs = durationMs(config.l2LeaseDuration);
  let current: { readonly duty: L2Duty; readonly mark: () => void } | undefined;

  const begin = (term: Term): Reconciler[] => {
    const { assertLeader } = term;
    const duty = createL2Duty(
      {
        world,
        part: d.compiler.l2,
        holding: (node) => d.hub().holding(node as NodeName, L2_LEASES),
        store: createL2Store({ client, clock, assertLeader, namespace: config.podNamespace, validMs }),
        clock,
        log,
      },
      validMs,
    );
    for (const l of d.hub().status()) if (l.connected && l.hello?.features.includes(LEASE_FEATURE)) duty.connected(l.node);
    const owners = term.reconciler('announced addresses', duty.run);
    const policies = term.reconciler('announcement policies', createL2PolicyWriter({ client, world, clock, assertLeader }));
    const mine = { duty, mark: owners.mark };
    current = mine;
    const tick = (): void => {
      if (term.signal.aborted) {
        if (current === mine) current = undefined;
        return;
      }
      if (world.tables.l2Policies.size + world.tables.l2Leases.size > 0) owners.mark();
      clock.after(LOOK_MS, tick);
    };
    clock.after(LOOK_MS, tick);
    return [owners, policies];
  };

  return {
    writers: (term) => (config.l2AnnouncementsEnabled ? begin(term) : []),
    // only who leads knows who may
    grant: (node) => (d.isLeader() ? (current?.duty.ask(node) ?? 0) : 0),
    connected(node, features) {
      if (features.includes(LEASE_FEATURE)) current?.duty.connected(node);
    },
    disconnected: (node) => current?.duty.disconnected(node),
    sign: (node) => current?.duty.sign(node),
  };
}
