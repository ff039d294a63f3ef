// Who has which address: pods by identity, nodes, API servers, CIDR identities → ipcache artifacts. Called by the compiler.
import {
  type Cidr,
  cidrBase,
  cidrBits,
  cidrFamily,
  cidrOfIp,
  familyBits,
  type IdentityId,
  type IpAddr,
  ipFamily,
  type Labels,
  parseCidr,
  parseIp,
  reservedIds,
} from '@axoneme/model';
import { ipcacheArtifact as ipcacheName } from '@axoneme/span';
import type { Tables } from '../world/world.ts';
import { type Artifact, type IpcacheRow, ipcacheArtifact } from './artifacts.ts';
import { nodeLabels } from './hosts.ts';
import { addressesOf, type PodView } from './pods.ts';

export interface PlacedPod {
  readonly view: PodView;
  /** 0 while its identity object does not exist yet. */
  readonly identity: number;
  readonly addresses: readonly IpAddr[];
}

export interface NodeAddresses {
  readonly name: string;
  readonly labels: Labels;
  readonly addresses: readonly IpAddr[];
  readonly podCidrs: readonly Cidr[];
  /** Where tunnels to the node end; undefined with native routing. */
  readonly tunnel: IpAddr | undefined;
}

/** Canonical addresses; what is none is left out. */
export const parseIps = (texts: readonly string[]): IpAddr[] =>
  texts.flatMap((t) => {
    const ip = parseIp(t);
    return ip.ok ? [ip.value] : [];
  });

/** Remembers placed pods: rows are immutable, so a pod that did not change stays the same object. */
export function createPlacer(): (
  tables: Tables,
  views: readonly PodView[],
  identityOf: (text: string) => number | undefined,
) => PlacedPod[] {
  const memo = new WeakMap<PodView, { readonly texts: readonly string[]; readonly placed: PlacedPod }>();
  return (tables, views, identityOf) =>
    views.map((view) => {
      const identity = identityOf(view.labels.text) ?? 0;
      const texts = view.row.node === '' ? none : addressesOf(view.row, tables.endpoints);
      const held = memo.get(view);
      if (held !== undefined && held.texts === texts && held.placed.identity === identity) return held.placed;
      const placed = { view, identity, addresses: parseIps(texts) };
      memo.set(view, { texts, placed });
      return placed;
    });
}

const none: readonly string[] = [];

export function nodeAddresses(tables: Tables, tunnel: boolean): NodeAddresses[] {
  return [...tables.nodes.values()].map((n) => {
    const addresses = parseIps(n.internalAddresses);
    const podCidrs = (tables.ciliumNodes.get(n.name)?.podCidrs ?? []).flatMap((c) => (parseCidr(c).ok ? [c as Cidr] : []));
    const v4 = addresses.find((a) => ipFamily(a) === 4);
    return { name: n.name, labels: nodeLabels(n), addresses, podCidrs, tunnel: tunnel ? (v4 ?? addresses[0]) : undefined };
  });
}

/** Addresses behind the Service default/kubernetes. */
export function apiServerAddresses(tables: Tables): ReadonlySet<IpAddr> {
  const out = new Set<IpAddr>();
  for (const [key, s] of tables.slices) {
    if (!key.startsWith('default/kubernetes')) continue;
    for (const e of (s.endpoints ?? []) as readonly { addresses?: readonly string[] }[])
      for (const ip of parseIps(e.addresses ?? [])) out.add(ip);
  }
  return out;
}

export interface CidrRow {
  readonly cidr: Cidr;
  readonly id: number;
}

export interface IpcacheInput {
  readonly pods: readonly PlacedPod[];
  readonly nodes: readonly NodeAddresses[];
  readonly apiServers: ReadonlySet<IpAddr>;
  readonly cidrs: readonly CidrRow[];
}

interface PodAddress {
  readonly ip: IpAddr;
  readonly tunnel: IpAddr | undefined;
}

