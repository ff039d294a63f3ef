// Load balancer addresses: pools × Services with what their status has → who has which address. Called by the leading operator;
// the memory is the Services' status, so the result is a function of the objects that exist and of nothing before.

import { type IpAddr, type IpFamily, ipFamily } from '@axoneme/model';
import { createFinder, type JudgedPool, judgePools, type LbPool, poolGives, poolHas, poolServes, poolSize } from './lb-pools.ts';
import { createHolders, type Holders, type LbService } from './lb-sharing.ts';

export interface LbCondition {
  readonly satisfied: boolean;
  readonly reason:
    | 'satisfied'
    | 'no_pool'
    | 'out_of_ips'
    | 'pool_selector_mismatch'
    | 'already_allocated'
    | 'already_allocated_incompatible_service'
    | 'family_not_requested'
    | 'invalid_request';
  readonly message: string;
}

export interface LbAssignment {
  /** Kept ones in the order of the status, then new ones, IPv4 first. */
  readonly addresses: readonly IpAddr[];
  /** Undefined: nothing is to be said of it, and what was said goes. */
  readonly condition: LbCondition | undefined;
}

export interface LbPoolState {
  readonly name: string;
  readonly conflict: string | undefined;
  readonly problems: readonly string[];
  readonly total: bigint;
  readonly used: bigint;
}

export interface LbPlan {
  /** Only of Services that are ours or were; by key. */
  readonly services: ReadonlyMap<string, LbAssignment>;
  /** Oldest first. */
  readonly pools: readonly LbPoolState[];
}

interface Round {
  readonly pools: readonly JudgedPool[];
  readonly holders: Holders;
  readonly free: (pool: LbPool, family: IpFamily) => IpAddr | undefined;
  readonly given: Map<LbService, IpAddr[]>;
}

const bad = (reason: LbCondition['reason'], message: string): LbCondition => ({ satisfied: false, reason, message });
const satisfied: LbCondition = { satisfied: true, reason: 'satisfied', message: '' };

/**
 * Addresses in the status are kept as long as a pool has them for the Service, its wishes are the same and nobody older has them; then come
 * those who name addresses, then the rest, the older first. Without any pool Services that were never given one are nobody's business.
 */
export function planLbAddresses(pools: Iterable<LbPool>, services: Iterable<LbService>): LbPlan {
  const judged = judgePools(pools);
  const ordered = [...services].sort((a, b) => a.createdMs - b.createdMs || (a.key < b.key ? -1 : 1));
  const ours = ordered.filter((s) => s.standing === 'ours' && (judged.length > 0 || s.marked));
  const holders = createHolders();
  const r: Round = { pools: judged, holders, free: createFinder((ip) => holders.has(ip)), given: new Map(ours.map((s) => [s, []])) };
  for (const s of ordered) if (s.standing === 'other' || s.standing === 'leaving') for (const ip of s.held) holders.add(s, ip);
  for (const s of ours) keep(r, s);
  const conditions = new Map<LbService, LbCondition>();
  for (const s of ours) if (s.pinned) conditions.set(s, giveRequested(r, s));
  for (const s of ours) if (!s.pinned) conditions.set(s, giveAny(r, s));
  const result = new Map<string, LbAssignment>(ours.map((s) => [s.key, { addresses: r.given.get(s)!, condition: conditions.get(s) }]));
  for (const s of ordered) if (s.standing === 'released') result.set(s.key, { addresses: [], condition: undefined });
  return { services: result, pools: poolStates(judged, holders) };
}

function give(r: Round, s: LbService, ip: IpAddr): void {
  r.holders.add(s, ip);
  r.given.get(s)!.push(ip);
}

const hasFamily = (r: Round, s: LbService, family: IpFamily): boolean => r.given.get(s)!.some((ip) => ipFamily(ip) === family);

