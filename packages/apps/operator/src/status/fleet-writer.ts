// Leader duty: what became of each LoadBalancerFleet, in its status: whether it could be read, which nodes have it, which backends fail their
// checks. The last is also what the next leader begins with. Called by duties.ts.
import type { ObjectKey } from '@axoneme/model';
import { fleetKeys } from '@axoneme/service';
import { type Clock, canonicalJson } from '@axoneme/std';
import { isKubeError, type KubeClient } from 'kopf-ts';
import type { Compiled } from '../compile/compiler.ts';
import { type FleetServiceStatus, servicesStatus } from '../compile/fleet-status.ts';
import type { FleetState } from '../compile/fleets.ts';
import { fleetResource } from '../sources/sources.ts';
import type { World } from '../world/world.ts';
import { type Condition, cutMessage, type Draft, withTimes } from './policy-status.ts';

export interface FleetStatus {
  readonly conditions: readonly Condition[];
  readonly nodes: { readonly selected: number; readonly ready: number };
  readonly services: readonly FleetServiceStatus[];
  readonly summary: { readonly services: number; readonly nodes: string };
  readonly observedGeneration: number;
}

/** First revision that carries a fleet as it is, for the nodes it selects. Kept by every replica: whoever leads next knows. */
export interface FleetRevisions {
  note(fleets: ReadonlyMap<string, FleetState>, revision: number): void;
  of(fleet: string): number;
}

export function createFleetRevisions(): FleetRevisions {
  const held = new Map<string, { readonly state: FleetState; readonly revision: number }>();
  const same = (a: FleetState, b: FleetState): boolean =>
    a.uid === b.uid && a.targets === b.targets && a.fleet === b.fleet && a.selected.join() === b.selected.join();
  return {
    note(fleets, revision) {
      for (const name of held.keys()) if (!fleets.has(name)) held.delete(name);
      for (const [name, state] of fleets) {
        const before = held.get(name);
        if (before?.state === state) continue;
        held.set(name, { state, revision: before !== undefined && same(before.state, state) ? before.revision : revision });
      }
    },
    of: (fleet) => held.get(fleet)?.revision ?? Number.POSITIVE_INFINITY,
  };
}

const SHOWN_MAX = 5;
const some = (list: readonly string[]): string =>
  list.slice(0, SHOWN_MAX).join(', ') + (list.length > SHOWN_MAX ? ` and ${list.length - SHOWN_MAX} more` : '');

function acceptedOf(f: FleetState, services: readonly FleetServiceStatus[]): Draft {
  const at = (status: Draft['status'], reason: string, message: string): Draft => ({
    type: 'Accepted',
    status,
    reason,
    message: cutMessage(message),
  });
  if (f.problems.length > 0) {
    const kept = f.fleet === undefined ? '' : 'the fleet stays as it was until this operator ends: ';
    return at('False', 'ValidationFailed', kept + f.problems.join('; '));
  }
  const remarks = services.flatMap((s) => s.remarks.map((r) => `${s.name}: ${r}`));
  if (remarks.length > 0) return at('True', 'AcceptedWithRemarks', remarks.join('; '));
  return at('True', 'Accepted', 'every field of the fleet is understood');
}

export interface Readiness {
  readonly ready: readonly string[];
  readonly pending: readonly string[];
}

function readyOf(f: FleetState, { ready, pending }: Readiness): Draft {
  const at = (status: Draft['status'], reason: string, message: string): Draft => ({ type: 'Ready', status, reason, message });
  if (f.fleet === undefined) return at('False', 'Invalid', 'the fleet could not be read and has no effect');
  if (f.selected.length === 0) return at('False', 'NoNodes', 'spec.nodeSelector selects no node');
  const blind = f.targets.size === 0 ? [] : ready.filter((n) => !f.alive.includes(n));
  const note = blind.length === 0 ? '' : `; agents that cannot check backends: ${some(blind)}`;
  if (pending.length > 0) return at('False', 'Pending', `${ready.length}/${f.selected.length} nodes; waiting for ${some(pending)}${note}`);
  return at('True', 'EveryNode', `${ready.length}/${f.selected.length} nodes have the fleet as it is${note}`);
}

export function fleetStatus(
  f: FleetState,
  nodes: Readiness,
  services: readonly FleetServiceStatus[],
  held: FleetStatus | undefined,
  now: string,
): FleetStatus {
  const ready = nodes.ready.length;
  return {
    conditions: withTimes([acceptedOf(f, services), readyOf(f, nodes)], f.generation, held?.conditions, now),
    nodes: { selected: f.selected.length, ready },
    services,
    summary: { services: f.fleet?.services.length ?? 0, nodes: `${ready}/${f.selected.length}` },
    observedGeneration: f.generation,
  };
}

