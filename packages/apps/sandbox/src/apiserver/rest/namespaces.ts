// Empties namespaces that are being deleted and then lets them go. Started by ../server.ts.
import { asList, asObj, nameOf, nsOf } from '../obj.ts';
import { StatusError } from '../status-error.ts';
import type { KubeObject, UserInfo } from '../types.ts';
import type { WriteContext } from './context.ts';
import { remove } from './delete.ts';
import type { RestEnv } from './env.ts';
import { modify } from './write.ts';

const user: UserInfo = { username: 'system:serviceaccount:kube-system:namespace-controller', uid: '', groups: ['system:masters'] };
const context = (): WriteContext => ({
  user,
  manager: 'kube-controller-manager',
  dryRun: false,
  fieldValidation: 'Ignore',
  subresource: '',
  warnings: [],
});

export function startNamespaceController(env: RestEnv, signal: AbortSignal): void {
  const waiting = new Set<string>();
  let scheduled = false;
  const work = async (): Promise<void> => {
    scheduled = false;
    for (const ns of [...waiting]) {
      try {
        if (await empty(env, ns)) waiting.delete(ns);
      } catch (e) {
        env.log.warn('namespace content could not be deleted', { namespace: ns, error: e instanceof Error ? e.message : String(e) });
      }
    }
  };
  const schedule = (): void => {
    if (scheduled || waiting.size === 0 || signal.aborted) return;
    scheduled = true;
    setImmediate(() => void work());
  };
  const stops: (() => void)[] = [];
  const watched = new Set<string>();
  const watchAll = (): void => {
    for (const r of env.registry.all()) {
      if (r.virtual || !r.namespaced || watched.has(r.storage)) continue;
      watched.add(r.storage);
      // what kept a namespace from going has gone itself
      stops.push(env.store.listen(r.storage, (c) => (c.type === 'DELETED' && waiting.has(nsOf(c.object)) ? schedule() : undefined)));
    }
  };
  watchAll();
  stops.push(
    env.store.listen('/namespaces', (c) => {
      if (c.object.metadata.deletionTimestamp === undefined || c.type === 'DELETED') return;
      watchAll();
      waiting.add(nameOf(c.object));
      schedule();
    }),
  );
  signal.addEventListener('abort', () => {
    for (const stop of stops) stop();
  });
}

/** Asks for the deletion of everything in the namespace; true once the namespace itself is gone. */
async function empty(env: RestEnv, ns: string): Promise<boolean> {
  let left = 0;
  const seen = new Set<string>();
  for (const r of env.registry.all()) {
    if (r.virtual || !r.namespaced || seen.has(r.storage)) continue;
    seen.add(r.storage);
    for (const o of env.store.list(r.storage, ns)) {
      if (o.metadata.deletionTimestamp === undefined)
        await quietly(() => remove(env, r, ns, nameOf(o), { propagationPolicy: 'Background' }, context()));
      if (env.store.get(r.storage, ns, nameOf(o)) !== undefined) left++;
    }
  }
  const live = env.store.get('/namespaces', '', ns);
  if (live === undefined) return true;
  if (left > 0) return false;
  const r = env.registry.byStorage('', 'namespaces');
  if (r === undefined) return true;
  await modify(
    env,
    r,
    '',
    ns,
    (o: KubeObject) => {
      const spec = asObj(o.spec);
      return {
        body: { value: { ...o, spec: { ...spec, finalizers: asList(spec.finalizers).filter((f) => f !== 'kubernetes') } } },
        ownership: 'track',
      };
    },
    { ...context(), subresource: 'finalize' },
  );
  return env.store.get('/namespaces', '', ns) === undefined;
}

async function quietly(fn: () => Promise<unknown>): Promise<void> {
  try {
    await fn();
  } catch (e) {
    if (!(e instanceof StatusError) || e.status !== 404) throw e;
  }
}
