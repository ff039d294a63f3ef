// Pods whose address a CIDR row hides: their own row must be on every node, else the CIDR identity would win over the cluster.
import { type Cidr, cidrBits, cidrContainsIp, cidrOverlaps, type PrefixTable } from '@axoneme/model';
import type { SpanNode, SpanWorkload } from './inputs.ts';

/** True if a CIDR row is at least as long as the block row that would otherwise answer for the address. */
export function isShadowed(w: SpanWorkload, node: SpanNode | undefined, cidrs: PrefixTable<true>): boolean {
  return w.addresses.some((ip) => {
    const longest = cidrs.lookup(ip);
    if (longest === undefined) return false;
    const block = node?.podCidrs.filter((c) => cidrContainsIp(c, ip)).map(cidrBits) ?? [];
    return cidrBits(longest.cidr) >= Math.max(-1, ...block);
  });
}

export const isStray = (w: SpanWorkload, node: SpanNode | undefined): boolean =>
  w.addresses.some((ip) => node?.podCidrs.some((c) => cidrContainsIp(c, ip)) !== true);

/** False for the common case: a prefix that no address of the cluster is in. Workloads in their node's blocks need not be looked at. */
export function touchesPods(cidr: Cidr, strays: Iterable<SpanWorkload>, nodes: Iterable<SpanNode>): boolean {
  for (const n of nodes) if (n.podCidrs.some((c) => cidrOverlaps(c, cidr))) return true;
  for (const w of strays) if (w.addresses.some((ip) => cidrContainsIp(cidr, ip))) return true;
  return false;
}
