// Leader duty: a CiliumIdentity object for every label set in use, and none for those long unused. Truth is the object; called by leader.ts.

import { type FreedIdentity, planIdentities } from '@axoneme/identity';
import { type IdentityId, type Labels, labelNamespace, labelsToMap } from '@axoneme/model';
import type { Clock, Log } from '@axoneme/std';
import { isKubeError, type KubeClient } from 'kopf-ts';
import { labelsOfIdentity, type PodView } from '../compile/pods.ts';
import { ciliumResources } from '../sources/sources.ts';
import { UNUSED_SINCE_ANNOTATION } from '../world/project.ts';
import type { World } from '../world/world.ts';

export interface IdentityWriterDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
  readonly log: Log;
  readonly pods: () => readonly PodView[];
  /** Throws when this replica may not allocate any more. */
  readonly assertLeader: () => void;
}

export interface IdentityWriterConfig {
  readonly clusterId: number;
  readonly unusedGraceMs: number;
  readonly quarantineMs: number;
}

/** Labels of the object that `kubectl get ciliumidentities` prints: the k8s ones, without their source. */
function objectLabels(labels: Labels): Record<string, string> {
  const out: Record<string, string> = {};
  for (const l of labels.list) {
    if (l.source === 'k8s' && l.value.length <= 63 && !l.key.includes('namespace.labels')) out[l.key] = l.value;
  }
  const ns = labelNamespace(labels);
  return ns === undefined ? out : { ...out, 'io.kubernetes.pod.namespace': ns };
}

export function createIdentityWriter(deps: IdentityWriterDeps, config: IdentityWriterConfig): () => Promise<void> {
  const { client, world, clock, log } = deps;
  let freed: FreedIdentity[] = [];

  const create = async (id: number, labels: Labels): Promise<void> => {
    deps.assertLeader();
    const object = { metadata: { name: String(id), labels: objectLabels(labels) }, 'security-labels': labelsToMap(labels) };
    try {
      await client.create(ciliumResources.identities, object);
    } catch (e) {
      // somebody was faster: the watch tells what the number means now
      if (!isKubeError(e, 'kube/already-exists')) throw e;
      return;
    }
    world.set('identities', String(id), { id, labels: labelsToMap(labels), createdMs: clock.nowMs() });
  };

  const annotate = async (id: number, value: string | null): Promise<void> => {
    deps.assertLeader();
    const body = { metadata: { annotations: { [UNUSED_SINCE_ANNOTATION]: value } } };
    await client.patch(ciliumResources.identities, { name: String(id) }, { type: 'merge', body });
  };

  const remove = async (id: IdentityId): Promise<void> => {
    deps.assertLeader();
    await client.delete(ciliumResources.identities, { name: String(id) });
    freed.push({ id, freedMs: clock.nowMs() });
    log.info('unused identity deleted', { identity: id });
  };

  return async () => {
    const views = deps.pods();
    const wanted = new Map(views.map((v) => [v.labels.text, v.labels]));
    const plan = planIdentities(
      {
        wanted: [...wanted.values()],
        existing: [...world.tables.identities.values()].map((r) => ({
          id: r.id as IdentityId,
          labels: labelsOfIdentity(r),
          createdMs: r.createdMs,
          unusedSinceMs: r.unusedSinceMs,
        })),
        inUse: new Set([...world.tables.endpoints.values()].map((e) => e.identity as IdentityId)),
        freed,
        nowMs: clock.nowMs(),
      },
      config,
    );
    for (const f of plan.failures) log.error('no identity for a label set', { labels: f.labels.text, error: f.error.message });
    for (const c of plan.creates) await create(c.id, c.labels);
    for (const id of plan.marks) await annotate(id, new Date(clock.nowMs()).toISOString());
    for (const id of plan.unmarks) await annotate(id, null);
    for (const id of plan.deletes) await remove(id);
    freed = freed.filter((f) => !plan.released.includes(f.id));
  };
}
