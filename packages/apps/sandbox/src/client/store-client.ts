// KubeClient on the embedded API server's store: no serialisation, no sockets.
import type { ApiServer, Gvr, StoreEvent } from '../apiserver/types.ts';
import { PODS } from './kinds.ts';
import type { KubeClient, WatchHandlers } from './kube-client.ts';

function watchStore(api: ApiServer, gvr: Gvr, h: WatchHandlers): () => void {
  let expected = api.store.list(gvr).length;
  const onEvent = (e: StoreEvent): void => {
    h.onEvent(e.type, e.object);
    if (expected > 0 && --expected === 0) h.onSynced?.();
  };
  const stop = api.store.watch(gvr, onEvent, { initial: true });
  if (expected === 0) queueMicrotask(() => h.onSynced?.());
  return stop;
}

export function createStoreClient(api: ApiServer): KubeClient {
  const { store } = api;
  return {
    get: async (gvr, ns, name) => store.get(gvr, ns, name),
    list: async (gvr, opts) => store.list(gvr, opts),
    create: (gvr, obj, opts) => store.create(gvr, obj, opts),
    update: (gvr, obj, opts) => store.update(gvr, obj, opts),
    updateStatus: (gvr, obj, opts) => store.updateStatus(gvr, obj, opts),
    patch: (gvr, ns, name, kind, body, opts) => store.patch(gvr, ns, name, kind, body, opts),
    delete: async (gvr, ns, name, opts) => {
      await store.delete(gvr, ns, name, opts);
    },
    bind: async (ns, pod, node) => {
      await store.patch(PODS, ns, pod, 'merge', { spec: { nodeName: node } }, { subresource: 'binding' });
    },
    watch: (gvr, handlers) => watchStore(api, gvr, handlers),
    resources: async () => store.resources(),
    token: async (ns, serviceAccount, request) => api.issueToken(ns, serviceAccount, request),
  };
}
