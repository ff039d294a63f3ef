// Pods as compilers see them: identity-relevant labels and the addresses that are believed. Called by the compile loop and the leader.
import { identityLabels, type Labels, labelsFromMap, podLabels } from '@axoneme/model';
import type { EndpointRow, IdentityRow, NamespaceRow, PodRow } from '../world/rows.ts';
import type { Tables } from '../world/world.ts';

export interface PodView {
  readonly row: PodRow;
  readonly labels: Labels;
}

export interface PodViews {
  /** One pod by key, under the same conditions as in the list. */
  of(tables: Tables, key: string): PodView | undefined;
  /** Pods with their own address (not host network), bound to a node or not, whose namespace is known. */
  list(tables: Tables): readonly PodView[];
}

/** Remembers label sets per (pod row, namespace row): rows are immutable, so identity of the object is enough. */
export function createPodViews(clusterName: string): PodViews {
  const memo = new WeakMap<PodRow, { namespace: NamespaceRow; view: PodView }>();
  const shared = new Map<string, WeakRef<Labels>>();
  const intern = (labels: Labels): Labels => {
    const held = shared.get(labels.text)?.deref();
    if (held !== undefined) return held;
    shared.set(labels.text, new WeakRef(labels));
    return labels;
  };
  const viewOf = (row: PodRow, namespace: NamespaceRow): PodView => {
    const held = memo.get(row);
    if (held?.namespace === namespace) return held.view;
    const all = podLabels({
      podLabels: row.labels,
      namespace: row.namespace,
      namespaceLabels: namespace.labels,
      serviceAccount: row.serviceAccount,
      cluster: clusterName,
    });
    const view = { row, labels: intern(identityLabels(all)) };
    memo.set(row, { namespace, view });
    return view;
  };
  const viewed = (row: PodRow | undefined, tables: Tables): PodView | undefined => {
    if (row === undefined || row.hostNetwork || row.finished) return undefined;
    const namespace = tables.namespaces.get(row.namespace);
    return namespace === undefined ? undefined : viewOf(row, namespace);
  };
  return {
    of: (tables, key) => viewed(tables.pods.get(key), tables),
    list(tables) {
      const out: PodView[] = [];
      for (const row of tables.pods.values()) {
        const view = viewed(row, tables);
        if (view !== undefined) out.push(view);
      }
      return out;
    },
  };
}

/** Of two objects for one label set, the one that counts; as in the identity engine. */
export const isOlderIdentity = (a: IdentityRow, b: IdentityRow): boolean =>
  a.createdMs < b.createdMs || (a.createdMs === b.createdMs && a.id < b.id);

const labelMemo = new WeakMap<IdentityRow, Labels>();

/** The label set of a CiliumIdentity object. */
export function labelsOfIdentity(row: IdentityRow): Labels {
  let l = labelMemo.get(row);
  if (l === undefined) {
    l = labelsFromMap(row.labels);
    labelMemo.set(row, l);
  }
  return l;
}

/** What the agent of the pod's node reported wins over the Pod's status, which comes later. */
export function addressesOf(pod: PodRow, reported: ReadonlyMap<string, EndpointRow>): readonly string[] {
  const r = reported.get(`${pod.node}|${pod.namespace}/${pod.name}|${pod.uid}`);
  if (r !== undefined) return r.state === 'disconnected' ? [] : r.addresses;
  return pod.addresses;
}
