// Namespaces: what every one contains (default ServiceAccount, the cluster's CA), and emptying one that is deleted.
import type { Gvr, KubeObject, ServedResource } from '../apiserver/types.ts';
import { CONFIG_MAPS, NAMESPACES, PODS, SERVICE_ACCOUNTS } from '../client/kinds.ts';
import { ignoreExists, ignoreNotFound, isNotFound } from '../client/kube-client.ts';
import { copyOf, isTerminating, nameOf } from '../client/object.ts';
import { type Controller, type ControllerDeps, createReconciler } from './reconciler.ts';

const CA_CONFIG = 'kube-root-ca.crt';
const RECHECK_MS = 200;
/** Removed with the namespace without being deleted one by one. */
const SKIPPED = new Set(['/events', 'events.k8s.io/events', '/bindings']);

export function createNamespaceController(d: ControllerDeps, caPem: string): Controller {
  const namespaces = d.caches.of(NAMESPACES);
  const configs = d.caches.of(CONFIG_MAPS);
  const accounts = d.caches.of(SERVICE_ACCOUNTS);

  async function furnish(ns: string): Promise<void> {
    if (accounts.get(ns, 'default') === undefined) {
      const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: ns } };
      await ignoreExists(d.client.create(SERVICE_ACCOUNTS, account));
    }
    const held = configs.get(ns, CA_CONFIG);
    const data = { 'ca.crt': caPem };
    if (held === undefined) {
      const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: CA_CONFIG, namespace: ns }, data };
      await ignoreExists(d.client.create(CONFIG_MAPS, config));
    } else if ((held.data as { 'ca.crt'?: string } | undefined)?.['ca.crt'] !== caPem) {
      await d.client.patch(CONFIG_MAPS, ns, CA_CONFIG, 'merge', { data });
    }
  }

  /** Deletes what is left of one kind; returns how many objects are still there. */
  async function empty(ns: string, r: ServedResource): Promise<number> {
    let objects: KubeObject[] = [];
    try {
      objects = await d.client.list(r.gvr, { ns });
    } catch (e) {
      // a kind whose definition has just been deleted
      if (isNotFound(e)) return 0;
      throw e;
    }
    for (const o of objects)
      if (!isTerminating(o)) await ignoreNotFound(d.client.delete(r.gvr, ns, nameOf(o), { propagationPolicy: 'Background' }));
    return objects.length === 0 ? 0 : (await d.client.list(r.gvr, { ns })).length;
  }

  const id = (g: Gvr): string => `${g.group}/${g.resource}`;

  async function finish(ns: KubeObject): Promise<void> {
    const name = nameOf(ns);
    let left = 0;
    const resources = (await d.client.resources()).filter((r) => r.namespaced && !SKIPPED.has(id(r.gvr)));
    // pods last, so that nothing recreates them
    for (const r of resources.filter((x) => id(x.gvr) !== id(PODS))) left += await empty(name, r);
    for (const r of resources.filter((x) => id(x.gvr) === id(PODS))) left += await empty(name, r);
    if (left > 0) return queue.markAfter(name, RECHECK_MS);
    for (const r of (await d.client.resources()).filter((x) => id(x.gvr) === '/events')) await empty(name, r);
    const fresh = await d.client.get(NAMESPACES, '', name);
    if (fresh === undefined) return;
    const next = copyOf(fresh);
    next.spec = { ...(next.spec as object), finalizers: [] };
    await ignoreNotFound(d.client.update(NAMESPACES, next, { subresource: 'finalize' }));
  }

  async function reconcile(name: string): Promise<void> {
    await Promise.all([namespaces.synced(), configs.synced(), accounts.synced()]);
    const ns = namespaces.get('', name);
    if (ns === undefined) return;
    if (isTerminating(ns)) await finish(ns);
    else await furnish(name);
  }

  const queue = createReconciler('namespace', d, reconcile);
  const stops: (() => void)[] = [];
  return {
    name: 'namespace',
    start() {
      stops.push(namespaces.listen((_, o) => queue.mark(nameOf(o))));
      const lost = (type: string, o: KubeObject): void => {
        if (type === 'DELETED' && (nameOf(o) === CA_CONFIG || nameOf(o) === 'default')) queue.mark(o.metadata.namespace ?? '');
      };
      stops.push(configs.listen(lost), accounts.listen(lost));
    },
    stop() {
      queue.stop();
      for (const s of stops) s();
    },
  };
}