/** Addresses by identity. Two pods that claim one address: the first by uid has it. */
function addressesByIdentity(input: Pick<IpcacheInput, 'pods' | 'nodes'>): Map<number, PodAddress[]> {
  const tunnels = new Map(input.nodes.map((n) => [n.name, n.tunnel]));
  const owners = new Map<IpAddr, PlacedPod>();
  for (const p of input.pods) {
    if (p.identity === 0) continue;
    for (const ip of p.addresses) {
      const held = owners.get(ip);
      if (held === undefined || p.view.row.uid < held.view.row.uid) owners.set(ip, p);
    }
  }
  const out = new Map<number, PodAddress[]>();
  for (const [ip, p] of owners) {
    const entry = { ip, tunnel: tunnels.get(p.view.row.node) };
    const list = out.get(p.identity);
    if (list === undefined) out.set(p.identity, [entry]);
    else list.push(entry);
  }
  return out;
}

const sameAddresses = (a: readonly PodAddress[], b: readonly PodAddress[]): boolean =>
  a.length === b.length && a.every((x, i) => x.ip === b[i]?.ip && x.tunnel === b[i].tunnel);

/** `ipcache/<identity>` for every pod identity with an address; one whose addresses did not change is not encoded again. */
export function createPodIpcache(): (input: Pick<IpcacheInput, 'pods' | 'nodes'>) => Artifact[] {
  let held = new Map<number, { readonly list: readonly PodAddress[]; readonly artifact: Artifact }>();
  return (input) => {
    const next: typeof held = new Map();
    for (const [identity, list] of addressesByIdentity(input)) {
      const old = held.get(identity);
      if (old !== undefined && sameAddresses(old.list, list)) {
        next.set(identity, old);
        continue;
      }
      const rows = list.map((a): IpcacheRow => ({ cidr: cidrOfIp(a.ip), identity, tunnel: a.tunnel }));
      next.set(identity, { list, artifact: ipcacheArtifact(ipcacheName(identity as IdentityId), rows) });
    }
    held = next;
    return [...next.values()].map((h) => h.artifact);
  };
}

/** `ipcache/nodes`: blocks as `unlisted`, node addresses as remote-node, API servers as kube-apiserver. */
export function nodeIpcache(input: IpcacheInput): Artifact {
  const rows = new Map<Cidr, IpcacheRow>();
  for (const n of input.nodes) {
    for (const cidr of n.podCidrs) rows.set(cidr, { cidr, identity: reservedIds.unlisted, tunnel: n.tunnel });
    for (const ip of n.addresses) {
      const identity = input.apiServers.has(ip) ? reservedIds['kube-apiserver'] : reservedIds['remote-node'];
      rows.set(cidrOfIp(ip), { cidr: cidrOfIp(ip), identity, tunnel: n.tunnel });
    }
  }
  for (const ip of input.apiServers) {
    const cidr = cidrOfIp(ip);
    if (!rows.has(cidr)) rows.set(cidr, { cidr, identity: reservedIds['kube-apiserver'], tunnel: undefined });
  }
  return ipcacheArtifact('ipcache/nodes', [...rows.values()]);
}

/** `ipcache/cidr`. A prefix that is exactly a node's block, or one address of a node or pod, belongs to that and is left out. */
export function cidrIpcache(input: IpcacheInput): Artifact {
  const own = new Set<Cidr>(input.nodes.flatMap((n) => [...n.podCidrs, ...n.addresses.map(cidrOfIp)]));
  for (const ip of input.apiServers) own.add(cidrOfIp(ip));
  const single = new Set(input.cidrs.filter((c) => cidrBits(c.cidr) === familyBits(cidrFamily(c.cidr))).map((c) => cidrBase(c.cidr)));
  if (single.size > 0)
    for (const p of input.pods) if (p.identity !== 0) for (const ip of p.addresses) if (single.has(ip)) own.add(cidrOfIp(ip));
  const rows = input.cidrs.filter((c) => !own.has(c.cidr)).map((c): IpcacheRow => ({ cidr: c.cidr, identity: c.id, tunnel: undefined }));
  return ipcacheArtifact('ipcache/cidr', rows);
}
