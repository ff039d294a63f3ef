// Which pod has which address, and the artifacts `ipcache/<identity>` of the identities whose addresses changed. Called by the compiler.
import { cidrOfIp, type IdentityId, type IpAddr } from '@axoneme/model';
import { ipcacheArtifact as ipcacheName } from '@axoneme/span';
import type { NodeAddresses } from './addresses.ts';
import { type ArtifactStore, type IpcacheRow, ipcacheArtifact } from './artifacts.ts';
import type { PlacedPod, PodChange } from './pod-part.ts';

export interface PodAddresses {
  update(changes: ReadonlyMap<string, PodChange>, nodes: readonly NodeAddresses[]): void;
  /** A pod with an identity has the address. */
  has(ip: IpAddr): boolean;
}

export function createPodAddresses(store: ArtifactStore): PodAddresses {
  const claims = new Map<IpAddr, Set<PlacedPod>>();
  const owners = new Map<IpAddr, PlacedPod>();
  const byIdentity = new Map<number, Map<IpAddr, PlacedPod>>();
  let nodes: readonly NodeAddresses[] = [];
  let tunnels: ReadonlyMap<string, IpAddr | undefined> = new Map();

  const claim = (pod: PlacedPod | undefined, touched: Set<IpAddr>, add: boolean): void => {
    if (pod === undefined || pod.identity === 0) return;
    for (const ip of pod.addresses) {
      const held = claims.get(ip) ?? new Set();
      if (add) claims.set(ip, held.add(pod));
      else if (held.delete(pod) && held.size === 0) claims.delete(ip);
      touched.add(ip);
    }
  };
  /** Two pods that claim one address: the first by uid has it. */
  const ownerOf = (ip: IpAddr): PlacedPod | undefined => {
    let best: PlacedPod | undefined;
    for (const p of claims.get(ip) ?? []) if (best === undefined || p.view.row.uid < best.view.row.uid) best = p;
    return best;
  };
  const settle = (ip: IpAddr, dirty: Set<number>): void => {
    const before = owners.get(ip);
    const after = ownerOf(ip);
    if (before === after) return;
    if (before !== undefined) {
      byIdentity.get(before.identity)?.delete(ip);
      dirty.add(before.identity);
    }
    if (after === undefined) owners.delete(ip);
    else {
      owners.set(ip, after);
      const own = byIdentity.get(after.identity) ?? new Map<IpAddr, PlacedPod>();
      byIdentity.set(after.identity, own.set(ip, after));
      dirty.add(after.identity);
    }
  };
  const encode = (identity: number): void => {
    const name = ipcacheName(identity as IdentityId);
    const own = byIdentity.get(identity);
    if (own === undefined || own.size === 0) {
      byIdentity.delete(identity);
      if (store.has(name)) store.remove(name);
      return;
    }
    const rows = [...own].map(([ip, p]): IpcacheRow => ({ cidr: cidrOfIp(ip), identity, tunnel: tunnels.get(p.view.row.node) }));
    store.put(ipcacheArtifact(name, rows));
  };
  const moveTunnels = (next: readonly NodeAddresses[], dirty: Set<number>): void => {
    if (next === nodes) return;
    nodes = next;
    const before = tunnels;
    tunnels = new Map(next.map((n) => [n.name, n.tunnel]));
    const moved = new Set([...before.keys(), ...tunnels.keys()].filter((name) => before.get(name) !== tunnels.get(name)));
    if (moved.size > 0) for (const p of owners.values()) if (moved.has(p.view.row.node)) dirty.add(p.identity);
  };

  return {
    has: (ip) => owners.has(ip),
    update(changes, next) {
      const touched = new Set<IpAddr>();
      const dirty = new Set<number>();
      for (const { before, after } of changes.values()) {
        claim(before, touched, false);
        claim(after, touched, true);
      }
      for (const ip of touched) settle(ip, dirty);
      moveTunnels(next, dirty);
      for (const identity of dirty) encode(identity);
    },
  };
}
