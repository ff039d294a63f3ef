// Probes against real servers: what counts as serving, how results add up, that nothing of a probe lives on.
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { systemClock } from '@axoneme/std';
import { afterEach, describe, expect, test } from '@jest/globals';
import { ask, type ProbeSpec } from '../src/probe/ask.ts';
import { createProber, type Prober } from '../src/probe/prober.ts';
import { until } from './harness.ts';

const servers = new Set<Server | HttpServer>();
const probers: Prober[] = [];
const open = new Set<Socket>();
afterEach(() => {
  for (const p of probers.splice(0)) p.stop();
  for (const s of open) s.destroy();
  for (const s of servers) s.close();
  servers.clear();
});

async function listen(server: Server | HttpServer, host: string): Promise<number> {
  servers.add(server);
  server.on('connection', (s: Socket) => {
    open.add(s);
    s.on('error', () => undefined);
    s.once('close', () => open.delete(s));
  });
  await new Promise<void>((r) => server.listen(0, host, r));
  return (server.address() as AddressInfo).port;
}
const silent = (): Server => createServer((s) => void s.resume());
const web = (status: (path: string, host: string) => number): HttpServer =>
  createHttpServer((q, r) => r.writeHead(status(q.url ?? '', q.headers.host ?? '')).end('x'.repeat(100_000)));

const target = (port: number, check: Partial<ProbeSpec['check']> = {}, address = '127.0.0.1'): ProbeSpec => ({
  id: `${address} ${port}`,
  address,
  port,
  check: {
    ...{ type: 'tcp', path: '/', host: '', codes: [[200, 399]], intervalMs: 100, timeoutMs: 400, rise: 2, fall: 2 },
    ...check,
  },
});
const never = new AbortController().signal;
const once = (spec: ProbeSpec) => ask(spec, never);

describe('one question', () => {
  test.each(['127.0.0.1', '::1'])('tcp to %s: who accepts serves, who refuses does not', async (host) => {
    const server = silent();
    const port = await listen(server, host);
    expect(await once(target(port, {}, host))).toEqual({ ok: true, reason: '' });
    await until(() => open.size === 0, 'the end of the connection');
    await new Promise((r) => server.close(r));
    expect(await once(target(port, {}, host))).toEqual({ ok: false, reason: 'ECONNREFUSED' });
  });

  test('http: the status decides, path and host are sent, the body is not waited for', async () => {
    const seen: string[] = [];
    const port = await listen(
      web((path, host) => {
        seen.push(`${host} ${path}`);
        return path === '/ready' ? 204 : 503;
      }),
      '127.0.0.1',
    );
    expect(await once(target(port, { type: 'http', path: '/ready', host: 'shop.example' }))).toEqual({ ok: true, reason: '' });
    expect(await once(target(port, { type: 'http', path: '/' }))).toEqual({ ok: false, reason: 'status 503' });
    expect(await once(target(port, { type: 'http', codes: [[500, 599]] }))).toEqual({ ok: true, reason: '' });
    expect(seen).toEqual(['shop.example /ready', `127.0.0.1:${port} /`, `127.0.0.1:${port} /`]);
    await until(() => open.size === 0, 'the end of the connections');
  });

  test('who says nothing is given up in time', async () => {
    const port = await listen(silent(), '127.0.0.1');
    expect(await once(target(port, { type: 'http', timeoutMs: 50 }))).toEqual({ ok: false, reason: 'no answer within 50 ms' });
    await until(() => open.size === 0, 'the end of the connection');
  });

  test('who talks something else does not serve', async () => {
    const port = await listen(
      createServer((s) => s.end('SSH-2.0-x\r\n')),
      '127.0.0.1',
    );
    expect((await once(target(port, { type: 'http' }))).ok).toBe(false);
  });
});

describe('again and again', () => {
  const start = (specs: readonly ProbeSpec[], more: Partial<Parameters<typeof createProber>[0]> = {}): Prober => {
    const prober = createProber({ clock: systemClock, onNews: () => undefined, ...more });
    probers.push(prober);
    prober.set(specs);
    return prober;
  };

  test('results that say the same add up; a change begins anew and is told', async () => {
    let status = 200;
    const port = await listen(
      web(() => status),
      '127.0.0.1',
    );
    const news: string[] = [];
    const spec = target(port, { type: 'http' });
    const prober = start([spec], { onNews: (id) => void news.push(id) });
    await until(() => (prober.results().get(spec.id)?.streak ?? 0) >= 3, 'three good results');
    expect(news).toEqual([spec.id, spec.id]);
    status = 500;
    await until(() => prober.results().get(spec.id)?.ok === false, 'a bad result');
    expect(prober.results().get(spec.id)).toMatchObject({ reason: 'status 500' });
    expect(news.length).toBeGreaterThanOrEqual(3);
  });

  test('when one fails others are asked at once', async () => {
    const good = target(await listen(silent(), '127.0.0.1'), { intervalMs: 60_000, rise: 1 });
    const bad = target(1, { intervalMs: 150 });
    const prober = start([good]);
    await until(() => prober.results().get(good.id)?.streak === 1, 'a good result, the next one in a minute');
    prober.set([good, bad]);
    await until(() => (prober.results().get(bad.id)?.streak ?? 0) > 2, 'failures');
    expect(prober.results().get(good.id)?.streak).toBeGreaterThan(1);
    expect(prober.results().get(bad.id)?.seen).toBeGreaterThanOrEqual(2);
    prober.set([bad]);
    await until(() => prober.results().get(bad.id)?.seen === 0, 'failures that nobody stands beside');
  });

  test('what is not asked any more is forgotten; what still is keeps its results', async () => {
    const [a, b] = [target(await listen(silent(), '127.0.0.1')), target(await listen(silent(), '127.0.0.1'))];
    const prober = start([a, b]);
    await until(() => prober.results().size === 2, 'results of both');
    prober.set([b]);
    expect([...prober.results().keys()]).toEqual([b.id]);
  });

  test('no more conversations at once than are allowed', async () => {
    let most = 0;
    let now = 0;
    const release: (() => void)[] = [];
    const specs = Array.from({ length: 50 }, (_, i) => target(i + 1));
    const prober = start(specs, {
      askingMax: 4,
      ask: () =>
        new Promise((r) => {
          now += 1;
          most = Math.max(most, now);
          release.push(() => {
            now -= 1;
            r({ ok: true, reason: '' });
          });
        }),
    });
    await until(() => prober.load().asking === 4 && prober.load().waiting >= 40, 'a queue');
    await until(() => {
      release.splice(0).forEach((go) => {
        go();
      });
      return prober.results().size === 50;
    }, 'an answer of everybody');
    expect(most).toBe(4);
  });

  test('stop ends what is under way', async () => {
    const port = await listen(silent(), '127.0.0.1');
    const prober = start([target(port, { type: 'http', timeoutMs: 30_000, intervalMs: 60_000 })]);
    await until(() => open.size === 1, 'a conversation');
    prober.stop();
    await until(() => open.size === 0, 'its end');
    expect(prober.results().size).toBe(0);
  });
});
