// The in-process client of ../types.ts: same write path as HTTP, admin's rights. Handed out by ../server.ts.
import { clone, nameOf, nsOf } from '../obj.ts';
import { gvrKey, type Resource } from '../registry.ts';
import type { WriteContext } from '../rest/context.ts';
import { remove } from '../rest/delete.ts';
import type { RestEnv } from '../rest/env.ts';
import { listObjects } from '../rest/list.ts';
import { fromStorage } from '../rest/versions.ts';
import { create, modify, patch, replace } from '../rest/write.ts';
import { noSuchPath } from '../status-error.ts';
import type { Gvr, KubeObject, Store, StoreEvent, UserInfo, WriteOptions } from '../types.ts';

const user: UserInfo = { username: 'system:axoneme-sandbox', uid: '', groups: ['system:masters', 'system:authenticated'] };

export function createStoreClient(env: RestEnv): Store {
  const resource = (g: Gvr): Resource => {
    const r = env.registry.get(g);
    if (r === undefined) throw noSuchPath();
    return r;
  };
  const context = (o: WriteOptions | undefined): WriteContext => ({
    user,
    manager: o?.fieldManager ?? 'axoneme-sandbox',
    dryRun: o?.dryRun === true,
    fieldValidation: 'Ignore',
    subresource: o?.subresource ?? '',
    warnings: [],
  });
  // callers may hand in and keep mutable objects, and TypeScript leaves undefined members behind
  const plain = (v: unknown): unknown => clone(v);
  return {
    get(g, ns, name) {
      const r = env.registry.get(g);
      if (r === undefined) return undefined;
      const o = env.store.get(r.storage, r.namespaced ? ns : '', name);
      return o === undefined ? undefined : fromStorage(r, o);
    },
    list(g, opts = {}) {
      const r = env.registry.get(g);
      if (r === undefined) return [];
      const found = listObjects(env.store, r, { ns: opts.ns ?? '', labelSelector: opts.labelSelector, fieldSelector: opts.fieldSelector });
      return found.items.map((o) => fromStorage(r, o));
    },
    create: async (g, o, opts) => create(env, resource(g), nsOf(o), { value: plain(o) }, context(opts)),
    update: async (g, o, opts) => {
      const value = plain(o);
      return modify(env, resource(g), nsOf(o), nameOf(o), () => ({ body: { value }, ownership: 'track' }), context(opts));
    },
    updateStatus: async (g, o, opts) =>
      replace(env, resource(g), nsOf(o), nameOf(o), { value: plain(o) }, { ...context(opts), subresource: 'status' }),
    patch: async (g, ns, name, kind, body, opts) =>
      (await patch(env, resource(g), ns, name, { kind, value: plain(body), force: kind === 'apply' }, context(opts))).object,
    delete: async (g, ns, name, opts = {}) => (await remove(env, resource(g), ns, name, opts, context(opts))).object,
    watch: (g, listener, opts) => watchStore(env, g, listener, opts?.initial === true),
    resourceVersion: () => env.store.rv(),
    resources() {
      const seen = new Set<string>();
      return env.registry
        .all()
        .filter((r) => !r.virtual && !seen.has(r.storage) && seen.add(r.storage) !== undefined)
        .map((r) => ({ gvr: { group: r.group, version: r.version, resource: r.resource }, kind: r.kind, namespaced: r.namespaced }));
    },
  };
}

/** Events are handed over outside the writer's stack, in order. */
function watchStore(env: RestEnv, g: Gvr, listener: (e: StoreEvent) => void, initial: boolean): () => void {
  const known = env.registry.get(g);
  const storage = known?.storage ?? `${g.group}/${g.resource}`;
  const shown = (o: KubeObject): KubeObject => {
    const r = env.registry.get(g) ?? known;
    return r === undefined ? o : fromStorage(r, o);
  };
  let queue: StoreEvent[] = [];
  let stopped = false;
  const flush = (): void => {
    const batch = queue;
    queue = [];
    for (const e of batch) {
      if (stopped) return;
      try {
        listener(e);
      } catch (err) {
        env.log.error('watch listener failed', {
          resource: gvrKey(g),
          error: err instanceof Error ? (err.stack ?? err.message) : String(err),
        });
      }
    }
  };
  const push = (e: StoreEvent): void => {
    if (queue.length === 0) queueMicrotask(flush);
    queue.push(e);
  };
  if (initial)
    for (const o of env.store.list(storage, ''))
      push({ type: 'ADDED', object: shown(o), resourceVersion: Number(o.metadata.resourceVersion) });
  const stop = env.store.listen(storage, (c) => {
    push({
      type: c.type,
      object: shown(c.object),
      ...(c.previous === undefined ? {} : { previous: shown(c.previous) }),
      resourceVersion: c.rv,
    });
  });
  return () => {
    stopped = true;
    stop();
  };
}
