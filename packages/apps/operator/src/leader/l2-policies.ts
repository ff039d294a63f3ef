// Leader duty: what is wrong with announcement policies, in their status. Called by l2-duties.ts.

import { type L2Problem, readL2Policy } from '@axoneme/ipam';
import { type Clock, canonicalJson } from '@axoneme/std';
import type { KubeClient } from 'kopf-ts';
import { type Condition, cutMessage, type Draft, withTimes } from '../status/policy-status.ts';
import type { World } from '../world/world.ts';
import { createSeenStatus } from './seen-status.ts';

type Raw = Readonly<Record<string, unknown>>;

/** Conditions that are somebody else's stay. */
function conditionsOf(problems: ReadonlyMap<L2Problem, string>, held: readonly Condition[], generation: number, now: string): Condition[] {
  const drafts = [...problems].map(
    ([type, message]): Draft => ({ type, status: 'True', reason: 'ValidationFailed', message: cutMessage(message) }),
  );
  return [...held.filter((c) => !c.type.startsWith('io.cilium/bad-')), ...withTimes(drafts, generation, held, now)];
}

export function createL2PolicyWriter(d: {
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
  readonly assertLeader: () => void;
}): () => Promise<void> {
  const seen = new WeakSet<Raw>();
  const write = createSeenStatus(d);
  return async () => {
    const now = new Date(d.clock.nowMs()).toISOString().replace(/\.\d+Z$/, 'Z');
    for (const [name, raw] of d.world.tables.l2Policies) {
      if (seen.has(raw)) continue;
      const { generation = 0 } = raw.metadata as { generation?: number };
      const held = ((raw.status ?? {}) as { conditions?: readonly Condition[] }).conditions ?? [];
      const conditions = conditionsOf(readL2Policy(raw).problems, held, generation, now);
      if (canonicalJson(conditions) !== canonicalJson(held)) await write('l2Policies', name, raw, { conditions });
      seen.add(raw);
    }
  };
}
