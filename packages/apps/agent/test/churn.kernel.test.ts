import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { build, createNode, createOperator, createPod, type TestOperator, type TestPod, until } from './harness.ts';
import { client, ipcache, workload, world } from './scenario.ts';

const node = createNode();
const pods: TestPod[] = [];
let operator: TestOperator;

beforeAll(async () => {
  build();
  operator = await createOperator(node.gateway);
  node.writeTrust(operator);
  node.start();
  await operator.push(node.name, world(node));
}, 60_000);
afterAll(async () => {
  operator?.stop();
  for (const p of pods) p.close();
  await node.close();
}, 60_000);

const percentile = (ms: readonly number[], p: number): number => [...ms].sort((a, b) => a - b)[Math.floor((ms.length - 1) * p)] as number;

async function all(command: string): Promise<number[]> {
  return Promise.all(
    pods.map(async (p) => {
      const started = performance.now();
      expect(await node.cni(command, p)).toMatchObject({ code: 0 });
      return performance.now() - started;
    }),
  );
}

describe('100 pods at once', () => {
  test('are made and removed fast, each with its own address', async () => {
    const n = 100;
    for (let i = 0; i < n; i++) pods.push(createPod('default', `p${i}`));
    await operator.push(node.name, Object.fromEntries(pods.map((_, i) => [`workload/default/p${i}`, workload(`p${i}`, client)])));
    const add = await all('ADD');
    await until(() => operator.endpoints().size === n, 'all reports');
    const addresses = [...operator.endpoints().values()].map((e) => e.ipv4);
    expect(new Set(addresses).size).toBe(n);
    expect([...operator.endpoints().values()].every((e) => e.state === 'ready' && e.identity === client)).toBe(true);
    const del = await all('DEL');
    await until(() => operator.endpoints().size === 0, 'all removals');
    expect(node.exec('ip', '-o', 'link')).not.toMatch(/axo[0-9a-f]{11}/);
    const show = (ms: readonly number[]): string => `p50 ${percentile(ms, 0.5).toFixed(0)} ms, p99 ${percentile(ms, 0.99).toFixed(0)} ms`;
    const at = [...node.log().matchAll(/"endpoint added".*"timestamp":"([^"]+)"/g)].map((m) => Date.parse(m[1] as string));
    process.stderr.write(`agent busy with all ADDs ${Math.max(...at) - Math.min(...at)} ms\n`);
    process.stderr.write(`CNI ADD ${show(add)}; DEL ${show(del)}\n`);
    expect(percentile(add, 0.99)).toBeLessThan(3_000);
  }, 60_000);
});

test('30,000 addresses of 300 identities cost little memory and little time', async () => {
  const artifacts = Array.from({ length: 300 }, (_, i) => {
    const rows = Array.from(
      { length: 100 },
      (__, j) => [`10.${100 + (i >> 4)}.${(i & 15) * 16 + (j >> 4)}.${j & 15}`, 2000 + i, '10.0.0.9'] as const,
    );
    return [`ipcache/${2000 + i}`, ipcache(rows)] as const;
  });
  const ack = await operator.push(node.name, Object.fromEntries(artifacts));
  expect(ack.tables.ipcache?.entries).toBe(30_000);
  const one = await operator.push(node.name, { 'ipcache/2000': ipcache([['10.99.0.1', 2000]]) });
  const size = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${node.process?.pid}/status`, 'utf8'))?.[1]) / 1024;
  const rss = await until(() => (size() < 120 ? size() : undefined), `the agent to be small again, it has ${size()} MB`, 10_000);
  process.stderr.write(
    `30,000 rows applied in ${ack.applyUs / 1000} ms, then one artifact in ${one.applyUs / 1000} ms; agent RSS ${rss.toFixed(0)} MB\n`,
  );
  expect(one.applyUs).toBeLessThan(ack.applyUs);
}, 60_000);
