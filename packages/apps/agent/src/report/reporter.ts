// Sends what happens on this node up to the operator: endpoints and results of probes (all after a new link, then changes), counters, and flow
// samples while somebody watches. What cannot be sent now is kept, bounded. A living thing, started by wiring.
import type { CounterDelta, EndpointReport } from '@axoneme/proto';
import type { Clock, Health, Living, Log, Timer } from '@axoneme/std';
import type { ReportHandlers, ReportLink } from '@axoneme/stream';
import type { EndpointManager, EndpointStatus } from '../endpoints/manager.ts';
import type { NodeProbes } from '../probe/node-probes.ts';
import type { Counters } from './counters.ts';
import type { Flows } from './flows.ts';

export interface ReporterDeps {
  readonly endpoints: EndpointManager;
  readonly flows: Flows;
  readonly counters: Counters;
  readonly probes: Pick<NodeProbes, 'onNews' | 'due'>;
  /** Events the kernel could not put into the ring, in all. */
  readonly kernelLost: () => number;
  /** Whether anybody watches flows changed. */
  readonly onWantFlows: (want: boolean) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Reporter extends Living {
  readonly handlers: ReportHandlers;
  /** The link reports go to; set once, before start. */
  bind(link: ReportLink): void;
}

const flushMs = 100;
/** A backend that fails is waited for by clients. */
const newsMs = 20;
const countersMs = 5_000;
const flowsPerBatch = 2048;

const reportOf = (e: EndpointStatus, deleted: boolean): EndpointReport => ({
  namespace: e.namespace,
  pod: e.pod,
  podUid: e.podUid,
  endpointId: e.id,
  identity: e.identity,
  ipv4: e.ipv4,
  ipv6: e.ipv6,
  containerId: e.containerId,
  state: deleted ? 'disconnected' : e.state,
  interfaceName: e.hostIfname,
  deleted,
});

export function createReporter(d: ReporterDeps): Reporter {
  let link: ReportLink | undefined;
  let up = false;
  let full = false;
  // newest state per endpoint id
  const changed = new Map<number, EndpointReport>();
  let counters: CounterDelta[] = [];
  let kernelLost = d.kernelLost();
  let lost = 0;
  let countedMs = d.clock.monotonicMs();
  let timer: Timer | undefined;
  let early: Timer | undefined;

  d.endpoints.onChange((e, deleted) => changed.set(e.id, reportOf(e, deleted)));

  const count = (): void => {
    if (d.clock.monotonicMs() - countedMs < countersMs || counters.length > 0) return;
    countedMs = d.clock.monotonicMs();
    counters = d.counters.deltas();
    const now = d.kernelLost();
    if (d.flows.wanted) lost += now - kernelLost;
    kernelLost = now;
  };
  const flush = (): void => {
    if (!up || !link) return;
    count();
    lost += d.flows.lost();
    const flows = d.flows.drain(flowsPerBatch);
    const endpoints = full ? d.endpoints.list().map((e) => reportOf(e, false)) : [...changed.values()];
    const probes = d.probes.due(full);
    if (!full && endpoints.length + flows.length + counters.length + probes.reports.length === 0 && lost === 0) return;
    const results = { probes: [...probes.reports], fullProbes: full };
    const sent = link.send({ ...results, endpoints, full, flows, counters, lostSamples: lost });
    if (sent === undefined) {
      d.flows.restore(flows);
      return;
    }
    probes.sent();
    full = false;
    changed.clear();
    counters = [];
    lost = 0;
  };
  const attempt = (): void => {
    try {
      flush();
    } catch (e) {
      d.log.error('report failed', { error: e });
    }
  };
  const tick = (): void => {
    attempt();
    timer = d.clock.after(flushMs, tick);
  };
  d.probes.onNews(() => {
    if (!up) return;
    early ??= d.clock.after(newsMs, () => {
      early = undefined;
      attempt();
    });
  });

  return {
    name: 'reporter',
    health: (): Health => ({ state: 'ok' }),
    handlers: {
      linkUp() {
        up = true;
        full = true;
      },
      linkDown() {
        up = false;
        d.flows.want(false);
      },
      acked: () => undefined,
      wantFlows(want) {
        if (want === d.flows.wanted) return;
        d.flows.want(want);
        d.onWantFlows(want);
      },
    },
    bind(l) {
      link = l;
    },
    async start(signal) {
      timer = d.clock.after(flushMs, tick);
      signal.addEventListener('abort', () => {
        timer?.cancel();
        early?.cancel();
      });
    },
  };
}
