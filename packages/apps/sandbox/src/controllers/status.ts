// Status of workload objects: written only when it changed, conditions keep the time of their last change.
import { canonicalJson } from '@axoneme/std';
import type { Gvr, KubeObject } from '../apiserver/types.ts';
import { copyOf, nowIso } from '../client/object.ts';
import { conditionsOf } from '../kubelet/pod-types.ts';
import type { ControllerDeps } from './reconciler.ts';

/** Replaces the whole status and waits until the cache shows it. */
export async function writeStatus(d: ControllerDeps, gvr: Gvr, o: KubeObject, status: Record<string, unknown>): Promise<void> {
  if (canonicalJson(o.status ?? {}) === canonicalJson(status)) return;
  const next = await d.client.updateStatus(gvr, { ...copyOf(o), status });
  await d.caches.of(gvr).settle(next);
}

export interface WantedCondition {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

/** Conditions as Deployments and Jobs carry them. */
export function conditions(o: KubeObject, wanted: readonly WantedCondition[], nowMs: number): Record<string, string>[] {
  const now = nowIso(nowMs);
  return wanted.map((w) => {
    const status = w.status ? 'True' : 'False';
    const old = conditionsOf(o).find((c) => c.type === w.type) as (Record<string, string> & { status: string }) | undefined;
    const same = old?.status === status && old.reason === w.reason && old.message === w.message;
    const text = { type: w.type, status, reason: w.reason, message: w.message };
    if (same && old !== undefined) return { ...old };
    const lastTransitionTime = old?.status === status ? (old.lastTransitionTime ?? now) : now;
    return { ...text, lastUpdateTime: now, lastTransitionTime };
  });
}
