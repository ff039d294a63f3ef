// Cluster-pool IPAM: nodes × claims × pools → blocks per node. Called by the leading operator; truth is the CiliumNode objects.

import { type Cidr, cidrBits, cidrContains, cidrFamily, compareCidr, type IpFamily } from '@axoneme/model';
import { AppError, type NodeName } from '@axoneme/std';
import { freeBlocks, overlappingPairs } from './blocks.ts';

export interface FamilyPool {
  readonly cidrs: readonly Cidr[];
  /** Prefix length of one node's block. */
  readonly blockBits: number;
}

export interface IpamConfig {
  /** Absent = the family is off. */
  readonly ipv4?: FamilyPool | undefined;
  readonly ipv6?: FamilyPool | undefined;
}

/** A node, with the blocks its CiliumNode object says it has. */
export interface NodeClaim {
  readonly name: NodeName;
  readonly createdMs: number;
  readonly podCidrs: readonly Cidr[];
}

export type IpamCondition =
  | { readonly kind: 'exhausted'; readonly node: NodeName; readonly family: IpFamily; readonly error: AppError }
  /** The later claimant of a block loses it. */
  | { readonly kind: 'conflict'; readonly node: NodeName; readonly cidr: Cidr; readonly keptBy: NodeName; readonly keptCidr: Cidr }
  /** Kept as it is, because pods may run in it. */
  | { readonly kind: 'outside-pool'; readonly node: NodeName; readonly cidr: Cidr };

export interface IpamPlan {
  /** Blocks of every node, IPv4 first; a node without a free block of a family lacks that family. */
  readonly blocks: ReadonlyMap<NodeName, readonly Cidr[]>;
  /** Nodes whose object must be written, because the blocks differ from what they claim. */
  readonly changed: readonly NodeName[];
  readonly conditions: readonly IpamCondition[];
}

export interface PoolUsage {
  readonly family: IpFamily;
  readonly total: number;
  readonly used: number;
}

/** Depends on the nodes that exist now. A block is free again when its node is gone; never overlaps; keeps every undisputed claim. */
export function planBlocks(nodes: readonly NodeClaim[], config: IpamConfig): IpamPlan {
  const ordered = [...nodes].sort((a, b) => a.createdMs - b.createdMs || (a.name < b.name ? -1 : 1));
  const conditions: IpamCondition[] = [];
  const kept = keepClaims(ordered, conditions);
  const byName = [...ordered].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const family of [4, 6] as const) {
    const pool = family === 4 ? config.ipv4 : config.ipv6;
    if (pool !== undefined) fillFamily(byName, family, pool, kept, conditions);
  }
  for (const n of byName) reportOutside(n.name, kept.get(n.name)!, config, conditions);
  return {
    blocks: new Map(byName.map((n) => [n.name, kept.get(n.name)!])),
    changed: byName.filter((n) => kept.get(n.name)!.join() !== n.podCidrs.join()).map((n) => n.name),
    conditions,
  };
}

export function poolUsage(plan: IpamPlan, config: IpamConfig): readonly PoolUsage[] {
  const usage: PoolUsage[] = [];
  for (const family of [4, 6] as const) {
    const pool = family === 4 ? config.ipv4 : config.ipv6;
    if (pool === undefined) continue;
    const total = pool.cidrs.reduce((sum, c) => sum + 2 ** Math.max(0, pool.blockBits - cidrBits(c)), 0);
    const used = [...plan.blocks.values()].flat().filter((b) => cidrFamily(b) === family).length;
    usage.push({ family, total, used });
  }
  return usage;
}

/** Older nodes first: of two that claim common addresses, the older keeps its block. */
function keepClaims(ordered: readonly NodeClaim[], conditions: IpamCondition[]): Map<NodeName, Cidr[]> {
  const claims = ordered.flatMap((n) => n.podCidrs.map((cidr) => ({ node: n.name, cidr })));
  const rivals = new Map<number, number[]>();
  for (const [earlier, later] of overlappingPairs(claims.map((c) => c.cidr))) rivals.set(later, [...(rivals.get(later) ?? []), earlier]);
  const lost = new Set<number>();
  const kept = new Map<NodeName, Cidr[]>(ordered.map((n) => [n.name, []]));
  for (const [i, claim] of claims.entries()) {
    const winner = rivals.get(i)?.find((r) => !lost.has(r));
    if (winner === undefined) {
      kept.get(claim.node)!.push(claim.cidr);
      continue;
    }
    lost.add(i);
    const by = claims[winner]!;
    conditions.push({ kind: 'conflict', node: claim.node, cidr: claim.cidr, keptBy: by.node, keptCidr: by.cidr });
  }
  return kept;
}

function fillFamily(
  nodes: readonly NodeClaim[],
  family: IpFamily,
  pool: FamilyPool,
  kept: Map<NodeName, Cidr[]>,
  conditions: IpamCondition[],
): void {
  const needy = nodes.filter((n) => !kept.get(n.name)!.some((c) => cidrFamily(c) === family));
  const fresh = freeBlocks(pool.cidrs, pool.blockBits, [...kept.values()].flat(), needy.length);
  for (const [i, n] of needy.entries()) {
    const block = fresh[i];
    if (block === undefined) conditions.push({ kind: 'exhausted', node: n.name, family, error: exhausted(n.name, family, pool) });
    else kept.set(n.name, family === 4 ? [block, ...kept.get(n.name)!] : [...kept.get(n.name)!, block]);
  }
}

function reportOutside(node: NodeName, cidrs: readonly Cidr[], config: IpamConfig, conditions: IpamCondition[]): void {
  const pools = [...(config.ipv4?.cidrs ?? []), ...(config.ipv6?.cidrs ?? [])];
  for (const cidr of [...cidrs].sort(compareCidr)) {
    if (!pools.some((p) => cidrContains(p, cidr))) conditions.push({ kind: 'outside-pool', node, cidr });
  }
}

function exhausted(node: NodeName, family: IpFamily, pool: FamilyPool): AppError {
  return new AppError({
    code: 'ipam/exhausted',
    retry: 'later',
    message: `no free /${pool.blockBits} block is left for node ${node} in ${pool.cidrs.join(', ')}`,
    hint: `add a CIDR to the IPv${family} pool`,
  });
}
