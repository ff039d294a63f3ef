import { Writable } from 'node:stream';
import { AppError, type Health, silentLog } from '@axoneme/std';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createHealthRegistry, createLog, createMetrics, createTelemetryServer, type LogConfig } from '../src/index.ts';

function capture(config: Partial<LogConfig> = {}): { log: ReturnType<typeof createLog>; lines: string[] } {
  const lines: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(...chunk.toString().trimEnd().split('\n'));
      done();
    },
  });
  return { log: createLog({ app: 'test', stream, ...config }), lines };
}

describe('log', () => {
  test('one JSON line with fields, children inherit', () => {
    const { log, lines } = capture();
    log.child({ node: 'a' }).info('commit applied', { revision: 7, message: 'field', level: 'field' });
    log.debug('not shown');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      level: 'info',
      message: 'commit applied',
      app: 'test',
      node: 'a',
      revision: 7,
      text: 'field',
      grade: 'field',
    });
  });

  test('secrets never reach the line', () => {
    const { log, lines } = capture();
    log.warn('x', {
      token: 'abc',
      nested: { keyPem: 'k', note: 'Authorization: Bearer abc.def' },
      pem: '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----',
      jwt: 'got eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln',
      env: new Map([['REDIS_PASSWORD', 'hunter2']]),
    });
    expect(lines.join('')).not.toMatch(/abc|AAAA|eyJ|hunter2|"k"/);
    expect(lines.join('')).toContain('[redacted]');
  });

  test('errors keep code, hint and cause; bytes are hex; cycles end', () => {
    const { log, lines } = capture();
    const loop: Record<string, unknown> = {};
    loop.self = loop;
    const cause = Object.assign(new TypeError('low'), { code: 'EIO' });
    log.error('failed', {
      error: new AppError({ code: 'a/b', message: 'high', hint: 'do', cause }),
      bytes: Buffer.from([1, 255]),
      big: 5n,
      loop,
    });
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      error: { code: 'a/b', message: 'high', hint: 'do', cause: { code: 'EIO', message: 'low' } },
      bytes: '01ff',
      big: '5',
    });
  });

  test('pretty is one readable line', () => {
    const { log, lines } = capture({ format: 'pretty', level: 'debug' });
    log.debug('hello', { a: 1, b: 'two' });
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} DEBUG hello {2}app=test a=1 b=two$/);
  });
});

describe('metrics', () => {
  test('counters, gauges, histograms and observed values share one text', async () => {
    const metrics = createMetrics();
    metrics.counter({ name: 'bytes_total', help: 'h', labels: ['node'] }).add(5, { node: 'a' });
    const gauge = metrics.gauge({ name: 'age_ms', help: 'h', labels: ['node'] });
    gauge.set(3, { node: 'a' });
    gauge.set(4, { node: 'b' });
    gauge.remove({ node: 'b' });
    metrics.histogram({ name: 'apply_ms', help: 'h', buckets: [1, 10] }).observe(4);
    metrics.observed({ name: 'nodes', help: 'h', labels: ['state'] }, () => [[{ state: 'up' }, 2]]);
    const text = await metrics.text();
    expect(text).toContain('axoneme_bytes_total{node="a"} 5');
    expect(text).toContain('axoneme_age_ms{node="a"} 3');
    expect(text).not.toContain('axoneme_age_ms{node="b"}');
    expect(text).toContain('axoneme_apply_ms_bucket{le="10"} 1');
    expect(text).toContain('axoneme_nodes{state="up"} 2');
    expect(() => metrics.gauge({ name: 'age_ms', help: 'h' })).toThrow(/registered twice/);
  });
});

describe('probes over HTTP', () => {
  const stop = new AbortController();
  afterEach(() => stop.abort());

  test('degraded is alive, stopped is not, a closed gate is only unready', async () => {
    const health = createHealthRegistry();
    let state: Health = { state: 'degraded', reason: 'redis is away' };
    let reason: string | undefined = 'no commit yet';
    health.register({ name: 'kvstore', health: () => state });
    health.gate({ name: 'first-commit', closedBecause: () => reason });
    const server = createTelemetryServer({ health, metrics: createMetrics(), log: silentLog }, { host: '127.0.0.1', port: 0 });
    await server.start(stop.signal);
    const get = async (path: string): Promise<[number, string]> => {
      const r = await fetch(`http://127.0.0.1:${server.port()}${path}`);
      return [r.status, await r.text()];
    };
    expect(await get('/healthz')).toEqual([200, '[~] kvstore degraded: redis is away\n']);
    expect((await get('/readyz'))[0]).toBe(503);
    reason = undefined;
    expect((await get('/readyz'))[0]).toBe(200);
    state = { state: 'stopped', reason: 'gone' };
    expect((await get('/healthz'))[0]).toBe(503);
    expect((await get('/metrics'))[0]).toBe(200);
    expect((await get('/else'))[0]).toBe(404);
    const second = createTelemetryServer({ health, metrics: createMetrics(), log: silentLog }, { host: '127.0.0.1', port: server.port() });
    await expect(second.start(stop.signal)).rejects.toMatchObject({ code: 'telemetry/listen' });
  });
});
