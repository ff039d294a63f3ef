// Ports of health checks with real sockets on the loopback.

import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:net';
import { HealthCheck } from '@axoneme/proto';
import { silentLog, systemClock } from '@axoneme/std';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createHealthChecks, parseBind } from '../src/health-checks/checks.ts';

let why: string | undefined;
const made = () => createHealthChecks(systemClock, silentLog, () => why);
let checks = made();
const others: Server[] = [];
afterEach(() => {
  checks.stop();
  for (const s of others.splice(0)) s.close();
  checks = made();
  why = undefined;
});

const listen = (port = 0): Promise<Server> =>
  new Promise((resolve, reject) => {
    const s = createServer();
    others.push(s);
    s.on('error', reject).listen(port, '::', () => resolve(s));
  });
const freePort = async (): Promise<number> => {
  const s = await listen();
  const { port } = s.address() as AddressInfo;
  await new Promise((r) => s.close(r));
  return port;
};
const blobOf = (port: number, localEndpoints: number): Buffer =>
  Buffer.from(HealthCheck.encode({ namespace: 'shop', service: 'web', port, localEndpoints }).finish());
const get = async (port: number, path = '/'): Promise<Response | undefined> =>
  fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
const eventually = async (probe: () => Promise<boolean>): Promise<void> => {
  for (let i = 0; i < 500; i++) {
    if (await probe()) return;
    await new Promise((r) => setTimeout(r, 10));
  }
  throw new TypeError('it never came to that');
};

describe('a Service', () => {
  test('is answered for by count: 200 with backends here, 503 without, the count as weight', async () => {
    const port = await freePort();
    checks.set('health/shop/web', blobOf(port, 2));
    await eventually(async () => (await get(port))?.status === 200);
    const r = (await get(port, '/any?path'))!;
    expect(r.headers.get('x-load-balancing-endpoint-weight')).toBe('2');
    expect(r.headers.get('content-type')).toBe('application/json');
    expect(await r.json()).toEqual({ service: { namespace: 'shop', name: 'web' }, localEndpoints: 2 });
    checks.set('health/shop/web', blobOf(port, 0));
    const none = (await get(port))!;
    expect([none.status, none.headers.get('x-load-balancing-endpoint-weight')]).toEqual([503, '0']);
    expect(await none.json()).toEqual({ service: { namespace: 'shop', name: 'web' }, localEndpoints: 0 });
    checks.set('health/shop/web', undefined);
    expect(await get(port)).toBe(undefined);
  });

  test('two that change ports with each other get them', async () => {
    const [a, b] = [await freePort(), await freePort()];
    checks.set('health/shop/a', blobOf(a, 1));
    checks.set('health/shop/b', blobOf(b, 0));
    await eventually(async () => (await get(a))?.status === 200 && (await get(b))?.status === 503);
    checks.set('health/shop/a', blobOf(b, 1));
    checks.set('health/shop/b', blobOf(a, 0));
    await eventually(async () => (await get(a))?.status === 503 && (await get(b))?.status === 200);
    expect(checks.components()).toEqual([]);
  });

  test('whose port somebody else has is told, and answered for as soon as it is free', async () => {
    const other = await listen();
    const { port } = other.address() as AddressInfo;
    checks.set('health/shop/web', blobOf(port, 1));
    await eventually(async () => checks.components().length > 0);
    expect(checks.components()).toEqual([
      { name: 'service shop/web', state: 'degraded', reason: `health check port ${port} cannot be had on this node: EADDRINUSE` },
    ]);
    other.close();
    await eventually(async () => (await get(port))?.status === 200);
    expect(checks.components()).toEqual([]);
  });
});

test('healthz says whether the node serves, and since when not', async () => {
  const port = await freePort();
  checks.healthz(`127.0.0.1:${port}`);
  await eventually(async () => (await get(port, '/healthz'))?.status === 200);
  const good = (await (await get(port, '/healthz'))!.json()) as { lastUpdated: string; currentTime: string };
  expect(good.lastUpdated).toBe(good.currentTime);
  why = 'waiting for an operator';
  const bad = (await get(port, '/healthz'))!;
  const { lastUpdated, reason } = (await bad.json()) as { lastUpdated: string; reason: string };
  expect([bad.status, lastUpdated, reason]).toEqual([503, good.lastUpdated, 'waiting for an operator']);
  expect((await get(port, '/metrics'))!.status).toBe(404);
  checks.healthz('');
  expect(await get(port, '/healthz')).toBe(undefined);
});

test('addresses to listen on', () => {
  expect(['0.0.0.0:10256', ':10256', '[::1]:1', '10256', '', '1.2.3.4:70000'].map(parseBind)).toEqual([
    { host: '0.0.0.0', port: 10256 },
    { host: '', port: 10256 },
    { host: '::1', port: 1 },
    undefined,
    undefined,
    undefined,
  ]);
});
