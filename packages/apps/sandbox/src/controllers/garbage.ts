// Garbage collection: objects whose owners are gone, foreground deletion, orphaning. Holds one small record per object, no copies.
import type { Timer } from '@axoneme/std';
import type { Gvr, KubeObject, ServedResource } from '../apiserver/types.ts';
import { ignoreNotFound } from '../client/kube-client.ts';
import { isTerminating, nameOf, nsOf } from '../client/object.ts';
import { type Controller, type ControllerDeps, createReconciler } from './reconciler.ts';

const FOREGROUND = 'foregroundDeletion';
const ORPHAN = 'orphan';
const RESCAN_MS = 2000;
/** Kinds that are never owners' dependents worth watching. */
const SKIPPED = new Set(['/events', 'events.k8s.io/events', '/endpoints', '/bindings', '/componentstatuses']);

interface Owner {
  readonly uid: string;
  readonly blocks: boolean;
  readonly name: string;
  /** `group/kind`. */
  readonly kind: string;
}

interface Entry {
  readonly gvr: Gvr;
  readonly ns: string;
  readonly name: string;
  readonly uid: string;
  readonly owners: readonly Owner[];
  readonly terminating: boolean;
  readonly finalizers: readonly string[];
}

const kindId = (apiVersion: string, kind: string): string => `${apiVersion.includes('/') ? apiVersion.split('/')[0] : ''}/${kind}`;

export function createGarbageCollector(d: ControllerDeps): Controller {
  const entries = new Map<string, Entry>();
  const dependents = new Map<string, Set<string>>();
  const watched = new Map<string, () => void>();
  const kinds = new Map<string, ServedResource>();
  let synced = 0;
  let stopped = false;
  let next: Timer | undefined;

  function unlink(e: Entry): void {
    for (const o of e.owners) {
      const set = dependents.get(o.uid);
      set?.delete(e.uid);
      if (set?.size === 0) dependents.delete(o.uid);
    }
  }

  function onEvent(gvr: Gvr, type: string, o: KubeObject): void {
    const uid = o.metadata.uid ?? '';
    const old = entries.get(uid);
    if (old !== undefined) unlink(old);
    if (type === 'DELETED') {
      entries.delete(uid);
      for (const dep of dependents.get(uid) ?? []) queue.mark(dep);
      for (const owner of old?.owners ?? []) queue.mark(owner.uid);
      return;
    }
    const owners = (o.metadata.ownerReferences ?? []).map((r) => ({
      uid: r.uid,
      blocks: r.blockOwnerDeletion === true,
      name: r.name,
      kind: kindId(r.apiVersion, r.kind),
    }));
    const finalizers = (o.metadata.finalizers ?? []).filter((f) => f === FOREGROUND || f === ORPHAN);
    entries.set(uid, { gvr, ns: nsOf(o), name: nameOf(o), uid, owners, terminating: isTerminating(o), finalizers });
    for (const owner of owners) {
      const set = dependents.get(owner.uid) ?? new Set();
      dependents.set(owner.uid, set.add(uid));
    }
    if (owners.length > 0 || (isTerminating(o) && finalizers.length > 0)) queue.mark(uid);
  }

  const dependentsOf = (uid: string): Entry[] => [...(dependents.get(uid) ?? [])].flatMap((u) => entries.get(u) ?? []);

  async function dropFinalizer(e: Entry, finalizer: string): Promise<void> {
    const fresh = await d.client.get(e.gvr, e.ns, e.name);
    if (fresh === undefined || fresh.metadata.uid !== e.uid) return;
    const finalizers = (fresh.metadata.finalizers ?? []).filter((f) => f !== finalizer);
    const body = { metadata: { finalizers: finalizers.length === 0 ? null : finalizers, resourceVersion: fresh.metadata.resourceVersion } };
    await ignoreNotFound(d.client.patch(e.gvr, e.ns, e.name, 'merge', body));
  }

  async function orphanDependents(e: Entry): Promise<void> {
    for (const dep of dependentsOf(e.uid)) {
      const fresh = await d.client.get(dep.gvr, dep.ns, dep.name);
      const kept = (fresh?.metadata.ownerReferences ?? []).filter((r) => r.uid !== e.uid);
      await ignoreNotFound(
        d.client.patch(dep.gvr, dep.ns, dep.name, 'merge', { metadata: { ownerReferences: kept.length === 0 ? null : kept } }),
      );
    }
    await dropFinalizer(e, ORPHAN);
  }

  const remove = (e: Entry, propagationPolicy: 'Background' | 'Foreground'): Promise<unknown> =>
    ignoreNotFound(d.client.delete(e.gvr, e.ns, e.name, { propagationPolicy, preconditions: { uid: e.uid } }));

  /** Only a server that says so makes an orphan: a kind may be missing from discovery for a while. */
  async function isGone(e: Entry, o: Owner): Promise<boolean> {
    const served = kinds.get(o.kind);
    if (served === undefined) return false;
    const held = await d.client.get(served.gvr, served.namespaced ? e.ns : '', o.name);
    return held?.metadata.uid !== o.uid;
  }

  async function reconcile(uid: string): Promise<void> {
    const e = entries.get(uid);
    if (e === undefined || synced < watched.size) return;
    if (e.terminating && e.finalizers.includes(ORPHAN)) return orphanDependents(e);
    if (e.terminating && e.finalizers.includes(FOREGROUND)) {
      const blocking = dependentsOf(uid).filter((x) => x.owners.some((o) => o.uid === uid && o.blocks));
      for (const dep of dependentsOf(uid)) if (!dep.terminating) await remove(dep, 'Foreground');
      if (blocking.length === 0) await dropFinalizer(e, FOREGROUND);
      return;
    }
    if (e.owners.length === 0 || e.terminating) return;
    if (e.owners.some((o) => entries.has(o.uid))) return;
    for (const o of e.owners) if (!(await isGone(e, o))) return;
    await remove(e, 'Background');
  }

  const queue = createReconciler('garbage', d, reconcile);

  function watchKind(r: ServedResource): void {
    const id = `${r.gvr.group}/${r.gvr.resource}`;
    kinds.set(`${r.gvr.group}/${r.kind}`, r);
    if (SKIPPED.has(id) || watched.has(id)) return;
    const onSynced = (): void => {
      synced++;
      // before this kind was known, its objects could not count as living owners
      if (synced === watched.size) for (const uid of entries.keys()) queue.mark(uid);
    };
    watched.set(id, () => undefined);
    watched.set(id, d.client.watch(r.gvr, { onEvent: (type, o) => onEvent(r.gvr, type, o), onSynced }));
  }

  /** New kinds appear with CRDs. */
  async function rescan(): Promise<void> {
    if (stopped) return;
    try {
      for (const r of await d.client.resources()) watchKind(r);
    } catch (e) {
      d.log.warn('resources not listed', { error: String(e) });
    }
    if (!stopped) next = d.clock.after(RESCAN_MS, () => void rescan());
  }

  return {
    name: 'garbage',
    start() {
      void rescan();
    },
    stop() {
      stopped = true;
      next?.cancel();
      queue.stop();
      for (const s of watched.values()) s();
    },
  };
}
