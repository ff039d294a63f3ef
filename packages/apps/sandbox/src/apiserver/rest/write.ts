// Create, update, patch and apply: the one write path, asynchronous because admission may be. Called by HTTP and by the in-process client.
import { clone, equal, isObj, nameOf, timeText } from '../obj.ts';
import { jsonPatch } from '../patch/json.ts';
import { mergePatch } from '../patch/merge.ts';
import { strategicMerge } from '../patch/strategic.ts';
import { apiVersionOf, type Resource } from '../registry.ts';
import { applyConfig, trackUpdate, type Writer } from '../ssa/managers.ts';
import { zeroValue } from '../ssa/walk.ts';
import { alreadyExists, badRequest, conflict, forbidden, invalid, invalidValue, notFound, StatusError } from '../status-error.ts';
import { tooBusy } from '../store/memory.ts';
import type { KubeObject, PatchKind } from '../types.ts';
import { admissionRequest } from './admission-request.ts';
import type { WriteContext } from './context.ts';
import { finishDeletion } from './delete.ts';
import type { RestEnv } from './env.ts';
import { type BodyFacts, toTyped, validate } from './prepare.ts';
import { keepSystemFields, newMeta, sameObject, withGeneration, withInitialStatus } from './system.ts';
import { fromStorage, toStorage } from './versions.ts';

const attemptsMax = 30;

export interface Body extends BodyFacts {
  readonly value: unknown;
}

function writerOf(env: RestEnv, r: Resource, ctx: WriteContext): Writer {
  return { name: ctx.manager, apiVersion: apiVersionOf(r), subresource: ctx.subresource, time: timeText(env.clock.nowMs()) };
}

export async function create(env: RestEnv, r: Resource, ns: string, body: Body, ctx: WriteContext): Promise<KubeObject> {
  const raw = isObj(body.value) && isObj(body.value.metadata) ? body.value : { ...(body.value as object), metadata: {} };
  checkNamespace(r, ns, raw.metadata as { namespace?: unknown });
  const typed = toTyped(env, r, raw, ctx, body);
  // status and other first values of the server's own belong to no writer
  const { status, ...own } = typed;
  const counted = ownsStatus(r) ? typed : (own as KubeObject);
  const tracked = trackUpdate(undefined, counted, r.schema, writerOf(env, r, ctx), r.custom === undefined ? zeroValue(r.schema) : {});
  return commitNew(env, r, ns, withInitialStatus(r, status === undefined ? tracked : { ...tracked, status }), ctx);
}

/** Where no status subresource exists, status is a field like any other. */
const ownsStatus = (r: Resource): boolean => !r.subresources.includes('status') || r.kind === 'Node';

function checkNamespace(r: Resource, ns: string, meta: { readonly namespace?: unknown }): void {
  if (r.namespaced && meta.namespace !== undefined && meta.namespace !== '' && meta.namespace !== ns) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
}

function requireLiveNamespace(env: RestEnv, r: Resource, ns: string, name: string): void {
  if (!r.namespaced) return;
  const live = env.store.get('/namespaces', '', ns);
  if (live === undefined) throw notFound({ group: '', resource: 'namespaces' }, ns);
  if (live.metadata.deletionTimestamp === undefined) return;
  throw forbidden(r, name, `unable to create new content in namespace ${ns} because it is being terminated`, [
    { reason: 'NamespaceTerminating', message: `namespace ${ns} is being terminated`, field: 'metadata.namespace' },
  ]);
}

async function commitNew(env: RestEnv, r: Resource, ns: string, tracked: KubeObject, ctx: WriteContext): Promise<KubeObject> {
  const { resourceVersion } = tracked.metadata;
  if (resourceVersion !== undefined && resourceVersion !== '')
    throw badRequest('resourceVersion should not be set on objects to be created');
  let next: KubeObject = { ...tracked, metadata: newMeta(env, r, ns, tracked.metadata) };
  requireLiveNamespace(env, r, ns, nameOf(next));
  next = (await env.admission.mutate(admissionRequest(r, 'CREATE', ns, next, undefined, ctx), ctx.warnings)) ?? next;
  // no await between the allocation and the commit, or two writers could get the same address
  const finish = (): KubeObject => {
    const copy = clone(next);
    env.allocator.allocate(r, copy, undefined);
    validate(env, r, copy, undefined, '');
    env.custom.beforeCommit(r, copy, undefined);
    return copy;
  };
  if (env.admission.concerns(r)) await env.admission.validate(admissionRequest(r, 'CREATE', ns, finish(), undefined, ctx), ctx.warnings);
  const final = finish();
  requireLiveNamespace(env, r, ns, nameOf(final));
  if (env.store.get(r.storage, r.namespaced ? ns : '', nameOf(final)) !== undefined) throw alreadyExists(r, nameOf(final));
  if (ctx.dryRun) return final;
  const stored = env.store.swap(r.storage, undefined, toStorage(env.registry, r, final));
  if (stored === undefined) throw alreadyExists(r, nameOf(final));
  return fromStorage(r, stored);
}

