// 100,000 objects: paged, trimmed, and the event loop stays free.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { silentLog } from '@axoneme/std';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { connectKube, createReflector, type KubeObject, resources } from '../src/index.ts';

const objectsTotal = 100_000;
/** Bytes a pod carries that we do not need. */
const ballast = { managedFields: [{ manager: 'kubelet', fields: 'x'.repeat(1500) }] };
let server: Server;
let url: string;
let limits: number[];

const podText = (i: number): string =>
  JSON.stringify({
    metadata: {
      name: `pod-${i}`,
      namespace: `ns-${i % 500}`,
      uid: `u${i}`,
      resourceVersion: `${i + 1}`,
      labels: { app: `a${i % 100}` },
      ...ballast,
    },
  });

// Pages are made ahead of time: what is measured is the reflector, not this server in the same process.
const pages = new Map<string, Buffer>();
function pageOf(from: number, limit: number): Buffer {
  const id = `${from}/${limit}`;
  const held = pages.get(id);
  if (held !== undefined) return held;
  const to = Math.min(objectsTotal, from + limit);
  const items = Array.from({ length: to - from }, (_, k) => podText(from + k)).join(',');
  const next = to < objectsTotal ? `,"continue":"${to}"` : '';
  const made = Buffer.from(`{"kind":"PodList","metadata":{"resourceVersion":"${objectsTotal}"${next}},"items":[${items}]}`);
  pages.set(id, made);
  return made;
}

beforeAll(async () => {
  limits = [];
  for (let from = 0; from < objectsTotal; from += 500) pageOf(from, 500);
  server = createServer((req, res) => {
    const q = new URL(req.url ?? '/', 'http://x').searchParams;
    res.writeHead(200, { 'content-type': 'application/json' });
    if (q.get('watch') === 'true') {
      res.flushHeaders();
      return;
    }
    limits.push(Number(q.get('limit')));
    res.end(pageOf(Number(q.get('continue') ?? 0), Number(q.get('limit'))));
  });
  await new Promise<void>((r) => server.listen(0, '127.0.0.1', r));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}, 60_000);

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((r) => server.close(r));
});

test('a list of 100,000 pods leaves the loop free and stores only the projection', async () => {
  const text = `clusters: [{name: c, cluster: {server: "${url}"}}]\nusers: [{name: u, user: {}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n`;
  const client = connectKube({ kind: 'text', text });
  const stop = new AbortController();
  const reflector = createReflector<{ readonly labels: unknown }>({
    client,
    resource: resources.pods,
    log: silentLog,
    project: (o: KubeObject) => ({ labels: o.metadata.labels }),
  });
  const blocks: number[] = [];
  // CPU of this thread, not the wall clock: what other processes take from the machine is no block of ours
  const cpuMs = (): number => {
    const u = process.threadCpuUsage();
    return (u.user + u.system) / 1000;
  };
  let last = cpuMs();
  let measuring = true;
  const beat = (): void => {
    const now = cpuMs();
    blocks.push(now - last);
    last = now;
    if (measuring) setImmediate(beat);
  };
  setImmediate(beat);
  const started = performance.now();
  await reflector.start(stop.signal);
  const tookMs = performance.now() - started;
  measuring = false;
  stop.abort();
  client.close();
  blocks.sort((a, b) => b - a);
  console.log(
    `100k objects in ${tookMs.toFixed(0)} ms; longest blocks ${blocks
      .slice(0, 5)
      .map((b) => b.toFixed(1))
      .join(', ')} ms; pages ${limits.length}`,
  );
  expect(reflector.store.size).toBe(objectsTotal);
  expect(reflector.store.get('ns-1/pod-1')).toEqual({ labels: { app: 'a1' } });
  // the few longest are warm-up and garbage collection
  expect(blocks[20]).toBeLessThan(60);
  expect(blocks[0]).toBeLessThan(250);
  expect(Math.max(...limits)).toBe(500);
}, 60_000);
