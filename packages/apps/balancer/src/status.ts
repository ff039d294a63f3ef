// What a running balancer says of itself, as plain JSON. Made here, printed by `axoneme lb status`.
import type { BalancerNode, ProbeResult } from '@axoneme/agent';
import { dropReasonText, dropValue, sumPerCpu } from '@axoneme/datapath';
import { backendIdOf, judgeBackends } from '@axoneme/service';
import type { Balancer } from './balancer.ts';

export interface ProbeStatus {
  readonly ok: boolean;
  readonly streak: number;
  readonly reason: string;
  readonly latencyMs: number;
  readonly ageMs: number;
}

export interface BackendStatus {
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  /** `active`, `quarantined` or `maintenance`. */
  readonly state: string;
  /** Its checks fail; with state active it is in use because nobody else is left. */
  readonly failing: boolean;
  /** Null: it has no check, or no result yet. */
  readonly probe: ProbeStatus | null;
  /** Open flows, of all VIPs of the service. */
  readonly flows: number;
}

export interface ServiceStatus {
  readonly name: string;
  readonly mode: string;
  readonly algorithm: string;
  readonly vips: readonly string[];
  readonly backends: readonly BackendStatus[];
}

export interface LbStatus {
  readonly file: string;
  /** Why the file as it is now is not what runs; empty: it does. */
  readonly problems: readonly string[];
  readonly devices: readonly string[];
  readonly addresses: readonly string[];
  readonly health: readonly { readonly name: string; readonly state: string; readonly reason: string }[];
  readonly services: readonly ServiceStatus[];
  /** Packets by reason. */
  readonly drops: Readonly<Record<string, number>>;
  readonly probes: { readonly targets: number; readonly asking: number; readonly waiting: number };
}

const socketText = (address: string, port: number): string => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);

const probeOf = (r: ProbeResult | undefined, nowMs: number): ProbeStatus | null =>
  r === undefined
    ? null
    : { ok: r.ok, streak: r.streak, reason: r.reason, latencyMs: Math.round(r.latencyMs * 10) / 10, ageMs: Math.round(nowMs - r.atMs) };

function readDrops(node: BalancerNode): Record<string, number> {
  const map = node.map('drops');
  const { keys, values, count } = map.dump();
  const found: Record<string, number> = {};
  for (let i = 0; i < count; i++) {
    const v = dropValue.decode(sumPerCpu(values.subarray(i * map.valueBytes, (i + 1) * map.valueBytes), dropValue.size));
    const reason = dropReasonText(keys.readUInt32LE(i * 4) >> 1);
    if (v.packets > 0n) found[reason] = (found[reason] ?? 0) + Number(v.packets);
  }
  return found;
}

/** `count`: also read the flows, which looks at every one of them. */
export function readServices(balancer: Balancer, node: BalancerNode, nowMs: number, count = true): ServiceStatus[] {
  const results = node.prober.results();
  const flows: ReadonlyMap<number, number> = count ? node.flows() : new Map();
  return balancer.spec.services.map((s) => ({
    name: s.name,
    mode: s.mode,
    algorithm: s.algorithm,
    vips: s.vips.map((v) => `${socketText(v.address, v.port)}/${v.protocol}`),
    backends: judgeBackends(s, balancer.down).map((b) => {
      const ids = [...new Set(s.vips.map((v) => backendIdOf(b.address, b.port, v.protocol)))];
      return {
        address: b.address,
        port: b.port,
        weight: b.weight,
        state: b.now,
        failing: b.failing,
        probe: b.target === undefined ? null : probeOf(results.get(b.target), nowMs),
        flows: ids.reduce((sum, id) => sum + (flows.get(id) ?? 0), 0),
      };
    }),
  }));
}

export interface StatusSources {
  readonly file: string;
  readonly problems: readonly string[];
  readonly components: LbStatus['health'];
  readonly nowMs: number;
}

export const readStatus = (balancer: Balancer, node: BalancerNode, { file, problems, components, nowMs }: StatusSources): LbStatus => ({
  file,
  problems,
  devices: node.devices,
  addresses: node.own,
  health: components,
  services: readServices(balancer, node, nowMs),
  drops: readDrops(node),
  probes: { targets: node.prober.results().size, ...node.prober.load() },
});
