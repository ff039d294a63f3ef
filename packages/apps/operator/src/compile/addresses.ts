// Who has which address: pods by identity, nodes, API servers, CIDR identities → ipcache artifacts. Called by the compiler.
import {
  type Cidr,
  cidrBase,
  cidrBits,
  cidrFamily,
  cidrOfIp,
  familyBits,
  type IpAddr,
  ipFamily,
  ipFromBigint,
  ipToBigint,
  type Labels,
  parseCidr,
  parseIp,
  reservedIds,
} from '@axoneme/model';
import type { Tables } from '../world/world.ts';
import { type Artifact, type IpcacheRow, ipcacheArtifact } from './artifacts.ts';
import { nodeLabels } from './hosts.ts';

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

/** The address a node itself has in one of its blocks. */
export const routerAddress = (block: Cidr): IpAddr => ipFromBigint(cidrFamily(block), ipToBigint(cidrBase(block)) + 1n);

export interface CidrRow {
  readonly cidr: Cidr;
  readonly id: number;
}

export interface IpcacheInput {
  readonly nodes: readonly NodeAddresses[];
  readonly apiServers: ReadonlySet<IpAddr>;
  readonly cidrs: readonly CidrRow[];
}

/**
 * `ipcache/nodes`: blocks as `unlisted`, addresses of nodes as remote-node, API servers as kube-apiserver. A node's address in its block
 * is what it passes clients outside on with: answers to it go back through the tunnel, and a plain packet from it comes from a node.
 */
export function nodeIpcache(input: IpcacheInput): Artifact {
  const rows = new Map<Cidr, IpcacheRow>();
  for (const n of input.nodes) {
    for (const cidr of n.podCidrs) {
      rows.set(cidr, { cidr, identity: reservedIds.unlisted, tunnel: n.tunnel });
      const router = cidrOfIp(routerAddress(cidr));
      rows.set(router, { cidr: router, identity: reservedIds['remote-node'], tunnel: n.tunnel });
    }
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
export function cidrIpcache(input: IpcacheInput, isPod: (ip: IpAddr) => boolean): Artifact {
  const own = new Set<Cidr>(input.nodes.flatMap((n) => [...n.podCidrs, ...n.addresses.map(cidrOfIp)]));
  for (const ip of input.apiServers) own.add(cidrOfIp(ip));
  const isPodRow = (c: Cidr): boolean => cidrBits(c) === familyBits(cidrFamily(c)) && isPod(cidrBase(c));
  const rows = input.cidrs
    .filter((c) => !own.has(c.cidr) && !isPodRow(c.cidr))
    .map((c): IpcacheRow => ({ cidr: c.cidr, identity: c.id, tunnel: undefined }));
  return ipcacheArtifact('ipcache/cidr', rows);
}
