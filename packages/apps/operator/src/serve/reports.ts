// Takes agents' reports: endpoints become rows of the world, samples go to the flow log, results of probes to the judge of fleets. Called by the node server.
import type { EndpointReport, ReportRequest } from '@axoneme/proto';
import type { FleetJudge } from '../leader/fleet-judge.ts';
import type { EndpointRow } from '../world/rows.ts';
import type { World } from '../world/world.ts';
import type { FlowLog } from './flows.ts';

const endpointKey = (node: string, e: Pick<EndpointReport, 'namespace' | 'pod' | 'podUid'>): string =>
  `${node}|${e.namespace}/${e.pod}|${e.podUid}`;

function rowOf(node: string, e: EndpointReport): EndpointRow {
  return {
    namespace: e.namespace,
    pod: e.pod,
    uid: e.podUid,
    node,
    endpointId: e.endpointId,
    identity: e.identity,
    addresses: [e.ipv4, e.ipv6].filter((a) => a !== ''),
    state: e.state,
  };
}

const same = (a: EndpointRow, b: EndpointRow): boolean =>
  a.endpointId === b.endpointId && a.identity === b.identity && a.state === b.state && a.addresses.join() === b.addresses.join();

/** Applies one report; a full one also removes what it does not name. */
export function createReportHandler(
  world: World,
  flows: FlowLog,
  judge: Pick<FleetJudge, 'report'>,
): (node: string, report: ReportRequest) => void {
  const take = (node: string, e: EndpointReport): string => {
    const key = endpointKey(node, e);
    const held = world.tables.endpoints.get(key);
    if (e.deleted) world.remove('endpoints', key);
    else {
      const row = rowOf(node, e);
      if (held === undefined || !same(held, row)) world.set('endpoints', key, row);
    }
    return key;
  };
  return (node, report) => {
    const named = new Set(report.endpoints.map((e) => take(node, e)));
    if (report.full) {
      for (const [key, row] of world.tables.endpoints) if (row.node === node && !named.has(key)) world.remove('endpoints', key);
    }
    if (report.flows.length > 0) flows.add(node, report.flows);
    judge.report(node, report.probes, report.fullProbes);
  };
}