/** Makes the new body from the live object; `ownership` says whether managedFields are already settled (apply). */
export type MakeNext = (live: KubeObject) => { readonly body: Body; readonly ownership: 'track' | 'done' };

/** Read, change, commit; again when somebody was faster. */
export async function modify(env: RestEnv, r: Resource, ns: string, name: string, make: MakeNext, ctx: WriteContext): Promise<KubeObject> {
  for (let i = 0; i < attemptsMax; i++) {
    const stored = env.store.get(r.storage, r.namespaced ? ns : '', name);
    if (stored === undefined) throw notFound(r, name);
    const live = fromStorage(r, stored);
    const done = await modifyOnce(env, r, ns, live, stored, make, ctx);
    if (done !== undefined) return done;
  }
  throw tooBusy();
}

async function modifyOnce(
  env: RestEnv,
  r: Resource,
  ns: string,
  live: KubeObject,
  stored: KubeObject,
  make: MakeNext,
  ctx: WriteContext,
): Promise<KubeObject | undefined> {
  const { body, ownership } = make(live);
  const raw = { ...(body.value as object) } as KubeObject;
  checkNamespace(r, ns, asMeta(raw));
  checkIdentity(r, live, raw);
  const typed = toTyped(env, r, raw, ctx, body);
  let next = keepSystemFields(r, live, typed, ctx.subresource);
  if (ownership === 'track') next = trackUpdate(live, next, r.schema, writerOf(env, r, ctx), undefined);
  next = (await env.admission.mutate(admissionRequest(r, 'UPDATE', ns, next, live, ctx), ctx.warnings)) ?? next;
  const finish = (): KubeObject => {
    let copy = clone(next);
    if (ctx.subresource === '') env.allocator.allocate(r, copy, live);
    validate(env, r, copy, live, ctx.subresource);
    env.custom.beforeCommit(r, copy, live);
    copy = withGeneration(r, live, copy);
    return copy;
  };
  if (env.admission.concerns(r)) await env.admission.validate(admissionRequest(r, 'UPDATE', ns, finish(), live, ctx), ctx.warnings);
  const final = finish();
  if (sameObject(live, final)) return live;
  checkFinalizers(r, live, final);
  if (ctx.dryRun) return final;
  const gone = finishDeletion(env, r, stored, toStorage(env.registry, r, final));
  if (gone !== undefined) return gone === 'raced' ? undefined : fromStorage(r, gone);
  const saved = env.store.swap(r.storage, stored, toStorage(env.registry, r, final));
  return saved === undefined ? undefined : fromStorage(r, saved);
}

const asMeta = (o: KubeObject): { namespace?: unknown } => (isObj(o.metadata) ? o.metadata : {});

/** Name, uid and resourceVersion in the body must fit the live object. */
function checkIdentity(r: Resource, live: KubeObject, raw: KubeObject): void {
  const m = isObj(raw.metadata) ? raw.metadata : {};
  const name = nameOf(live);
  if (m.name !== undefined && m.name !== '' && m.name !== name) {
    throw badRequest(`the name of the object (${String(m.name)}) does not match the name on the URL (${name})`);
  }
  raw.metadata = { ...m, name, ...(live.metadata.namespace === undefined ? {} : { namespace: live.metadata.namespace }) };
  if (m.uid !== undefined && m.uid !== '' && m.uid !== live.metadata.uid) {
    throw conflict(r, name, `Precondition failed: UID in precondition: ${String(m.uid)}, UID in object meta: ${live.metadata.uid}`);
  }
  const rv = m.resourceVersion;
  if (rv !== undefined && rv !== '' && rv !== '0' && String(rv) !== live.metadata.resourceVersion) {
    throw conflict(r, name, 'the object has been modified; please apply your changes to the latest version and try again');
  }
}

function checkFinalizers(r: Resource, live: KubeObject, next: KubeObject): void {
  if (live.metadata.deletionTimestamp === undefined) return;
  const added = (next.metadata.finalizers ?? []).filter((f) => !(live.metadata.finalizers ?? []).includes(f));
  if (added.length === 0 || equal(live.metadata.finalizers, next.metadata.finalizers)) return;
  throw invalid(r.group, r.kind, nameOf(live), [
    {
      reason: 'FieldValueForbidden',
      field: 'metadata.finalizers',
      message: `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`,
    },
  ]);
}

