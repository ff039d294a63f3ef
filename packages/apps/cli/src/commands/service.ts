// `axoneme service list|get|explain`: options of the commands, and what an explanation looks like. Called by program.ts.
import { type IpAddr, ipFamily, type PortProtocol, parseIp } from '@axoneme/model';
import { AppError } from '@axoneme/std';
import type { AdminClient } from '@axoneme/stream';
import { type Command, Option } from 'commander';
import { type ConnectOptions, withOperator } from '../connect.ts';
import { json, type Output, table } from '../output.ts';
import { type ExplainQuery, type Explanation, explain } from '../service/explain.ts';
import { serviceGet } from '../service/get.ts';
import { serviceList } from '../service/list.ts';
import { createNodeRows } from '../service/node-rows.ts';
import { parseServiceName, socketText } from '../service/text.ts';
import { optionsWith } from './policy-wait.ts';

interface ExplainOptions {
  readonly node: string;
  readonly client: string;
  readonly to: string;
  readonly protocol: string;
}

const usage = (text: string, what: string): AppError =>
  new AppError({ code: 'cli/usage', message: `"${text}" is no ${what}`, hint: '192.0.2.1:80 or [2001:db8::1]:80' });

/** `192.0.2.1:80`, `[2001:db8::1]:80`, or an address alone. */
export function parseSocket(text: string): { readonly ip: IpAddr; readonly port: number | undefined } {
  const alone = parseIp(text);
  if (alone.ok) return { ip: alone.value, port: undefined };
  const [, v6, v4, digits] = /^(?:\[(.+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const ip = parseIp(v6 ?? v4 ?? '');
  const port = Number(digits);
  if (!ip.ok || port > 65_535) throw usage(text, 'address with port');
  return { ip: ip.value, port };
}

export function readExplainQuery(o: Omit<ExplainOptions, 'node'>): ExplainQuery {
  const [client, to] = [parseSocket(o.client), parseSocket(o.to)];
  if (to.port === undefined) throw usage(o.to, 'address with port');
  if (ipFamily(client.ip) !== ipFamily(to.ip))
    throw new AppError({ code: 'cli/usage', message: `${o.client} and ${o.to} are of different families` });
  return { client: client.ip, clientPort: client.port, to: to.ip, toPort: to.port, protocol: o.protocol.toUpperCase() as PortProtocol };
}

/** More would not help anybody. */
const waysShown = 20;

function conclusion(e: Explanation): string {
  const [way] = e.ways;
  if (e.outcome === 'backend' && way !== undefined) return `backend ${way.backend}: ${way.text}`;
  if (e.outcome === 'by lot') return `one of ${e.ways.length} backends, by lot`;
  if (e.outcome === 'dropped' || e.outcome === 'refused') return `${e.outcome} (drop reason ${e.dropReason})`;
  return e.outcome;
}

export function renderExplanation(q: ExplainQuery, node: string, service: string, e: Explanation): string {
  const client = q.clientPort === undefined ? q.client : socketText(q.client, q.clientPort);
  const title = `${q.protocol} ${client} -> ${socketText(q.to, q.toPort)} on ${node}: ${conclusion(e)}\n`;
  const steps = [...(service === '' ? [] : [['service', service] as const]), ...e.steps];
  const width = Math.max(...steps.map(([what]) => what.length));
  const lines = steps.map(([what, text]) => `  ${what.padEnd(width)}  ${text}\n`).join('');
  const ways = e.ways.slice(0, waysShown).map((w) => [w.backend, w.mode, w.text]);
  const more = e.ways.length > waysShown ? `and ${e.ways.length - waysShown} more\n` : '';
  return `${title}${lines}${ways.length === 0 ? '' : `\n${table(['BACKEND', 'MODE', 'THEN'], ways)}${more}`}`;
}

async function nameOf(client: AdminClient, serviceId: number): Promise<string> {
  if (serviceId === 0) return '';
  for await (const { service: s } of client.listServices({ namespace: '', name: '', node: '', serviceId }))
    if (s !== undefined) return `${s.namespace}/${s.name}`;
  return '';
}

async function serviceExplain(client: AdminClient, o: ExplainOptions, asJson: boolean, out: Output): Promise<void> {
  const q = readExplainQuery(o);
  const e = await explain(createNodeRows(client, o.node), q);
  const service = await nameOf(client, e.serviceId);
  if (!asJson) return out.write(renderExplanation(q, o.node, service, e));
  const steps = e.steps.map(([what, text]) => ({ what, text }));
  out.write(json({ node: o.node, client: o.client, to: o.to, protocol: q.protocol, service, ...e, steps }));
}

type Common = ConnectOptions & { readonly output: string };

const common = (c: Command): Command =>
  c
    .addOption(new Option('-n, --namespace <name>', 'namespace of the Service'))
    .option('--operator-namespace <name>', 'namespace of the operator', 'axoneme-system');

export function addServiceCommands(service: Command, out: Output, optionsOf: (c: Command) => object): void {
  const options = <T>(command: Command) => optionsWith<Common & T>(command, optionsOf);
  common(service.command('list'))
    .description('Services with what they are reached at, their backends by state, and what is wrong with them')
    .action(async (_own: object, command: Command) => {
      const { o, namespace } = options(command);
      await withOperator(o, (client) => serviceList(client, namespace ?? '', o.output === 'json', out));
    });
  common(service.command('get'))
    .description('one Service: frontends, backend sets, backends; with --node as the tables of that node have it')
    .argument('<[namespace/]name>')
    .option('--node <name>', 'what this node is given, and what its tables have', '')
    .action(async (text: string, _own: object, command: Command) => {
      const { o, namespace } = options<{ readonly node: string }>(command);
      const q = { ...parseServiceName(text, namespace ?? 'default'), node: o.node };
      await withOperator(o, (client) => serviceGet(client, q, o.output === 'json', out));
    });
  common(service.command('explain'))
    .description('which backend a connection would get on a node, and why; from the tables of that node')
    .requiredOption('--node <name>', 'the node that the client comes to, or lives on')
    .requiredOption('--client <ip[:port]>', 'who connects')
    .requiredOption('--to <ip:port>', 'what it connects to')
    .addOption(new Option('--protocol <name>', 'of the connection').choices(['tcp', 'udp', 'sctp']).default('tcp'))
    .action(async (_own: object, command: Command) => {
      const { o } = options<ExplainOptions>(command);
      await withOperator(o, (client) => serviceExplain(client, o, o.output === 'json', out));
    });
}
