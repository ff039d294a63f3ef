// Leader duty: whether each CiliumLocalRedirectPolicy is in force, in its status; what is refused is an Event too. Called by duties.ts.
import type { CompiledRedirect } from '@axoneme/service';
import { type Clock, canonicalJson } from '@axoneme/std';
import { type EventRecorder, isKubeError, type KubeClient } from 'kopf-ts';
import { ciliumResources } from '../sources/sources.ts';
import type { World } from '../world/world.ts';
import { type Condition, cutMessage, type Draft, withTimes } from './policy-status.ts';

export interface RedirectStatus {
  readonly ok: boolean;
  readonly conditions: readonly Condition[];
}

function draftOf(state: CompiledRedirect | undefined, enabled: boolean): Draft {
  const not = (reason: string, message: string): Draft => ({ type: 'Ready', status: 'False', reason, message: cutMessage(message) });
  if (!enabled) return not('Disabled', 'local redirects are off: set localRedirectPolicies.enabled');
  if (state === undefined) return not('Pending', 'the policy was not compiled yet');
  if (state.problems.length > 0) return not('Refused', state.problems.join('; '));
  if (state.nodes.length === 0) return not('NoPods', 'no pod that is selected is ready: traffic goes where it would go without the policy');
  return { type: 'Ready', status: 'True', reason: 'Redirecting', message: 'traffic goes to the pods of nodes that have a ready one' };
}

export function redirectStatus(
  state: CompiledRedirect | undefined,
  enabled: boolean,
  generation: number,
  held: RedirectStatus | undefined,
  now: string,
): RedirectStatus {
  const draft = draftOf(state, enabled);
  // a policy without pods is all right, for now nobody is meant
  const ok = draft.status === 'True' || draft.reason === 'NoPods';
  return { ok, conditions: withTimes([draft], generation, held?.conditions, now) };
}

export interface RedirectStatusWriterDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
  readonly events: EventRecorder;
  readonly enabled: boolean;
  /** Undefined before the first compile. */
  readonly states: () => ReadonlyMap<string, CompiledRedirect> | undefined;
  readonly assertLeader: () => void;
}

interface Raw {
  readonly metadata?: { readonly name?: string; readonly namespace?: string; readonly generation?: number; readonly uid?: string };
  readonly status?: RedirectStatus;
}

const essence = (s: RedirectStatus | undefined): string =>
  canonicalJson([s?.ok ?? null, (s?.conditions ?? []).map((c) => [c.type, c.status, c.reason, c.message, c.observedGeneration])]);

export function createRedirectStatusWriter(deps: RedirectStatusWriterDeps): () => Promise<void> {
  const { world, client } = deps;
  return async () => {
    const states = deps.states();
    if (states === undefined) return;
    const now = new Date(deps.clock.nowMs()).toISOString().replace(/\.\d+Z$/, 'Z');
    for (const [key, object] of world.tables.localRedirects) {
      const raw = object as Raw;
      const { name, namespace = '', generation = 0, uid } = raw.metadata ?? {};
      if (name === undefined) continue;
      const status = redirectStatus(states.get(key), deps.enabled, generation, raw.status, now);
      if (essence(status) === essence(raw.status)) continue;
      deps.assertLeader();
      try {
        await client.patchStatus(ciliumResources.localRedirects, { namespace, name }, status);
      } catch (e) {
        if (!isKubeError(e, 'kube/not-found')) throw e;
        continue;
      }
      const [c] = status.conditions;
      if (c?.reason !== 'Refused') continue;
      const about = {
        apiVersion: 'cilium.io/v2',
        kind: 'CiliumLocalRedirectPolicy',
        name,
        namespace,
        ...(uid === undefined ? {} : { uid }),
      };
      deps.events.record(about, { type: 'Warning', reason: 'LocalRedirectRefused', message: c.message });
    }
  };
}
