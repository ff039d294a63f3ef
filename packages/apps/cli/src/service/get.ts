// `axoneme service get`: one Service with its frontends, sets and backends; with `--node` as that node's tables have it.
import type { ServiceFrontend, ServiceState } from '@axoneme/proto';
import { AppError } from '@axoneme/std';
import type { AdminClient } from '@axoneme/stream';
import { json, type Output, table } from '../output.ts';
import { createNodeRows } from './node-rows.ts';
import { type NodeSet, type NodeView, readNodeView } from './node-view.ts';
import { flagTexts, frontendText, socketText, stateTexts } from './text.ts';

export interface GetQuery {
  readonly namespace: string;
  readonly name: string;
  /** Empty: what nodes are given where nothing is special. */
  readonly node: string;
}

const set = (id: string, count: number, draining: number): string =>
  id === '' ? 'none' : `${id} (${count}${draining === 0 ? '' : ` + ${draining} draining`})`;

function frontendRow(f: ServiceFrontend): (string | number)[] {
  return [
    frontendText(f),
    f.kind,
    set(f.setOut, f.countOut, f.drainingOut),
    set(f.setIn, f.countIn, f.drainingIn),
    f.maglevSize === 0 ? 'random' : `maglev ${f.maglevSize}`,
    f.affinitySeconds === 0 ? '' : `${f.affinitySeconds} s`,
    flagTexts(f.flags).join(', '),
  ];
}

function head(s: ServiceState): string {
  const policy = (local: boolean): string => (local ? 'Local' : 'Cluster');
  const lines = [
    `Service:   ${s.namespace}/${s.name} (${s.type})`,
    `Policies:  external ${policy(s.externalLocal)}, internal ${policy(s.internalLocal)}`,
    `Backends:  ${stateTexts(s.states) || 'none'}`,
    ...(s.healthCheckPort === 0 ? [] : [`Health:    port ${s.healthCheckPort} of every node`]),
    ...(s.differs ? ['Nodes:     some are given something else, see --node'] : []),
    ...s.remarks.map((r) => `Remark:    ${r}`),
  ];
  return `${lines.join('\n')}\n`;
}

export function renderService(s: ServiceState): string {
  const frontends = table(['FRONTEND', 'KIND', 'SET OUT', 'SET IN', 'CHOICE', 'AFFINITY', 'FLAGS'], s.frontends.map(frontendRow));
  const backends = table(
    ['BACKEND', 'PROTOCOL', 'PORT', 'STATE', 'WEIGHT', 'NODE', 'ZONE', 'POD'],
    s.backends.map((b) => [socketText(b.address, b.port), b.protocol, b.portName, b.state, b.weight, b.node, b.zone, b.pod]),
  );
  return `${head(s)}\n${frontends}\n${backends}`;
}

function setBlock(s: NodeSet): string {
  const share = (i: number): string => {
    if (i >= s.count) return 'draining';
    return s.maglev === undefined ? 'by lot' : `${s.maglev.entries[i]} of ${s.maglev.size} entries`;
  };
  const rows = s.slots.map((text, i) => [i, text, share(i)]);
  const wrong =
    s.maglev !== undefined && s.maglev.missingChunks > 0 ? ` (${s.maglev.missingChunks} parts of the Maglev table are missing)` : '';
  return `Set ${s.set}${wrong}\n${table(['SLOT', 'BACKEND', 'SHARE'], rows)}`;
}

export function renderNodeView(v: NodeView): string {
  const frontends = table(
    ['FRONTEND', `IN THE TABLES OF ${v.node}`],
    v.frontends.map((f) => [f.frontend, f.state]),
  );
  return [frontends, ...v.sets.map(setBlock)].join('\n');
}

export async function findService(client: AdminClient, q: GetQuery): Promise<ServiceState> {
  for await (const { service } of client.listServices({ ...q, serviceId: 0 })) if (service !== undefined) return service;
  throw new AppError({ code: 'cli/not-found', message: `there is no Service ${q.namespace}/${q.name}` });
}

export async function serviceGet(client: AdminClient, q: GetQuery, asJson: boolean, out: Output): Promise<void> {
  const service = await findService(client, q);
  const view = q.node === '' ? undefined : await readNodeView(createNodeRows(client, q.node), q.node, service);
  if (asJson) out.write(json(view === undefined ? service : { ...service, onNode: view }));
  else out.write(`${renderService(service)}${view === undefined ? '' : `\n${renderNodeView(view)}`}`);
}
