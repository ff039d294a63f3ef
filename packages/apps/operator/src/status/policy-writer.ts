// Leader duty: writes the status of policy objects, only what a reader would notice. Called by wiring.ts after compiles and acknowledgements.

import { type Clock, canonicalJson, createYielder } from '@axoneme/std';
import { isKubeError, type KubeClient } from 'kopf-ts';
import { policyResources } from '../sources/sources.ts';
import type { PolicyKind, PolicyRow } from '../world/rows.ts';
import type { World } from '../world/world.ts';
import type { Linter } from './lints.ts';
import { type Acked, type PolicyStatus, type PolicyVerdict, policyStatus } from './policy-status.ts';

export interface PolicyStatusWriterDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
  readonly verdict: (key: string) => PolicyVerdict | undefined;
  /** Keys whose verdict is another one since the last call. */
  readonly changed: () => ReadonlySet<string>;
  readonly acked: Acked;
  readonly linter: Linter;
  /** Changes with the cluster: lints may be different then. */
  readonly state: () => unknown;
  /** Wish for another run after so many milliseconds. */
  readonly later: (ms: number) => void;
  readonly assertLeader: () => void;
}

/** What each kind has room for: our own fields, conditions only, or nothing (its state is told by the admin service). */
const shapes: Readonly<Record<PolicyKind, 'full' | 'conditions' | 'none'>> = {
  CiliumNetworkPolicy: 'full',
  CiliumClusterwideNetworkPolicy: 'full',
  NetworkPolicy: 'none',
  AdminNetworkPolicy: 'conditions',
  BaselineAdminNetworkPolicy: 'conditions',
  ClusterNetworkPolicy: 'conditions',
};

/** All policies are looked at again when the cluster changed, but not more often than this. */
const SWEEP_MS = 2_000;
/** Nor may looking take more than one part of so many of the time. */
const SWEEP_SHARE = 20;

/** Only what a reader of the object would notice: revisions alone are not worth a write. */
const essence = (s: PolicyStatus | undefined): string =>
  canonicalJson(
    (s?.conditions ?? []).map((c) => [c.type, c.status, c.reason, c.observedGeneration, c.message.replace(/at revision \d+/, '')]),
  );

const bodyOf = (kind: PolicyKind, status: PolicyStatus): unknown =>
  shapes[kind] === 'conditions' ? { conditions: status.conditions } : status;

export function createPolicyStatusWriter(deps: PolicyStatusWriterDeps): () => Promise<void> {
  const { clock, linter, world } = deps;
  const written = new Map<string, { uid: string; status: PolicyStatus }>();
  const settled = new Map<string, PolicyVerdict>();
  let swept: unknown;
  let sweepAt = 0;

  const write = async (p: PolicyRow, status: PolicyStatus): Promise<void> => {
    deps.assertLeader();
    const ref = p.namespace === '' ? { name: p.name } : { name: p.name, namespace: p.namespace };
    try {
      await deps.client.patchStatus(policyResources[p.kind], ref, bodyOf(p.kind, status));
    } catch (e) {
      if (!isKubeError(e, 'kube/not-found')) throw e;
    }
  };
  /** Policies to look at; at first all. */
  let open: Set<string> | undefined;
  const forget = (key: string): void => {
    open?.delete(key);
    written.delete(key);
    settled.delete(key);
    linter.forget(key);
  };
  /** Lints of settled policies change with the cluster; the others are looked at anyway. */
  const sweep = async (): Promise<void> => {
    const state = deps.state();
    if (state === swept) return;
    const start = clock.monotonicMs();
    if (start < sweepAt) return deps.later(sweepAt - start + 1);
    swept = state;
    const pause = createYielder();
    for (const [key, v] of [...settled]) {
      if (linter.look(key, v)) {
        settled.delete(key);
        open?.add(key);
      }
      await pause();
    }
    const end = clock.monotonicMs();
    sweepAt = end + Math.max(SWEEP_MS, (end - start) * SWEEP_SHARE);
  };

  const look = async (key: string, p: PolicyRow, now: string): Promise<void> => {
    const v = deps.verdict(key);
    // the compiler has not seen this version yet
    if (v === undefined || v.generation !== p.generation) return;
    const mine = written.get(key);
    const held = mine?.uid === p.uid ? mine.status : (p.object.status as PolicyStatus | undefined);
    linter.look(key, v);
    const status = policyStatus(v, deps.acked, held, now, linter.held(key));
    if (essence(status) !== essence(held)) await write(p, status);
    written.set(key, { uid: p.uid, status });
    // what was enforced everywhere stays so: acknowledged revisions only grow. But a node may take a host policy back later
    if (status.pendingNodes.length > 0 || v.onNodes || deps.verdict(key) !== v) return;
    settled.set(key, v);
    open?.delete(key);
  };

  return async () => {
    const now = new Date(clock.nowMs()).toISOString().replace(/\.\d+Z$/, 'Z');
    open ??= new Set(world.tables.policies.keys());
    for (const key of deps.changed()) open.add(key);
    await sweep();
    for (const key of [...open]) {
      const p = world.tables.policies.get(key);
      if (p === undefined) forget(key);
      else if (shapes[p.kind] === 'none') open.delete(key);
      else await look(key, p, now);
    }
  };
}
