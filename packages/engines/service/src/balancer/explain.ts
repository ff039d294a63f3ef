// Which backend a flow of a stand-alone balancer goes to, and why: the decisions of the datapath in its order. Pure; called by `axoneme lb explain`.
import { cidrContainsIp, type IpAddr, type PortProtocol } from '@axoneme/model';
import type { Backend } from '../backends.ts';
import type { ServiceTable } from '../compiler.ts';
import { type Frontend, frontendFlags } from '../frontends.ts';
import { lookupHash } from '../hashes.ts';
import { type MaglevSize, type MaglevTables, maglevPick } from '../maglev.ts';
import { balancedKey, compileBalancer, judgeBackends, type TargetId } from './compile-balancer.ts';
import type { BalancedService, BalancerSpec } from './spec.ts';

export interface Tuple {
  readonly client: IpAddr;
  readonly clientPort: number;
  readonly address: IpAddr;
  readonly port: number;
  readonly protocol: PortProtocol;
}

export interface Explanation {
  readonly verdict: 'backend' | 'any-of' | 'dropped' | 'rejected' | 'not-balanced';
  readonly service: string | undefined;
  /** The one it is, or those of which it is one. */
  readonly backends: readonly Pick<Backend, 'ip' | 'port' | 'id'>[];
  /** One step a line. */
  readonly steps: readonly string[];
}

function find(spec: BalancerSpec, t: Tuple): BalancedService | undefined {
  return spec.services.find((s) => s.vips.some((v) => v.address === t.address && v.port === t.port && v.protocol === t.protocol));
}

const hex = (n: bigint): string => n.toString(16).padStart(16, '0');

function choose(
  f: Frontend,
  table: ServiceTable,
  t: Tuple,
  tables: MaglevTables,
  steps: string[],
): Pick<Explanation, 'verdict' | 'backends'> {
  const set = table.sets.get(f.setOut);
  if (set === undefined || set.backends.length === 0) {
    const refuses = (f.flags & frontendFlags.reject) !== 0;
    steps.push(`no backend takes new flows: ${refuses ? 'the client is told (ICMP)' : 'the packet is dropped'}`);
    return { verdict: refuses ? 'rejected' : 'dropped', backends: [] };
  }
  steps.push(`set ${hex(set.id)}: ${set.backends.length} backends take new flows, ${set.draining.length} keep those they have`);
  if (set.backends.length === 1) return { verdict: 'backend', backends: set.backends };
  if (f.affinitySeconds > 0) steps.push(`a client that came within the last ${f.affinitySeconds} s goes where it went`);
  if (f.maglevSize === 0) {
    steps.push('algorithm random: each new flow by lot');
    return { verdict: 'any-of', backends: set.backends };
  }
  const flow = { client: t.client, clientPort: f.affinitySeconds > 0 ? 0 : t.clientPort, protocol: t.protocol };
  const slot = maglevPick(tables.get(set.backends, f.maglevSize as MaglevSize), flow);
  steps.push(`Maglev: entry ${lookupHash(flow) % f.maglevSize} of ${f.maglevSize} is slot ${slot}`);
  return { verdict: 'backend', backends: [set.backends[slot]!] };
}

export function explainBalancer(
  spec: BalancerSpec,
  down: ReadonlySet<TargetId>,
  t: Tuple,
  tables: MaglevTables,
  own: readonly IpAddr[] = [],
): Explanation {
  const steps: string[] = [];
  const service = find(spec, t);
  if (service === undefined) {
    const known = spec.services.some((s) => s.vips.some((v) => v.address === t.address)) && !own.includes(t.address);
    steps.push(known ? `no service has ${t.port}/${t.protocol} of ${t.address}: dropped` : `${t.address} is no VIP: left to the machine`);
    return { verdict: known ? 'dropped' : 'not-balanced', service: undefined, backends: [], steps };
  }
  steps.push(`service ${service.name}: ${service.mode}, ${service.algorithm}`);
  if (service.sourceRanges !== undefined && !service.sourceRanges.some((c) => cidrContainsIp(c, t.client))) {
    steps.push(`${t.client} is outside of the source ranges: dropped`);
    return { verdict: 'dropped', service: service.name, backends: [], steps };
  }
  const failing = judgeBackends(service, down).filter((b) => b.failing);
  if (failing.length > 0) {
    const kept = failing.some((b) => b.now !== 'quarantined') ? ' (kept: nobody else is left)' : '';
    steps.push(`checks fail: ${failing.map((b) => b.address).join(', ')}${kept}`);
  }
  const table = compileBalancer(spec, down, own);
  const frontend = table.services
    .get(balancedKey(service, t.port, t.protocol))
    ?.frontends.find((f) => f.ip === t.address && f.port === t.port);
  if (frontend === undefined) return { verdict: 'not-balanced', service: service.name, backends: [], steps };
  return { service: service.name, ...choose(frontend, table, t, tables, steps), steps };
}
