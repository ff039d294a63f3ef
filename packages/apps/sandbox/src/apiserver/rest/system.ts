// Fields the server itself keeps: identity, generation, initial status, what a plain write may not touch. Called by ./write.ts.
import { asObj, equal, isObj, timeText } from '../obj.ts';
import type { Resource } from '../registry.ts';
import type { KubeObject, ObjectMeta } from '../types.ts';
import type { RestEnv } from './env.ts';

const suffixLetters = 'bcdfghjklmnpqrstvwxz2456789';

function randomSuffix(uuid: string): string {
  const bytes = Buffer.from(uuid.replaceAll('-', ''), 'hex');
  return Array.from({ length: 5 }, (_, i) => suffixLetters[(bytes[i] ?? 0) % suffixLetters.length]).join('');
}

/** Metadata of a new object. */
export function newMeta(env: RestEnv, r: Resource, ns: string, m: ObjectMeta): ObjectMeta {
  const {
    resourceVersion: _rv,
    deletionTimestamp: _dt,
    deletionGracePeriodSeconds: _dg,
    creationTimestamp: _ct,
    uid: _uid,
    generation: _g,
    ...rest
  } = m;
  const uid = env.uuid();
  const name =
    m.name !== undefined && m.name !== '' ? m.name : m.generateName === undefined ? undefined : m.generateName + randomSuffix(env.uuid());
  return {
    ...rest,
    ...(name === undefined ? {} : { name }),
    ...(r.namespaced ? { namespace: ns } : {}),
    uid,
    creationTimestamp: timeText(env.clock.nowMs()),
    ...(r.hasGeneration ? { generation: 1 } : {}),
  };
}

const keepsStatusOnCreate = new Set(['Node', 'Event', 'APIService']);

/** Status of a new object: clients do not set it where a status subresource exists. */
export function withInitialStatus(r: Resource, o: KubeObject): KubeObject {
  if (!r.subresources.includes('status') || keepsStatusOnCreate.has(r.kind)) return o;
  const { status, ...rest } = o;
  if (r.custom !== undefined) return rest as KubeObject;
  switch (r.typeName) {
    case 'Pod':
      return { ...rest, status: { phase: 'Pending', qosClass: qosClass(asObj(o.spec)) } } as KubeObject;
    case 'Namespace':
      return { ...rest, spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } } as KubeObject;
    case 'PersistentVolumeClaim':
    case 'PersistentVolume':
      return { ...rest, status: { phase: 'Pending' } } as KubeObject;
    case 'Service':
      return { ...rest, status: { loadBalancer: {} } } as KubeObject;
    case 'Ingress':
      return { ...rest, status: { loadBalancer: {} } } as KubeObject;
    default:
      // required counters of the type are zero, not absent
      return { ...rest, ...(isObj(status) ? { status: zeroCounters(status) } : {}) } as KubeObject;
  }
}

function zeroCounters(status: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(status).filter(([, v]) => v === 0));
}

function qosClass(spec: Record<string, unknown>): string {
  const all = [
    ...(Array.isArray(spec.containers) ? spec.containers : []),
    ...(Array.isArray(spec.initContainers) ? spec.initContainers : []),
  ];
  let any = false;
  let full = true;
  for (const c of all) {
    const { requests, limits } = asObj(asObj(c).resources);
    for (const res of ['cpu', 'memory']) {
      const q = asObj(requests)[res];
      const l = asObj(limits)[res];
      if (q !== undefined || l !== undefined) any = true;
      if (l === undefined || (q !== undefined && q !== l)) full = false;
    }
  }
  return !any ? 'BestEffort' : full ? 'Guaranteed' : 'Burstable';
}

/** Puts back what a write through this door may not change. */
export function keepSystemFields(r: Resource, live: KubeObject, next: KubeObject, subresource: string): KubeObject {
  const meta = live.metadata;
  if (subresource !== '' && subresource !== 'finalize') return subresourceView(r, live, next, subresource);
  const {
    deletionTimestamp: _d,
    deletionGracePeriodSeconds: _g,
    generation: _n,
    uid: _u,
    creationTimestamp: _c,
    resourceVersion: _r,
    ...rest
  } = next.metadata;
  const metadata: ObjectMeta = { ...rest };
  for (const k of [
    'uid',
    'creationTimestamp',
    'generation',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generateName',
    // a body may leave it to the URL
    'namespace',
    'resourceVersion',
  ] as const) {
    if (meta[k] !== undefined) Object.assign(metadata, { [k]: meta[k] });
  }
  const out: KubeObject = { ...next, metadata };
  if (r.subresources.includes('status')) {
    if (live.status === undefined) delete out.status;
    else out.status = live.status;
  }
  if (r.typeName === 'Namespace' && subresource !== 'finalize') out.spec = live.spec;
  return out;
}

function subresourceView(r: Resource, live: KubeObject, next: KubeObject, subresource: string): KubeObject {
  const metadata: ObjectMeta = { ...live.metadata };
  if (next.metadata.managedFields !== undefined) metadata.managedFields = next.metadata.managedFields;
  if (subresource === 'ephemeralcontainers' || subresource === 'resize' || subresource === 'binding' || subresource === 'scale')
    return { ...live, metadata, spec: next.spec };
  // labels and annotations of nodes and pods may travel with their status, as kubelets rely on
  if (r.typeName === 'Node' || r.typeName === 'Pod') {
    for (const k of ['labels', 'annotations'] as const)
      if (next.metadata[k] !== undefined) Object.assign(metadata, { [k]: next.metadata[k] });
  }
  const out: KubeObject = { ...live, metadata };
  if (next.status === undefined) delete out.status;
  else out.status = next.status;
  return out;
}

/** Counts up when anything but metadata and status changed. */
export function withGeneration(r: Resource, live: KubeObject, next: KubeObject): KubeObject {
  if (!r.hasGeneration) return next;
  const bare = (o: KubeObject): unknown => {
    const { metadata: _m, status, apiVersion: _a, kind: _k, ...rest } = o;
    return r.subresources.includes('status') ? rest : { ...rest, status };
  };
  const deleting = live.metadata.deletionTimestamp === undefined && next.metadata.deletionTimestamp !== undefined;
  if (!deleting && equal(bare(live), bare(next))) return next;
  return { ...next, metadata: { ...next.metadata, generation: (live.metadata.generation ?? 1) + 1 } };
}

/** Equal but for times of ownership: such a write is none. */
export function sameObject(a: KubeObject, b: KubeObject): boolean {
  return equal(withoutTimes(a), withoutTimes(b));
}

function withoutTimes(o: KubeObject): KubeObject {
  const { resourceVersion: _rv, managedFields, ...metadata } = o.metadata;
  const managers = (managedFields ?? []).map((m) => (isObj(m) ? { ...m, time: '' } : m));
  return { ...o, metadata: { ...metadata, managedFields: managers } };
}
