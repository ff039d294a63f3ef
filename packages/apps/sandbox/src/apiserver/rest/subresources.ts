// Subresources that are more than a view of the object: scale, binding, eviction. Called by ../http/handlers.ts.
import { asList, asObj, dig, isObj, type Obj, timeText } from '../obj.ts';
import type { Resource } from '../registry.ts';
import { badRequest, conflict, invalid, invalidValue, noSuchPath, StatusError } from '../status-error.ts';
import { selectorMatches } from '../store/selector.ts';
import { selectorText } from '../table/columns.ts';
import type { DeleteOptions, KubeObject } from '../types.ts';
import type { WriteContext } from './context.ts';
import { remove } from './delete.ts';
import type { RestEnv } from './env.ts';
import { modify } from './write.ts';

const keysOf = (path: string): string[] => path.split('.').filter((k) => k !== '');

export function scaleOf(r: Resource, o: KubeObject): KubeObject {
  const s = r.scale;
  if (s === undefined) throw noSuchPath();
  const text =
    r.custom === undefined
      ? selectorText(dig(o, 'spec', 'selector'))
      : s.selector === undefined
        ? ''
        : String(dig(o, ...keysOf(s.selector)) ?? '');
  const { name, namespace, uid, resourceVersion, creationTimestamp } = o.metadata;
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp } as KubeObject['metadata'],
    spec: { replicas: Number(dig(o, ...keysOf(s.spec)) ?? 0) },
    status: { replicas: Number(dig(o, ...keysOf(s.status)) ?? 0), ...(text === '' || text === '<none>' ? {} : { selector: text }) },
  };
}

/** `change` turns the current Scale into the wanted one. */
export async function updateScale(
  env: RestEnv,
  r: Resource,
  ns: string,
  name: string,
  change: (scale: KubeObject) => unknown,
  ctx: WriteContext,
): Promise<KubeObject> {
  const s = r.scale;
  if (s === undefined) throw noSuchPath();
  const object = await modify(
    env,
    r,
    ns,
    name,
    (live) => {
      const wanted = change(scaleOf(r, live));
      const rv = dig(wanted, 'metadata', 'resourceVersion');
      if (typeof rv === 'string' && rv !== '' && rv !== live.metadata.resourceVersion)
        throw conflict(r, name, 'the object has been modified; please apply your changes to the latest version and try again');
      const replicas = Number(dig(wanted, 'spec', 'replicas') ?? 0);
      if (!Number.isInteger(replicas) || replicas < 0)
        throw invalid('autoscaling', 'Scale', name, [
          invalidValue('spec.replicas', dig(wanted, 'spec', 'replicas'), 'must be greater than or equal to 0'),
        ]);
      return { body: { value: setPath(live, keysOf(s.spec), replicas) }, ownership: 'track' };
    },
    { ...ctx, subresource: 'scale', fieldValidation: 'Ignore' },
  );
  return scaleOf(r, object);
}

function setPath(o: unknown, keys: readonly string[], value: unknown): unknown {
  const [key, ...rest] = keys;
  if (key === undefined) return value;
  const base = isObj(o) ? o : {};
  return { ...base, [key]: setPath(base[key], rest, value) };
}

/** `POST pods/x/binding`: the scheduler's word. */
export async function bindPod(env: RestEnv, r: Resource, ns: string, name: string, body: unknown, ctx: WriteContext): Promise<KubeObject> {
  const node = String(dig(body, 'target', 'name') ?? '');
  if (node === '') throw badRequest('target.name is required');
  await modify(
    env,
    r,
    ns,
    name,
    (live) => {
      const spec = asObj(live.spec);
      if (spec.nodeName !== undefined) throw conflict(r, name, `pod ${name} is already assigned to node ${JSON.stringify(spec.nodeName)}`);
      return { body: { value: { ...live, spec: { ...spec, nodeName: node } } }, ownership: 'track' };
    },
    { ...ctx, subresource: 'binding', fieldValidation: 'Ignore' },
  );
  await modify(
    env,
    r,
    ns,
    name,
    (live) => {
      const status = asObj(live.status);
      const scheduled: Obj = { type: 'PodScheduled', status: 'True', lastTransitionTime: timeText(env.clock.nowMs()) };
      const conditions = [...asList(status.conditions).filter((c) => asObj(c).type !== 'PodScheduled'), scheduled];
      return { body: { value: { ...live, status: { ...status, conditions } } }, ownership: 'track' };
    },
    { ...ctx, subresource: 'status', fieldValidation: 'Ignore' },
  );
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
}

/** `POST pods/x/eviction`: a deletion that budgets may refuse. */
export async function evictPod(env: RestEnv, r: Resource, ns: string, name: string, body: unknown, ctx: WriteContext): Promise<KubeObject> {
  const pod = env.store.get(r.storage, ns, name);
  if (pod !== undefined) {
    for (const budget of env.store.list('policy/poddisruptionbudgets', ns)) {
      if (!selectorMatches(dig(budget, 'spec', 'selector'), pod.metadata.labels ?? {})) continue;
      if (dig(budget, 'status', 'observedGeneration') === undefined || Number(dig(budget, 'status', 'disruptionsAllowed') ?? 0) > 0)
        continue;
      throw new StatusError(429, 'TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.", {
        causes: [
          { reason: 'DisruptionBudget', message: `The disruption budget ${budget.metadata.name} does not allow evicting pods currently` },
        ],
      });
    }
  }
  await remove(env, r, ns, name, asObj(dig(body, 'deleteOptions')) as DeleteOptions, ctx);
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
}
