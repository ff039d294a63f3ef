// How an address looks to policy: its identity and its class, as the kernel's tables say. Called by the gates.
import { type Cidr, cidrOfIp, createPrefixTable, type IdentityId, type IpAddr, ipFamily, reservedIds } from '@axoneme/model';
import type { PeerLook } from '@axoneme/policy';
import type { CidrRow, NodeAddresses } from './addresses.ts';
import type { PlacedPod } from './pod-part.ts';

export interface LookInput {
  readonly pods: readonly PlacedPod[];
  readonly nodes: readonly NodeAddresses[];
  readonly apiServers: ReadonlySet<IpAddr>;
  readonly cidrs: readonly CidrRow[];
  readonly classes: readonly CidrRow[];
}

export interface Looks {
  of(ip: IpAddr): PeerLook;
  /** Of the addresses of a prefix that are in no longer one. */
  ofPrefix(cidr: Cidr): PeerLook;
  classOf(ip: IpAddr): IdentityId | undefined;
  /** Everything that has a row. */
  readonly prefixes: readonly Cidr[];
  /** Prefixes of the cluster itself: blocks, nodes, pods outside of blocks. */
  readonly inside: ReadonlySet<Cidr>;
}

export function createLooks(i: LookInput): Looks {
  const identities = createPrefixTable<IdentityId>();
  const classes = createPrefixTable<IdentityId>();
  const inside = new Set<Cidr>();
  const put = (cidr: Cidr, id: number, own: boolean): void => {
    if (identities.get(cidr) !== undefined && !own) return;
    identities.set(cidr, id as IdentityId);
    if (own) inside.add(cidr);
  };
  for (const n of i.nodes) {
    for (const cidr of n.podCidrs) put(cidr, reservedIds.unlisted, true);
    for (const ip of n.addresses)
      put(cidrOfIp(ip), i.apiServers.has(ip) ? reservedIds['kube-apiserver'] : reservedIds['remote-node'], true);
  }
  for (const p of i.pods) if (p.identity !== 0) for (const ip of p.addresses) put(cidrOfIp(ip), p.identity, true);
  for (const ip of i.apiServers) put(cidrOfIp(ip), reservedIds['kube-apiserver'], false);
  for (const c of i.cidrs) put(c.cidr, c.id, false);
  for (const c of i.classes) classes.set(c.cidr, c.id as IdentityId);
  const ofPrefix = (cidr: Cidr): PeerLook => {
    const world = reservedIds[cidr.includes(':') ? 'world-ipv6' : 'world-ipv4'];
    return { peer: identities.covering(cidr)[0]?.value ?? world, cls: classes.covering(cidr)[0]?.value };
  };
  return {
    ofPrefix,
    of: (ip) => {
      const world = reservedIds[ipFamily(ip) === 6 ? 'world-ipv6' : 'world-ipv4'];
      return { peer: identities.lookup(ip)?.value ?? world, cls: classes.lookup(ip)?.value };
    },
    classOf: (ip) => classes.lookup(ip)?.value,
    prefixes: [...i.nodes.flatMap((n) => n.podCidrs), ...[...i.cidrs, ...i.classes].map((c) => c.cidr), ...inside],
    inside,
  };
}
