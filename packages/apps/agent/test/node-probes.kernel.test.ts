// Probes of fleets with a real agent: what the operator writes is asked from the node's own network, results go up, a restart without an operator
// asks on, what has gone is asked no more.
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { Probe, type ProbeReport, Probes } from '@axoneme/proto';
import type { NodeName } from '@axoneme/std';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { ArtifactContent } from '../src/store/artifact-file.ts';
import { build, createNode, createOperator, type TestOperator, until } from './harness.ts';
import { world } from './scenario.ts';

const node = createNode();
const gateway6 = node.address6.replace(/[^:]+$/, (last) => (Number.parseInt(last, 16) - 1).toString(16));
const servers: (Server | HttpServer)[] = [];
let operator: TestOperator;
let status = 200;
/** Source addresses of those who asked, by target. */
const askers = { tcp: [] as string[], http: [] as string[] };

async function listen(server: Server | HttpServer, host: string): Promise<number> {
  servers.push(server);
  await new Promise<void>((r) => server.listen(0, host, r));
  return (server.address() as AddressInfo).port;
}
const probe = (id: string, more: Partial<Probe>): Probe =>
  Probe.fromPartial({ id, intervalMs: 100, timeoutMs: 500, rise: 2, fall: 2, ...more });
const artifact = (blob: Buffer): ArtifactContent => ({ table: 'probes', keys: Buffer.alloc(0), values: Buffer.alloc(0), blob });
const probes = (...list: Probe[]): ArtifactContent => artifact(Buffer.from(Probes.encode({ probes: list }).finish()));
/** What the operator knows by its reports. */
const told = (): Map<string, ProbeReport> => {
  const all = new Map<string, ProbeReport>();
  for (const r of operator.reports) {
    if (r.fullProbes) all.clear();
    for (const p of r.probes) all.set(p.id, p);
  }
  return all;
};

let tcp: Probe;
let http: Probe;
let nobody: Probe;
beforeAll(async () => {
  build();
  operator = await createOperator(node.gateway);
  const one = createServer((s) => {
    // some have gone again before they are looked at
    askers.tcp.push(s.remoteAddress ?? node.address4);
    s.on('error', () => undefined);
  });
  const two = createHttpServer((q, r) => {
    askers.http.push(`${q.socket.remoteAddress} ${q.headers.host} ${q.url}`);
    r.writeHead(status).end();
  });
  tcp = probe('tcp', { address: node.gateway, port: await listen(one, node.gateway), type: 'tcp' });
  const web = { port: await listen(two, gateway6), type: 'http', path: '/ready', host: 'shop.example', codes: [200, 299] };
  http = probe('http', { address: gateway6, ...web });
  nobody = probe('nobody', { address: node.gateway, port: 1, type: 'tcp' });
  node.start();
  node.writeTrust(operator);
  await operator.push(node.name, world(node));
});
afterAll(async () => {
  operator?.stop();
  for (const s of servers) s.close();
  await node.close();
});

test('targets are asked from the node, TCP and HTTP, and the operator hears of it', async () => {
  expect(operator.server.hub.link(node.name as NodeName)?.hello?.features).toContain('probes');
  await operator.push(node.name, { 'lb/probes': probes(tcp, http, nobody) });
  await until(() => ['tcp', 'http', 'nobody'].every((id) => (told().get(id)?.streak ?? 0) >= 2), 'results of all');
  expect(Object.fromEntries([...told()].map(([id, p]) => [id, `${p.ok} ${p.reason}`]))).toEqual({
    http: 'true ',
    nobody: 'false ECONNREFUSED',
    tcp: 'true ',
  });
  // others were seen to serve meanwhile
  await until(() => (told().get('nobody')?.seen ?? 0) >= 2, 'failures that somebody stands beside');
  expect(new Set(askers.tcp)).toEqual(new Set([node.address4]));
  expect(new Set(askers.http)).toEqual(new Set([`${node.address6} shop.example /ready`]));
  status = 500;
  await until(() => told().get('http')?.ok === false, 'the failure');
  expect(told().get('http')).toMatchObject({ reason: 'status 500', seen: expect.any(Number) });
  status = 200;
  await until(() => told().get('http')?.ok === true, 'a good answer again');
});

test('a blob that cannot be right is refused, and what was asked is asked on', async () => {
  const bad = (content: ArtifactContent, why: string): Promise<unknown> => {
    const wanted = operator.set(node.name, { 'lb/probes': content });
    return until(() => operator.nacks.find((n) => n.revision === wanted && n.reason.includes(why)), `refusal: ${why}`);
  };
  await bad(artifact(Buffer.from('nonsense')), 'lb/probes: cannot be decoded');
  await bad(probes(probe('a', { address: 'example.org', port: 80, type: 'tcp' })), 'lb/probes: probe 0: address "example.org"');
  const before = askers.tcp.length;
  await until(() => askers.tcp.length > before + 2, 'more questions');
  await operator.push(node.name, { 'lb/probes': probes(tcp, http) });
  await until(() => operator.reports.at(-1)?.probes.every((p) => p.id !== 'nobody'), 'reports without the third');
});

test('a new agent asks what the old one held, without an operator, and tells the next one all of it', async () => {
  await node.kill();
  const { ca } = operator;
  operator.stop();
  const [before4, before6] = [askers.tcp.length, askers.http.length];
  node.start();
  await until(() => askers.tcp.length > before4 + 2 && askers.http.length > before6 + 2, 'questions');
  operator = await createOperator(node.gateway, { ca, epoch: 2 });
  node.writeTrust(operator);
  await until(() => operator.reports.length > 0, 'a report');
  expect(operator.reports[0]).toMatchObject({ fullProbes: true });
  expect(Object.fromEntries(operator.reports[0]!.probes.map((p) => [p.id, p.ok]))).toEqual({ http: true, tcp: true });
});

test('what has gone is asked no more', async () => {
  await operator.push(node.name, { ...world(node), 'lb/probes': probes(http) });
  const then = askers.tcp.length;
  let at = askers.http.length;
  await until(() => askers.http.length > at + 5, 'questions for the other');
  expect(askers.tcp.length - then).toBeLessThanOrEqual(1);
  await operator.push(node.name, { 'lb/probes': null });
  at = askers.http.length;
  const status = JSON.parse(await statusOf()) as { probes: object };
  expect(status.probes).toEqual({ targets: 0, answered: 0, failing: 0 });
  // four intervals
  await new Promise((r) => setTimeout(r, 400));
  expect(askers.http.length - at).toBeLessThanOrEqual(1);
});

/** As `axoneme` asks. */
async function statusOf(): Promise<string> {
  for await (const line of operator.server.relay(node.name as NodeName, 'status', 1)) return line;
  return '';
}
