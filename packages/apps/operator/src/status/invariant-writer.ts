// Leader duty: whether each ReachabilityInvariant holds, with the first pods and rules that break it. Called by duties.ts.

import { type Clock, canonicalJson } from '@axoneme/std';
import { isKubeError, type KubeClient } from 'kopf-ts';
import type { InvariantState } from '../compile/gates/invariants.ts';
import { invariantResource } from '../sources/sources.ts';
import type { World } from '../world/world.ts';
import { type Condition, cutMessage, type Draft, withTimes } from './policy-status.ts';

export interface InvariantStatus {
  readonly conditions: readonly Condition[];
  readonly observedGeneration: number;
  readonly revision: number;
}

function draftsOf(s: InvariantState): Draft[] {
  if (s.problems.length > 0) {
    return [
      { type: 'Valid', status: 'False', reason: 'ValidationFailed', message: cutMessage(s.problems.join('; ')) },
      { type: 'Holds', status: 'Unknown', reason: 'Invalid', message: 'the invariant cannot be read and is not checked' },
    ];
  }
  const valid: Draft = { type: 'Valid', status: 'True', reason: 'Validated', message: 'the invariant is checked at every compile' };
  if (s.broken === 0) return [valid, { type: 'Holds', status: 'True', reason: 'Holds', message: 'no pair of pods or addresses breaks it' }];
  const pairs = s.broken === 1 ? 'one pair breaks it' : `${s.broken} pairs break it`;
  const message = cutMessage(`${pairs}: ${s.examples.join('; ')}${s.broken > s.examples.length ? '; …' : ''}`);
  return [valid, { type: 'Holds', status: 'False', reason: 'Broken', message }];
}

export function invariantStatus(
  s: InvariantState,
  generation: number,
  revision: number,
  held: InvariantStatus | undefined,
  now: string,
): InvariantStatus {
  return { conditions: withTimes(draftsOf(s), generation, held?.conditions, now), observedGeneration: generation, revision };
}

export interface InvariantStatusWriterDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
  readonly states: () => ReadonlyMap<string, InvariantState>;
  readonly revision: () => number;
  readonly assertLeader: () => void;
}

interface Raw {
  readonly metadata?: { readonly name?: string; readonly generation?: number };
  readonly status?: InvariantStatus;
}

/** Revisions alone are not worth a write. */
const essence = (s: InvariantStatus | undefined): string =>
  canonicalJson([s?.observedGeneration, (s?.conditions ?? []).map((c) => [c.type, c.status, c.reason, c.message])]);

export function createInvariantStatusWriter(deps: InvariantStatusWriterDeps): () => Promise<void> {
  return async () => {
    const now = new Date(deps.clock.nowMs()).toISOString().replace(/\.\d+Z$/, 'Z');
    for (const [key, state] of deps.states()) {
      const raw = deps.world.tables.invariants.get(key) as Raw | undefined;
      const name = raw?.metadata?.name;
      if (raw === undefined || name === undefined) continue;
      const status = invariantStatus(state, raw.metadata?.generation ?? 0, deps.revision(), raw.status, now);
      if (essence(status) === essence(raw.status)) continue;
      deps.assertLeader();
      try {
        await deps.client.patchStatus(invariantResource, { name }, status);
      } catch (e) {
        if (!isKubeError(e, 'kube/not-found')) throw e;
      }
    }
  };
}