export interface FleetStatusWriterDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
  readonly compiled: () => Compiled | undefined;
  readonly revisions: FleetRevisions;
  /** Newest revision of a node that is connected; 0 of others. */
  readonly acked: (node: string) => number;
  /** Wish for another run after so many milliseconds. */
  readonly later: (ms: number) => void;
  readonly assertLeader: () => void;
}

/** A node that comes back, or follows an edit, within this is no news; nor are those that have to find a new leader first. */
const PATIENCE_MS = 2_000;

type Raw = Readonly<Record<string, unknown>>;

const essence = (s: FleetStatus | undefined): string =>
  canonicalJson([
    (Array.isArray(s?.conditions) ? s.conditions : []).map((c) => [c.type, c.status, c.reason, c.message, c.observedGeneration]),
    ...[s?.nodes ?? null, s?.services ?? null, s?.summary ?? null, s?.observedGeneration ?? null],
  ]);

/** Readiness is not taken away at once: `held` as far as nodes are concerned. */
function patient(next: FleetStatus, held: FleetStatus): FleetStatus {
  const old = held.conditions.find((c) => c.type === 'Ready');
  const conditions = next.conditions.map((c) => (c.type === 'Ready' && old !== undefined ? old : c));
  return { ...next, conditions, nodes: held.nodes, summary: { ...next.summary, nodes: held.summary.nodes } };
}

const conditionOf = (s: FleetStatus | undefined, type: string): Condition | undefined =>
  Array.isArray(s?.conditions) ? s.conditions.find((c) => c.type === type) : undefined;

export function createFleetStatusWriter(d: FleetStatusWriterDeps): () => Promise<void> {
  const { world, client, clock } = d;
  /** Since when a fleet that was ready is not. */
  const waiting = new Map<string, number>();
  const memo = new Map<
    string,
    { readonly state: FleetState; readonly remarks: Compiled['serviceRemarks']; readonly list: FleetServiceStatus[] }
  >();

  const servicesOf = (f: FleetState, remarks: Compiled['serviceRemarks']): FleetServiceStatus[] => {
    const known = memo.get(f.name);
    if (known?.state === f && known.remarks === remarks) return known.list;
    const of = (key: ObjectKey): readonly string[] => remarks.get(key) ?? [];
    const list = f.fleet === undefined ? [] : servicesStatus(f.fleet, f.down, (s) => [...new Set(fleetKeys(f.name, s).flatMap(of))]);
    memo.set(f.name, { state: f, remarks, list });
    return list;
  };
  const readiness = (f: FleetState): Readiness => {
    const revision = d.revisions.of(f.name);
    const ready = f.selected.filter((n) => d.acked(n) >= revision);
    return { ready, pending: f.selected.filter((n) => !ready.includes(n)) };
  };
  /** What is worth writing now; undefined: nothing. */
  const due = (f: FleetState, held: FleetStatus | undefined, remarks: Compiled['serviceRemarks'], now: string): FleetStatus | undefined => {
    const next = fleetStatus(f, readiness(f), servicesOf(f, remarks), held, now);
    const falls = conditionOf(held, 'Ready')?.status === 'True' && conditionOf(next, 'Ready')?.reason === 'Pending';
    if (!falls) waiting.delete(f.name);
    else {
      const since = waiting.get(f.name);
      if (since === undefined) {
        waiting.set(f.name, clock.monotonicMs());
        d.later(PATIENCE_MS + 1);
      }
      if (since === undefined || clock.monotonicMs() - since < PATIENCE_MS) {
        const calm = patient(next, held!);
        return essence(calm) === essence(held) ? undefined : calm;
      }
    }
    return essence(next) === essence(held) ? undefined : next;
  };

  return async () => {
    const compiled = d.compiled();
    if (compiled === undefined) return;
    const now = new Date(clock.nowMs()).toISOString().replace(/\.\d+Z$/, 'Z');
    for (const name of [...memo.keys(), ...waiting.keys()])
      if (!compiled.fleets.has(name)) {
        memo.delete(name);
        waiting.delete(name);
      }
    const failures: unknown[] = [];
    for (const f of [...compiled.fleets.values()]) {
      const raw = world.tables.fleets.get(f.name);
      if (raw === undefined || ((raw.metadata as { uid?: string }).uid ?? '') !== f.uid) continue;
      const status = due(f, raw.status as FleetStatus | undefined, compiled.serviceRemarks, now);
      if (status === undefined) continue;
      d.assertLeader();
      try {
        const written = await client.patchStatus(fleetResource, { name: f.name }, status);
        // at once, whether the watch is quick or not
        if (world.tables.fleets.get(f.name) === raw) world.set('fleets', f.name, written as unknown as Raw);
      } catch (e) {
        if (!isKubeError(e, 'kube/not-found')) failures.push(e);
      }
    }
    // one that cannot be written keeps no other from being told
    if (failures.length > 0) throw failures[0];
  };
}
