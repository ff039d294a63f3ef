// What this agent tells Prometheus. Read when asked; nothing is counted twice. Called by wiring.
import { dropReasonText, dropValue, sumPerCpu } from '@axoneme/datapath';
import type { HistogramMetric, Labels, Metrics } from '@axoneme/telemetry';
import type { Apply } from './apply/apply.ts';
import type { Datapath } from './datapath/datapath.ts';
import type { EndpointManager } from './endpoints/manager.ts';
import type { NodeProbes } from './probe/node-probes.ts';

export interface MetricSources {
  readonly metrics: Metrics;
  readonly apply: Apply;
  readonly datapath: Datapath;
  readonly endpoints: EndpointManager;
  readonly probes: Pick<NodeProbes, 'status'>;
  readonly connected: () => boolean;
}

/** Events that found no room in the ring, in all. */
export function kernelLost(datapath: Pick<Datapath, 'map'>): number {
  const value = datapath.map('events_lost').lookup(Buffer.alloc(4));
  return value ? Number(datapath.map('events_lost').percpuSum(value)) : 0;
}

function* drops(datapath: Pick<Datapath, 'map'>): Generator<readonly [Labels, number]> {
  const map = datapath.map('drops');
  const { keys, values, count } = map.dump();
  for (let i = 0; i < count; i++) {
    const v = dropValue.decode(sumPerCpu(values.subarray(i * map.valueBytes, (i + 1) * map.valueBytes), dropValue.size));
    const index = keys.readUInt32LE(i * 4);
    if (v.packets > 0n)
      yield [{ reason: dropReasonText(index >> 1), direction: (index & 1) === 0 ? 'ingress' : 'egress' }, Number(v.packets)];
  }
}

export interface AgentMetrics {
  readonly cniSeconds: HistogramMetric;
  readonly applySeconds: HistogramMetric;
}

export function createAgentMetrics({ metrics, apply, datapath, endpoints, probes, connected }: MetricSources): AgentMetrics {
  metrics.observed({ name: 'agent_revision', help: 'Revision of the commit in the kernel.' }, () => apply.revision);
  metrics.observed({ name: 'agent_operator_connected', help: 'Whether an operator is connected.' }, () => (connected() ? 1 : 0));
  metrics.observed({ name: 'agent_endpoints', help: 'Endpoints of this node by state.', labels: ['state'] }, () => {
    const byState = new Map<string, number>();
    for (const e of endpoints.list()) byState.set(e.state, (byState.get(e.state) ?? 0) + 1);
    return [...byState].map(([state, n]) => [{ state }, n] as const);
  });
  metrics.observed({ name: 'agent_probes', help: 'Backends of fleets that this node asks, by last answer.', labels: ['answer'] }, () => {
    const { targets, answered, failing } = probes.status();
    return [
      [{ answer: 'good' }, answered - failing] as const,
      [{ answer: 'bad' }, failing] as const,
      [{ answer: 'none' }, targets - answered] as const,
    ];
  });
  observeKernel({ metrics, apply, datapath });
  // close enough together that quantiles read from them mean something at the budget of 250 ms
  const buckets = [0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 1, 2.5, 5];
  return {
    cniSeconds: metrics.histogram({ name: 'agent_cni_seconds', help: 'Duration of CNI requests.', labels: ['command', 'result'], buckets }),
    applySeconds: metrics.histogram({ name: 'agent_apply_seconds', help: 'Time from commit to kernel.', buckets }),
  };
}

/** What every node has, with pods or without. */
export function observeKernel({ metrics, apply, datapath }: Pick<MetricSources, 'metrics' | 'apply' | 'datapath'>): void {
  metrics.observed({ name: 'agent_table_rows', help: 'Rows of each kernel table.', labels: ['table'] }, () =>
    Object.entries(apply.occupancy()).map(([table, o]) => [{ table }, o.entries] as const),
  );
  metrics.observed({ name: 'agent_table_capacity_rows', help: 'Room of each kernel table.', labels: ['table'] }, () =>
    Object.entries(apply.occupancy()).map(([table, o]) => [{ table }, o.capacity] as const),
  );
  metrics.observed({ name: 'drops_packets', help: 'Packets dropped, by reason.', labels: ['reason', 'direction'] }, () => drops(datapath));
  metrics.observed({ name: 'agent_events_lost', help: 'Events that found no room in the ring buffer.' }, () => kernelLost(datapath));
}
