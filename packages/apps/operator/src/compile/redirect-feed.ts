// What the service engine is told of local redirects: the policies, and the pods of their namespaces alone. Without a policy nothing is read.
// Called by services.ts.
import { type IpAddr, type ObjectKey, parseIp, podLabels } from '@axoneme/model';
import { type RedirectPod, readRedirect, type ServiceChanges } from '@axoneme/service';
import type { NodeName } from '@axoneme/std';
import type { PodRow } from '../world/rows.ts';
import type { Dirty, Tables } from '../world/world.ts';
import { addressesOf } from './pods.ts';

export type RedirectChanges = Pick<ServiceChanges, 'redirects' | 'removedRedirects' | 'redirectPods' | 'removedRedirectPods'>;

const namespaceOf = (key: string): string => key.slice(0, key.indexOf('/'));

function podOf(tables: Tables, key: string, row: PodRow | undefined, cluster: string): RedirectPod | undefined {
  if (row === undefined || row.finished || row.node === '') return undefined;
  const { namespace, labels } = row;
  const addresses = addressesOf(row, tables.endpoints).flatMap((text): IpAddr[] => {
    const ip = parseIp(text);
    return ip.ok ? [ip.value] : [];
  });
  return {
    key: key as ObjectKey,
    namespace,
    node: row.node as NodeName,
    labels: podLabels({
      podLabels: labels,
      namespace,
      namespaceLabels: tables.namespaces.get(namespace)?.labels ?? {},
      serviceAccount: row.serviceAccount,
      cluster,
    }),
    addresses,
    ready: row.ready === true,
  };
}

export function createRedirectFeed(config: {
  readonly localRedirectPolicies: boolean;
  readonly clusterName: string;
}): (tables: Tables, dirty: Dirty) => RedirectChanges | undefined {
  /** Policies by namespace. */
  const policies = new Map<string, Set<string>>();
  const podsOf = (tables: Tables, keys: Iterable<string>): RedirectChanges => {
    const found = [...keys].map((key) => ({ key, pod: podOf(tables, key, tables.pods.get(key), config.clusterName) }));
    return {
      redirectPods: found.flatMap((f) => f.pod ?? []),
      removedRedirectPods: found.filter((f) => f.pod === undefined).map((f) => f.key as ObjectKey),
    };
  };
  return (tables, dirty) => {
    if (!config.localRedirectPolicies) return undefined;
    const changed = [...(dirty.get('localRedirects') ?? [])];
    /** Namespaces whose pods are read as a whole. */
    const fresh = new Set<string>();
    for (const key of changed) {
      const namespace = namespaceOf(key);
      const keys = policies.get(namespace) ?? new Set();
      if (tables.localRedirects.has(key)) {
        if (keys.size === 0) fresh.add(namespace);
        policies.set(namespace, keys.add(key));
      } else if (keys.delete(key) && keys.size === 0) policies.delete(namespace);
    }
    if (policies.size + changed.length === 0) return undefined;
    // labels of a namespace are labels of its pods
    for (const name of dirty.get('namespaces') ?? []) if (policies.has(name)) fresh.add(name);
    const pods = new Set<string>();
    if (fresh.size > 0) for (const [key, row] of tables.pods) if (fresh.has(row.namespace)) pods.add(key);
    for (const key of dirty.get('pods') ?? []) if (policies.has(namespaceOf(key))) pods.add(key);
    // key: node|namespace/pod|uid
    for (const key of dirty.get('endpoints') ?? []) {
      const pod = key.split('|')[1] ?? '';
      if (policies.has(namespaceOf(pod))) pods.add(pod);
    }
    if (changed.length + pods.size === 0) return undefined;
    return {
      redirects: changed.flatMap((key) => (tables.localRedirects.has(key) ? [readRedirect(tables.localRedirects.get(key))] : [])),
      removedRedirects: changed.filter((key) => !tables.localRedirects.has(key)) as ObjectKey[],
      ...podsOf(tables, pods),
    };
  };
}
