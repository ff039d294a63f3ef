// Which addresses a Service may be given at all: none of the cluster's own. Made by the compiler from nodes and configuration.
import { type Cidr, cidrContainsIp, createPrefixTable, type IpAddr } from '@axoneme/model';
import type { NodeInput, ServiceConfig } from './inputs.ts';

export interface AddressGuard {
  /** Why a Service may not have it as external IP; undefined if it may. */
  external(ip: IpAddr): string | undefined;
  /** Why it may not be a load balancer address. */
  loadBalancer(ip: IpAddr): string | undefined;
  /** Why traffic to it may not be redirected to pods of some namespace. */
  redirect(ip: IpAddr): string | undefined;
  isNode(ip: IpAddr): boolean;
  /** Equal for equal answers. */
  readonly text: string;
}

/** This network, loopback, multicast and what is above. */
const unroutable = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '::/127', '::ffff:0:0/96', 'ff00::/8'] as Cidr[];

export function createGuard(
  nodes: Iterable<NodeInput>,
  config: Pick<ServiceConfig, 'clusterCidrs' | 'allowedExternalCidrs' | 'redirectCidrs'>,
): AddressGuard {
  const nodeIps = new Set<IpAddr>();
  const blocks = new Set<Cidr>(config.clusterCidrs);
  for (const n of nodes) {
    for (const ip of n.addresses) nodeIps.add(ip);
    for (const c of n.podCidrs) blocks.add(c);
  }
  const inside = createPrefixTable<true>();
  for (const c of blocks) inside.set(c, true);
  const own = (ip: IpAddr): string | undefined =>
    inside.lookup(ip) === undefined ? undefined : `${ip} is inside of the cluster's own prefixes`;
  const allowed = config.allowedExternalCidrs;
  return {
    isNode: (ip) => nodeIps.has(ip),
    // a load balancer may stand on addresses of nodes
    loadBalancer: own,
    external(ip) {
      if (allowed.length > 0 && !allowed.some((c) => cidrContainsIp(c, ip))) return `${ip} is outside of the prefixes that are allowed`;
      if (allowed.length === 0 && nodeIps.has(ip)) return `${ip} is an address of a node`;
      return own(ip);
    },
    redirect(ip) {
      if (unroutable.some((c) => cidrContainsIp(c, ip))) return `${ip} is no address of anybody`;
      if (nodeIps.has(ip)) return `${ip} is an address of a node`;
      const { redirectCidrs } = config;
      if (redirectCidrs.length > 0 && !redirectCidrs.some((c) => cidrContainsIp(c, ip)))
        return `${ip} is outside of localRedirectPolicies.addressMatcherCIDRs`;
      return own(ip);
    },
    text: [[...nodeIps].sort(), [...blocks].sort(), allowed].join(' | '),
  };
}
