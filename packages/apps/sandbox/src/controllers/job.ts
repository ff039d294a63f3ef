// Job: pods until enough have succeeded or too many have failed.
import type { KubeObject } from '../apiserver/types.ts';
import { JOBS, PODS } from '../client/kinds.ts';
import { ignoreNotFound } from '../client/kube-client.ts';
import { isTerminating, keyOf, nameOf, nowIso, nsOf, splitKey, uidOf } from '../client/object.ts';
import { conditionsOf, phaseOf } from '../kubelet/pod-types.ts';
import { createPod, deletePod, markOwner, ownedPods } from './pods.ts';
import { type Controller, type ControllerDeps, createReconciler } from './reconciler.ts';
import { isActive, type JobSpec, specOf } from './shapes.ts';
import { conditions, writeStatus } from './status.ts';

const BACKOFF_LIMIT = 6;
const RETRY_MS = 500;

const isOver = (job: KubeObject): boolean =>
  conditionsOf(job).some((c) => (c.type === 'Complete' || c.type === 'Failed') && c.status === 'True');

export function createJobController(d: ControllerDeps): Controller {
  const jobs = d.caches.of(JOBS);
  const pods = d.caches.of(PODS);

  async function finish(job: KubeObject, succeeded: number, failed: number, good: boolean): Promise<void> {
    for (const p of ownedPods(pods, job).filter(isActive)) await deletePod(d, p);
    const now = d.clock.nowMs();
    const reason = good ? 'CompletionsReached' : 'BackoffLimitExceeded';
    const message = good ? 'Reached expected number of succeeded pods' : 'Job has reached the specified backoff limit';
    const start = (job.status as { startTime?: string } | undefined)?.startTime ?? nowIso(now);
    const types = good ? ['SuccessCriteriaMet', 'Complete'] : ['FailureTarget', 'Failed'];
    const list = conditions(
      job,
      types.map((type) => ({ type, status: true, reason, message })),
      now,
    );
    await writeStatus(d, JOBS, job, {
      startTime: start,
      ...(good ? { completionTime: nowIso(now) } : {}),
      active: 0,
      ready: 0,
      terminating: 0,
      succeeded,
      failed,
      uncountedTerminatedPods: {},
      conditions: list.map(({ lastUpdateTime, ...c }) => ({
        ...c,
        lastProbeTime: lastUpdateTime,
      })),
    });
  }

  async function collect(job: KubeObject, spec: JobSpec): Promise<void> {
    if (spec.ttlSecondsAfterFinished === undefined) return;
    const ended = conditionsOf(job).find((c) => c.status === 'True')?.lastTransitionTime;
    const leftMs = Date.parse(ended ?? '') + spec.ttlSecondsAfterFinished * 1000 - d.clock.nowMs();
    if (leftMs > 0) queue.markAfter(keyOf(job), leftMs);
    else await ignoreNotFound(d.client.delete(JOBS, nsOf(job), nameOf(job), { propagationPolicy: 'Background' }));
  }

  async function reconcile(key: string): Promise<void> {
    await Promise.all([jobs.synced(), pods.synced()]);
    const job = jobs.get(...splitKey(key));
    if (job === undefined || isTerminating(job)) return;
    const spec = specOf<JobSpec>(job);
    if (isOver(job)) return collect(job, spec);
    const owned = ownedPods(pods, job);
    const succeeded = owned.filter((p) => phaseOf(p) === 'Succeeded').length;
    const failed = owned.filter((p) => phaseOf(p) === 'Failed').length;
    const wanted = spec.completions ?? 1;
    if (succeeded >= wanted) return finish(job, succeeded, failed, true);
    if (failed > (spec.backoffLimit ?? BACKOFF_LIMIT)) return finish(job, succeeded, failed, false);
    const active = owned.filter(isActive);
    const missing = spec.suspend === true ? 0 : Math.min(spec.parallelism ?? 1, wanted - succeeded) - active.length;
    if (missing > 0 && failed > 0) await d.clock.sleep(RETRY_MS);
    const labels = {
      'batch.kubernetes.io/job-name': nameOf(job),
      'job-name': nameOf(job),
      'batch.kubernetes.io/controller-uid': uidOf(job),
      'controller-uid': uidOf(job),
    };
    const make = { owner: job, apiVersion: 'batch/v1', kind: 'Job', template: spec.template, labels };
    for (let i = 0; i < missing; i++) await createPod(d, make);
    const now = ownedPods(pods, job).filter(isActive).length;
    const start = (job.status as { startTime?: string } | undefined)?.startTime ?? nowIso(d.clock.nowMs());
    await writeStatus(d, JOBS, job, {
      startTime: start,
      active: now,
      ready: 0,
      terminating: 0,
      succeeded,
      failed,
      uncountedTerminatedPods: {},
    });
  }

  const queue = createReconciler('job', d, reconcile);
  const stops: (() => void)[] = [];
  return {
    name: 'job',
    start() {
      stops.push(jobs.listen((_, o) => queue.mark(keyOf(o))));
      stops.push(pods.listen(markOwner('Job', queue.mark)));
    },
    stop() {
      queue.stop();
      for (const s of stops) s();
    },
  };
}
