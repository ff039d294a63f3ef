// Entities: names for peers that are no pods of a namespace. Called by the peer parser.
import { createSelector, labelKeys, requireEquals, type Selector } from '@axoneme/model';
import type { PeerSelector } from './rules.ts';

const worldNames = ['world', 'world-ipv4', 'world-ipv6'];
const clusterNames = ['host', 'remote-node', 'init', 'ingress', 'health', 'unmanaged', 'kube-apiserver'];
const singleNames = ['host', 'remote-node', 'kube-apiserver', 'ingress', 'health', 'init', 'unmanaged', 'world-ipv4', 'world-ipv6'];

export const entityNames: readonly string[] = ['all', 'world', 'cluster', 'none', ...singleNames];

/** Undefined for an unknown entity; empty for `none`. */
export function entityPeers(entity: string, clusterName: string): readonly PeerSelector[] | undefined {
  if (entity === 'all') return [{ kind: 'any' }];
  if (entity === 'none') return [];
  if (entity === 'world') return worldNames.map(reservedPeer);
  if (entity === 'cluster')
    return [...clusterNames.map(reservedPeer), labelPeer(createSelector([requireEquals('k8s', labelKeys.cluster, clusterName)]))];
  return singleNames.includes(entity) ? [reservedPeer(entity)] : undefined;
}

export const reservedPeer = (name: string): PeerSelector => labelPeer(createSelector([requireEquals('reserved', name, '')]));
const labelPeer = (selector: Selector): PeerSelector => ({ kind: 'labels', selector });
