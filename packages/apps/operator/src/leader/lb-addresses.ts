// Leader duty: addresses of Services of type LoadBalancer, in their status and nowhere else, and how much of each pool is used. Called by leader.ts.

import { isOurs, LB_CONDITION, type LbAssignment, type LbPoolState, planLbAddresses, readLbPool, readLbService } from '@axoneme/ipam';
import { parseIp } from '@axoneme/model';
import { type Clock, canonicalJson } from '@axoneme/std';
import type { KubeClient } from 'kopf-ts';
import type { OperatorConfig } from '../config.ts';
import { type Condition, cutMessage, type Draft, withTimes } from '../status/policy-status.ts';
import type { World } from '../world/world.ts';
import { createSeenStatus } from './seen-status.ts';

export interface LbAddressWriterDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
  readonly assertLeader: () => void;
}

type Raw = Readonly<Record<string, unknown>>;
interface LbStatus {
  readonly loadBalancer?: { readonly ingress?: readonly Raw[] };
  readonly conditions?: readonly Condition[];
}

/** Who the fields of the status belong to, as users of Cilium know it. */
const FIELD_MANAGER = 'cilium-operator-lb-ipam';

const generationOf = (o: Raw): number => (o.metadata as { generation?: number }).generation ?? 0;
const statusOf = (o: Raw): LbStatus => (o.status ?? {}) as LbStatus;
const addressOf = (i: Raw): string => {
  const ip = parseIp(String(i.ip));
  return ip.ok ? ip.value : '';
};
const essence = (conditions: readonly Condition[]): string => canonicalJson(conditions.map((c) => [c.type, c.status, c.reason, c.message]));

/** The status with the addresses; entries that are somebody else's stay, as do conditions. */
function serviceStatus(held: LbStatus, a: LbAssignment, generation: number, now: string): LbStatus {
  const ingress = held.loadBalancer?.ingress ?? [];
  const kept = ingress.filter((i) => !isOurs(i) || a.addresses.some((ip) => ip === addressOf(i)));
  const added = a.addresses.filter((ip) => !kept.some((i) => isOurs(i) && addressOf(i) === ip)).map((ip) => ({ ip }));
  const others = (held.conditions ?? []).filter((c) => c.type !== LB_CONDITION);
  const c = a.condition;
  const drafts: Draft[] =
    c === undefined
      ? []
      : [{ type: LB_CONDITION, status: c.satisfied ? 'True' : 'False', reason: c.reason, message: cutMessage(c.message) }];
  return {
    loadBalancer: { ingress: [...kept, ...added] },
    conditions: [...others, ...withTimes(drafts, generation, held.conditions, now)],
  };
}

function poolConditions(p: LbPoolState): Draft[] {
  const count = (type: string, n: bigint): Draft => ({
    type: `cilium.io/${type}`,
    status: 'Unknown',
    reason: 'noreason',
    message: String(n),
  });
  const wrong = p.problems.length > 0;
  return [
    {
      type: 'cilium.io/PoolConflict',
      status: p.conflict === undefined ? 'False' : 'True',
      reason: p.conflict === undefined ? 'resolved' : 'cidr_overlap',
      message: cutMessage(p.conflict ?? ''),
    },
    count('IPsTotal', p.total),
    count('IPsAvailable', p.total - p.used),
    count('IPsUsed', p.used),
    {
      type: 'Valid',
      status: wrong ? 'False' : 'True',
      reason: wrong ? 'ValidationFailed' : 'Validated',
      message: cutMessage(p.problems.join('; ')),
    },
  ];
}

export function createLbAddressWriter(
  deps: LbAddressWriterDeps,
  config: Pick<OperatorConfig, 'defaultLbServiceIpam'>,
): () => Promise<void> {
  const { world } = deps;
  const write = createSeenStatus(deps, FIELD_MANAGER);
  const options = { unclassed: config.defaultLbServiceIpam === 'lbipam' };

  const writePool = async (p: LbPoolState, now: string): Promise<void> => {
    const raw = world.tables.lbPools.get(p.name);
    if (raw === undefined) return;
    const held = statusOf(raw).conditions ?? [];
    const conditions = withTimes(poolConditions(p), generationOf(raw), held, now);
    if (essence(conditions) === essence(held)) return;
    await write('lbPools', p.name, raw, { conditions });
  };

  return async () => {
    const now = new Date(deps.clock.nowMs()).toISOString().replace(/\.\d+Z$/, 'Z');
    const services = [...world.tables.services.values()].flatMap((raw) => readLbService(raw, options) ?? []);
    const plan = planLbAddresses([...world.tables.lbPools.values()].map(readLbPool), services);
    const due: { key: string; raw: Raw; status: LbStatus; loses: boolean }[] = [];
    for (const [key, a] of plan.services) {
      const raw = world.tables.services.get(key);
      if (raw === undefined) continue;
      const held = statusOf(raw);
      const status = serviceStatus(held, a, generationOf(raw), now);
      const before = held.loadBalancer?.ingress ?? [];
      const after = status.loadBalancer?.ingress ?? [];
      if (canonicalJson(before) === canonicalJson(after) && essence(status.conditions ?? []) === essence(held.conditions ?? [])) continue;
      due.push({ key, raw, status, loses: before.some((i) => !after.includes(i)) });
    }
    // nobody is given an address that another still has: a plan that is out of date is dropped, the news that make it so bring the next
    for (const d of due) if (d.loses && !(await write('services', d.key, d.raw, d.status))) return;
    for (const d of due) if (!d.loses) await write('services', d.key, d.raw, d.status);
    for (const p of plan.pools) await writePool(p, now);
  };
}
