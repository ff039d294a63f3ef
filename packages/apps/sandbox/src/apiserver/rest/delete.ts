// Deletion: preconditions, grace of pods, finalizers, propagation, namespaces. Called by HTTP, by the in-process client and by ./write.ts.
import { asList, asObj, nameOf, timeText } from '../obj.ts';
import type { Resource } from '../registry.ts';
import { badRequest, conflict, forbidden, notFound } from '../status-error.ts';
import { tooBusy } from '../store/memory.ts';
import type { DeleteOptions, KubeObject } from '../types.ts';
import { admissionRequest } from './admission-request.ts';
import type { WriteContext } from './context.ts';
import type { RestEnv } from './env.ts';
import { withGeneration } from './system.ts';
import { fromStorage } from './versions.ts';

const attemptsMax = 30;
const protectedNamespaces = new Set(['default', 'kube-system', 'kube-public']);

export interface Deleted {
  readonly object: KubeObject;
  /** False while finalizers or a grace period hold it. */
  readonly gone: boolean;
}

export async function remove(
  env: RestEnv,
  r: Resource,
  ns: string,
  name: string,
  opts: DeleteOptions,
  ctx: WriteContext,
): Promise<Deleted> {
  if (r.storage === '/namespaces' && protectedNamespaces.has(name)) throw forbidden(r, name, 'this namespace may not be deleted');
  const policies = ['Background', 'Foreground', 'Orphan'];
  if (opts.propagationPolicy !== undefined && !policies.includes(opts.propagationPolicy))
    throw badRequest(`invalid propagationPolicy ${opts.propagationPolicy}`);
  for (let i = 0; i < attemptsMax; i++) {
    const stored = env.store.get(r.storage, r.namespaced ? ns : '', name);
    if (stored === undefined) throw notFound(r, name);
    checkPreconditions(r, stored, opts);
    await env.admission.validate(admissionRequest(r, 'DELETE', ns, undefined, fromStorage(r, stored), ctx), ctx.warnings);
    const done = removeOnce(env, r, stored, opts, ctx.dryRun || opts.dryRun === true);
    if (done !== undefined) return { object: fromStorage(r, done.object), gone: done.gone };
  }
  throw tooBusy();
}

function checkPreconditions(r: Resource, o: KubeObject, opts: DeleteOptions): void {
  const { uid, resourceVersion } = opts.preconditions ?? {};
  if (uid !== undefined && uid !== o.metadata.uid) {
    throw conflict(r, nameOf(o), `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${o.metadata.uid}`);
  }
  if (resourceVersion !== undefined && resourceVersion !== o.metadata.resourceVersion) {
    throw conflict(
      r,
      nameOf(o),
      `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${o.metadata.resourceVersion}`,
    );
  }
}

function removeOnce(env: RestEnv, r: Resource, stored: KubeObject, opts: DeleteOptions, dryRun: boolean): Deleted | undefined {
  const grace = graceOf(env, r, stored, opts);
  const finalizers = withPropagation(stored, opts);
  const held = finalizers.length > 0 || grace > 0 || r.storage === '/namespaces';
  if (!held) {
    if (dryRun) return { object: stored, gone: true };
    const gone = env.store.remove(r.storage, stored);
    return gone === undefined ? undefined : { object: gone, gone: true };
  }
  const next = marked(env, r, stored, finalizers, grace);
  if (next === stored || dryRun) return { object: next, gone: false };
  const saved = env.store.swap(r.storage, stored, next);
  return saved === undefined ? undefined : { object: saved, gone: false };
}

/** Seconds a pod may take to stop; everything else goes at once. */
function graceOf(env: RestEnv, r: Resource, o: KubeObject, opts: DeleteOptions): number {
  if (r.storage !== '/pods' || !env.podGracefulDeletion) return 0;
  const spec = asObj(o.spec);
  const phase = asObj(o.status).phase;
  if (spec.nodeName === undefined || phase === 'Succeeded' || phase === 'Failed') return 0;
  const asked = opts.gracePeriodSeconds ?? o.metadata.deletionGracePeriodSeconds ?? Number(spec.terminationGracePeriodSeconds ?? 30);
  return Math.max(0, asked);
}

function withPropagation(o: KubeObject, opts: DeleteOptions): readonly string[] {
  const now = o.metadata.finalizers ?? [];
  if (o.metadata.deletionTimestamp !== undefined && opts.propagationPolicy === undefined) return now;
  const others = opts.propagationPolicy === undefined ? now : now.filter((f) => f !== 'orphan' && f !== 'foregroundDeletion');
  if (opts.propagationPolicy === 'Orphan') return [...others, 'orphan'];
  if (opts.propagationPolicy === 'Foreground') return [...others, 'foregroundDeletion'];
  return others;
}

function marked(env: RestEnv, r: Resource, o: KubeObject, finalizers: readonly string[], grace: number): KubeObject {
  const metadata = { ...o.metadata };
  const before = o.metadata.deletionTimestamp;
  if (before === undefined || grace < (o.metadata.deletionGracePeriodSeconds ?? 0)) {
    metadata.deletionTimestamp = timeText(env.clock.nowMs() + grace * 1000);
    metadata.deletionGracePeriodSeconds = grace;
  }
  if (finalizers.length > 0) metadata.finalizers = [...finalizers];
  else delete metadata.finalizers;
  let next: KubeObject = { ...o, metadata };
  if (r.storage === '/namespaces') {
    delete metadata.deletionGracePeriodSeconds;
    next = { ...next, status: { ...asObj(o.status), phase: 'Terminating' } };
  }
  if (before !== undefined && metadata.deletionTimestamp === before && finalizers.join() === (o.metadata.finalizers ?? []).join()) return o;
  return withGeneration(r, o, next);
}

/** A write that takes away the last thing holding a deleted object removes it. undefined = not so. */
export function finishDeletion(env: RestEnv, r: Resource, stored: KubeObject, next: KubeObject): KubeObject | 'raced' | undefined {
  const m = next.metadata;
  if (m.deletionTimestamp === undefined || (m.finalizers ?? []).length > 0) return undefined;
  if (r.storage === '/namespaces' && asList(asObj(next.spec).finalizers).length > 0) return undefined;
  if ((m.deletionGracePeriodSeconds ?? 0) > 0) return undefined;
  return env.store.remove(r.storage, stored, next) ?? 'raced';
}