function keep(r: Round, s: LbService): void {
  for (const ip of s.held) {
    const family = ipFamily(ip);
    const wanted = s.pinned ? s.requested.includes(ip) : !hasFamily(r, s, family);
    if (!wanted || !s.families.includes(family) || r.holders.obstacle(s, ip) !== undefined) continue;
    if (r.pools.some((p) => poolHas(p, ip) && poolServes(p, s.labels))) give(r, s, ip);
  }
}

function giveRequested(r: Round, s: LbService): LbCondition {
  const failures: LbCondition[] = s.problems.map((p) => bad('invalid_request', p));
  for (const ip of s.requested) {
    if (r.given.get(s)!.includes(ip)) continue;
    const failure = whyNot(r, s, ip);
    if (failure === undefined) give(r, s, ip);
    else failures.push(failure);
  }
  return combined(failures);
}

function whyNot(r: Round, s: LbService, ip: IpAddr): LbCondition | undefined {
  if (!s.families.includes(ipFamily(ip)))
    return bad('family_not_requested', `${ip}: the Service does not have addresses of family IPv${ipFamily(ip)}`);
  const pools = r.pools.filter((p) => poolGives(p) && poolHas(p, ip));
  if (pools.length === 0) return bad('no_pool', `no enabled pool has ${ip}`);
  const names = pools.map((p) => p.name).join(', ');
  if (!pools.some((p) => poolServes(p, s.labels)))
    return bad('pool_selector_mismatch', `pool ${names} has ${ip} and does not select the Service`);
  const obstacle = r.holders.obstacle(s, ip);
  if (obstacle === undefined) return undefined;
  const { holder, why } = obstacle;
  if (s.sharingKey === '') return bad('already_allocated', `${ip} is the address of ${holder.key}`);
  return bad('already_allocated_incompatible_service', `${ip} is the address of ${holder.key}: ${why}`);
}

function giveAny(r: Round, s: LbService): LbCondition {
  const pools = r.pools.filter((p) => poolGives(p) && poolServes(p, s.labels));
  const failures: LbCondition[] = [];
  for (const family of s.families) {
    if (hasFamily(r, s, family)) continue;
    const able = pools.filter((p) => p.ranges.some((x) => x.family === family));
    const ip = sharedAddress(r, s, family, able) ?? freeAddress(r, family, able);
    if (ip !== undefined) give(r, s, ip);
    else if (able.length === 0) failures.push(bad('no_pool', `no enabled pool with IPv${family} addresses selects the Service`));
    else failures.push(bad('out_of_ips', `no IPv${family} address is left in pool ${able.map((p) => p.name).join(', ')}`));
  }
  return combined(failures);
}

function sharedAddress(r: Round, s: LbService, family: IpFamily, pools: readonly LbPool[]): IpAddr | undefined {
  for (const ip of r.holders.shared(s)) {
    if (ipFamily(ip) === family && r.holders.obstacle(s, ip) === undefined && pools.some((p) => poolHas(p, ip))) return ip;
  }
  return undefined;
}

function freeAddress(r: Round, family: IpFamily, pools: readonly LbPool[]): IpAddr | undefined {
  for (const p of pools) {
    const ip = r.free(p, family);
    if (ip !== undefined) return ip;
  }
  return undefined;
}

/** The first failure names the reason. */
function combined(failures: readonly LbCondition[]): LbCondition {
  const first = failures[0];
  return first === undefined ? satisfied : { ...first, message: failures.map((f) => f.message).join('; ') };
}

function poolStates(pools: readonly JudgedPool[], holders: Holders): LbPoolState[] {
  const used = new Map<string, bigint>();
  for (const ip of holders.addresses()) for (const p of pools) if (poolHas(p, ip)) used.set(p.name, (used.get(p.name) ?? 0n) + 1n);
  return pools.map((p) => ({ name: p.name, conflict: p.conflict, problems: p.problems, total: poolSize(p), used: used.get(p.name) ?? 0n }));
}
