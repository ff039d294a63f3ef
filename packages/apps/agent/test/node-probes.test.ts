// Probes of a node of load balancer fleets: what their artifact may say, what is told to the operator and when, with real servers and the real
// reporter.
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { Probe, type ProbeReport, Probes } from '@axoneme/proto';
import { type Clock, silentLog, systemClock } from '@axoneme/std';
import type { ReportBody } from '@axoneme/stream';
import { createFakeClock } from '@axoneme/testkit';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Ask } from '../src/probe/ask.ts';
import { createNodeProbes, type NodeProbes } from '../src/probe/node-probes.ts';
import { readProbes } from '../src/probe/targets.ts';
import { createReporter, type Reporter } from '../src/report/reporter.ts';
import { until } from './harness.ts';

const probe = (more: Partial<Probe> = {}): Probe =>
  Probe.fromPartial({
    ...{ id: 'a', address: '127.0.0.1', port: 80, type: 'tcp', path: '/', codes: [200, 399] },
    ...{ intervalMs: 60, timeoutMs: 200, rise: 2, fall: 2 },
    ...more,
  });
const blobOf = (...probes: Probe[]): Buffer => Buffer.from(Probes.encode({ probes }).finish());

describe('the artifact', () => {
  test('is read', () => {
    const r = readProbes(blobOf(probe({ type: 'http', host: 'shop', codes: [200, 299, 401, 401] }), probe({ id: 'b', address: '::1' })));
    expect(r.ok && r.value).toEqual([
      {
        id: 'a',
        address: '127.0.0.1',
        port: 80,
        check: {
          ...{ type: 'http', path: '/', host: 'shop', intervalMs: 60, timeoutMs: 200, rise: 2, fall: 2 },
          codes: [
            [200, 299],
            [401, 401],
          ],
        },
      },
      expect.objectContaining({ id: 'b', address: '::1' }),
    ]);
    expect(readProbes(Buffer.alloc(0))).toEqual({ ok: true, value: [] });
  });

  test.each([
    ['probe 0: no id', [probe({ id: '' })]],
    ['probe 1: id "a" twice', [probe(), probe()]],
    ['probe 0: address "shop.example"', [probe({ address: 'shop.example' })]],
    ['probe 0: port 0', [probe({ port: 0 })]],
    ['probe 0: port 70000', [probe({ port: 70_000 })]],
    ['probe 0: type "icmp"', [probe({ type: 'icmp' })]],
    ['probe 0: codes [200]', [probe({ codes: [200] })]],
    ['probe 0: codes []', [probe({ type: 'http', codes: [] })]],
    ['probe 0: interval 0 ms, timeout 200 ms', [probe({ intervalMs: 0 })]],
    ['probe 0: interval 60 ms, timeout 4294967295 ms', [probe({ timeoutMs: 2 ** 32 - 1 })]],
    ['probe 0: rise 0, fall 2', [probe({ rise: 0 })]],
    ['16385 probes, 16384 are allowed', Array.from({ length: 16_385 }, (_, i) => probe({ id: String(i) }))],
  ])('is refused: %s', (why, probes) => {
    const r = readProbes(blobOf(...probes));
    expect(r.ok ? undefined : [r.error.code, r.error.message]).toEqual(['agent/malformed-artifact', `lb/probes: ${why}`]);
  });

  test('is refused when it is something else', () => {
    const r = readProbes(Buffer.from('no artifact'));
    expect(r.ok ? '' : r.error.message).toMatch(/^lb\/probes: cannot be decoded: /);
  });
});

interface Bench {
  readonly probes: NodeProbes;
  readonly reporter: Reporter;
  readonly sent: { readonly atMs: number; readonly body: ReportBody }[];
  readonly told: () => Map<string, ProbeReport>;
  room: boolean;
}
const servers = new Set<Server | HttpServer>();
const life: AbortController[] = [];
const all: NodeProbes[] = [];
afterEach(() => {
  for (const l of life.splice(0)) l.abort();
  for (const p of all.splice(0)) p.stop();
  for (const s of servers) s.close();
  servers.clear();
});

async function listen(server: Server | HttpServer, port = 0): Promise<number> {
  servers.add(server);
  server.on('connection', (s) => s.on('error', () => undefined));
  await new Promise<void>((r) => server.listen(port, '127.0.0.1', r));
  return (server.address() as AddressInfo).port;
}
const silent = (): Server => createServer((s) => void s.resume());

async function bench(clock: Clock = systemClock, ask?: Ask): Promise<Bench> {
  const probes = createNodeProbes({ clock, log: silentLog, ...(ask === undefined ? {} : { ask }) });
  const idle = { wanted: false, want: () => undefined, lost: () => 0, drain: () => [], restore: () => undefined };
  const reporter = createReporter({
    endpoints: { onChange: () => undefined, list: () => [] } as never,
    flows: idle as never,
    counters: { deltas: () => [] },
    probes,
    kernelLost: () => 0,
    onWantFlows: () => undefined,
    clock,
    log: silentLog,
  });
  const b: Bench = {
    probes,
    reporter,
    sent: [],
    told: () => new Map(b.sent.flatMap((s) => s.body.probes.map((p) => [p.id, p] as const))),
    room: true,
  };
  reporter.bind({
    send(body) {
      if (!b.room) return undefined;
      return b.sent.push({ atMs: clock.monotonicMs(), body });
    },
  });
  const signal = new AbortController();
  life.push(signal);
  all.push(probes);
  await reporter.start(signal.signal);
  return b;
}