export async function replace(env: RestEnv, r: Resource, ns: string, name: string, body: Body, ctx: WriteContext): Promise<KubeObject> {
  return modify(
    env,
    r,
    ns,
    name,
    (live) => {
      const meta = isObj(body.value) && isObj(body.value.metadata) ? body.value.metadata : {};
      if (r.custom !== undefined && (meta.resourceVersion === undefined || meta.resourceVersion === '')) {
        throw invalid(r.group, r.kind, nameOf(live), [invalidValue('metadata.resourceVersion', 0, 'must be specified for an update')]);
      }
      return { body, ownership: 'track' };
    },
    ctx,
  );
}

export interface PatchBody extends Body {
  readonly kind: PatchKind;
  readonly force?: boolean;
}

export async function patch(
  env: RestEnv,
  r: Resource,
  ns: string,
  name: string,
  p: PatchBody,
  ctx: WriteContext,
): Promise<{ readonly object: KubeObject; readonly created: boolean }> {
  if (p.kind === 'apply') return apply(env, r, ns, name, p, ctx);
  const object = await modify(
    env,
    r,
    ns,
    name,
    (live) => ({ body: { value: patched(r, live, p), duplicates: p.duplicates ?? [], patched: true }, ownership: 'track' }),
    ctx,
  );
  return { object, created: false };
}

function patched(r: Resource, live: KubeObject, p: PatchBody): unknown {
  // a stale resourceVersion is only an error when the patch itself names one
  if (p.kind === 'merge') return mergePatch(live, p.value);
  if (p.kind === 'strategic') return strategicMerge(live, p.value, r.schema);
  return jsonPatch(live, p.value);
}

async function apply(
  env: RestEnv,
  r: Resource,
  ns: string,
  name: string,
  p: PatchBody,
  ctx: WriteContext,
): Promise<{ readonly object: KubeObject; readonly created: boolean }> {
  if (!isObj(p.value)) throw badRequest('an apply patch is an object');
  const config = clone(p.value) as unknown as KubeObject;
  config.metadata = { ...(isObj(config.metadata) ? config.metadata : {}) };
  if (config.metadata.managedFields !== undefined) throw badRequest('metadata.managedFields must be nil');
  if (config.apiVersion !== apiVersionOf(r) || config.kind !== r.kind)
    throw badRequest(`invalid object type: ${String(config.apiVersion)}, Kind=${String(config.kind)}`);
  config.metadata.name ??= name;
  if (r.namespaced) config.metadata.namespace ??= ns;
  checkNamespace(r, ns, config.metadata);
  if (config.metadata.name !== name)
    throw badRequest(`the name of the object (${config.metadata.name}) does not match the name on the URL (${name})`);
  const clean = viewOf(r, env.custom.dropUnknown(r, config, ctx), ctx.subresource);
  const writer = writerOf(env, r, ctx);
  for (let i = 0; i < attemptsMax; i++) {
    if (env.store.get(r.storage, r.namespaced ? ns : '', name) !== undefined) {
      const object = await modify(
        env,
        r,
        ns,
        name,
        (live) => ({ body: { value: applyConfig(live, clean, r.schema, writer, p.force === true) }, ownership: 'done' }),
        ctx,
      );
      return { object, created: false };
    }
    if (ctx.subresource !== '') throw notFound(r, name);
    if (clean.metadata.uid !== undefined)
      throw conflict(r, name, `uid mismatch: the provided object specified uid ${clean.metadata.uid}, and no existing object was found`);
    try {
      const merged = applyConfig(undefined, clean, r.schema, writer, true);
      const typed = toTyped(env, r, merged, { ...ctx, fieldValidation: 'Ignore' });
      return { object: await commitNew(env, r, ns, withInitialStatus(r, typed), ctx), created: true };
    } catch (e) {
      if (!(e instanceof StatusError) || e.reason !== 'AlreadyExists') throw e;
    }
  }
  throw tooBusy();
}

/** The part of an applied configuration that this door lets through. */
function viewOf(r: Resource, config: KubeObject, subresource: string): KubeObject {
  const { apiVersion, kind, metadata, status, ...rest } = config;
  const head = { ...(apiVersion === undefined ? {} : { apiVersion }), ...(kind === undefined ? {} : { kind }) };
  if (subresource === 'status') {
    const { name, namespace } = metadata;
    const id = { ...(name === undefined ? {} : { name }), ...(namespace === undefined ? {} : { namespace }) };
    return { ...head, metadata: id, ...(status === undefined ? {} : { status }) };
  }
  return ownsStatus(r) ? config : { ...head, metadata, ...rest };
}