describe('what the operator hears', () => {
  test('everything once after a new link, then what is new, soon', async () => {
    const server = silent();
    const port = await listen(server);
    const b = await bench();
    b.probes.set(blobOf(probe({ port, intervalMs: 400 }), probe({ id: 'b', port: 1, intervalMs: 400 })));
    await until(() => b.probes.status().answered === 2, 'results');
    expect(b.sent).toEqual([]);
    b.reporter.handlers.linkUp();
    await until(() => b.sent.length > 0, 'the first report');
    const [first] = b.sent;
    expect(first!.body).toMatchObject({ full: true, fullProbes: true });
    expect(first!.body.probes.map((p) => [p.id, p.ok, p.reason])).toEqual([
      ['a', true, ''],
      ['b', false, 'ECONNREFUSED'],
    ]);
    expect(first!.body.probes[0]!.ageMs).toBeLessThan(2_000);
    await until(() => b.told().get('a')?.streak === 2, 'the second good answer');
    await new Promise((r) => server.close(r));
    await until(() => b.told().get('a')?.ok === false, 'the failure');
    expect(b.sent.slice(1).every((s) => !s.body.full && !s.body.fullProbes)).toBe(true);
  });

  test('failures within 50 ms, many at once; what says nothing new now and then, so that it does not grow old', async () => {
    const clock = createFakeClock();
    let good = true;
    const b = await bench(clock, async () => ({ ok: good, reason: good ? '' : 'bad' }));
    b.reporter.handlers.linkUp();
    const ids = Array.from({ length: 20 }, (_, i) => `target ${i}`);
    b.probes.set(blobOf(...ids.map((id) => probe({ id, intervalMs: 1000, timeoutMs: 500 }))));
    const pass = async (ms: number): Promise<void> => {
      for (let i = 0; i < ms; i += 5) await clock.advanceAsync(5);
    };
    await pass(10_000);
    const begin = b.sent.length;
    await pass(10_000);
    // an interval and a timeout
    const of = b.sent.slice(begin).filter((s) => s.body.probes.some((p) => p.id === ids[0]));
    expect([6, 7]).toContain(of.length);
    for (const s of of) for (const p of s.body.probes) expect(p.ageMs).toBeLessThan(600);
    expect(b.told().get(ids[0]!)!.streak).toBeGreaterThan(17);
    good = false;
    const failedAt = clock.monotonicMs();
    await pass(1_100);
    const first = b.sent.find((s) => s.atMs > failedAt && s.body.probes.some((p) => !p.ok))!;
    for (const p of first.body.probes) if (!p.ok) expect(p.ageMs).toBeLessThanOrEqual(50);
    expect([...b.told().values()].every((p) => !p.ok)).toBe(true);
    expect(b.sent.filter((s) => s.atMs > failedAt).length).toBeLessThanOrEqual(1_100 / 20);
  });

  test('the newest of each target when it could not be told for a while', async () => {
    let status = 200;
    const port = await listen(createHttpServer((_q, r) => r.writeHead(status).end()));
    const b = await bench();
    b.reporter.handlers.linkUp();
    b.probes.set(blobOf(probe({ port, type: 'http' })));
    await until(() => b.told().get('a')?.ok === true, 'a good answer');
    b.room = false;
    status = 503;
    await until(() => b.probes.status().failing === 1, 'a bad one');
    status = 204;
    await until(() => b.probes.status().failing === 0, 'a good one');
    status = 500;
    await until(() => b.probes.status().failing === 1, 'a bad one');
    const before = b.sent.length;
    b.room = true;
    await until(() => b.told().get('a')?.ok === false, 'the report');
    expect(b.sent[before]!.body.probes).toEqual([expect.objectContaining({ id: 'a', ok: false, reason: 'status 500' })]);
    // nobody takes notes for a link that is not there
    b.reporter.handlers.linkDown();
    const then = b.sent.length;
    status = 200;
    await until(() => b.probes.status().failing === 0, 'a good one');
    expect(b.sent.length).toBe(then);
    b.reporter.handlers.linkUp();
    await until(() => b.sent.length > then, 'everything');
    expect(b.sent[then]!.body).toMatchObject({ fullProbes: true, probes: [{ id: 'a', ok: true }] });
  });

  test('nothing of what is not asked any more, and nobody asks it', async () => {
    let asked = 0;
    const server = silent();
    server.on('connection', () => {
      asked += 1;
    });
    const port = await listen(server);
    const b = await bench();
    b.reporter.handlers.linkUp();
    b.probes.set(blobOf(probe({ port }), probe({ id: 'b', port: 1 })));
    await until(() => b.told().size === 2, 'reports of both');
    b.probes.set(blobOf(probe({ id: 'b', port: 1 })));
    const then = asked;
    const next = b.sent.length;
    await until(() => (b.told().get('b')?.streak ?? 0) > 6, 'more of the other');
    expect(asked - then).toBeLessThanOrEqual(1);
    expect(b.sent.slice(next).flatMap((s) => s.body.probes.map((p) => p.id))).not.toContain('a');
    b.probes.set(undefined);
    expect(b.probes.status()).toEqual({ targets: 0, answered: 0, failing: 0 });
    // what an older agent has stored and this one cannot read is no end of it
    b.probes.set(Buffer.from('?'));
    expect(b.probes.status().targets).toBe(0);
  });

  test('what cannot be asked as it is written fails in its own words', async () => {
    const port = await listen(createHttpServer((_q, r) => r.end()));
    const b = await bench();
    b.reporter.handlers.linkUp();
    b.probes.set(blobOf(probe({ port, type: 'http', path: '/a b' }), probe({ id: 'b', port, type: 'http', host: 'a\nb' })));
    await until(() => b.told().size === 2, 'reports of both');
    const words = Object.fromEntries([...b.told()].map(([id, p]) => [id, `${p.ok} ${p.reason}`]));
    expect(words).toEqual({ a: 'false ERR_UNESCAPED_CHARACTERS', b: 'false ERR_INVALID_CHAR' });
  });
});
