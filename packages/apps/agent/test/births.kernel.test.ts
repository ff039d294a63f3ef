// P8-a with nothing but an agent: thousands of pods whose very first packets meet the right verdict, on addresses and interfaces that
// others had a moment ago. AXONEME_STARTS sets how many (10000 for a soak).
import { fileURLToPath } from 'node:url';
import { packRows, SubjectFlag } from '@axoneme/datapath';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { build, createNode, createOperator, createPod, type TestOperator, type TestPod, until } from './harness.ts';
import { client, server, serverPort, workload, world } from './scenario.ts';

const tools = fileURLToPath(new URL('../../../../e2e/native/build/', import.meta.url));
const STARTS = Number(process.env.AXONEME_STARTS ?? 300);
const AT_ONCE = 20;
const GC_ROUNDS = 60;
/** Known before they start, as the operator makes them when pods are scheduled. */
const NAMES = AT_ONCE * 4;
/** An identity whose subject admits nobody. */
const closed = 1010;

const node = createNode();
const servers: TestPod[] = [];
let operator: TestOperator;
let allowed: readonly string[];
let forbidden: readonly string[];

const closedSubject = (identity: number) => {
  const p = packRows('subject', [
    [
      { identity, layer: 0 },
      { handle: 0x55n, denyRule: [1, 0], peerMask: [0, 0], anyMask: [0, 0], flags: SubjectFlag.denyIngress },
    ],
  ]);
  return { table: p.table, keys: Buffer.from(p.keys), values: Buffer.from(p.values), blob: Buffer.alloc(0) };
};

const exitCode = (pod: TestPod, ...argv: string[]): Promise<number> =>
  new Promise((resolve) => void pod.spawn(...argv).once('exit', (code) => resolve(code ?? -1)));

async function serverPod(name: string): Promise<readonly string[]> {
  const pod = createPod('default', name);
  servers.push(pod);
  const { code, out } = await node.cni('ADD', pod);
  expect({ code, out }).toMatchObject({ code: 0 });
  pod.spawn(`${tools}matrix`, 'serve', `t${serverPort}`, `u${serverPort}`);
  const { ips } = JSON.parse(out) as { ips: { address: string }[] };
  return ips.map((i) => i.address.split('/')[0]!).sort((a, b) => Number(a.includes(':')) - Number(b.includes(':')));
}

beforeAll(async () => {
  build();
  operator = await createOperator(node.gateway);
  node.writeTrust(operator);
  node.start();
  await operator.push(node.name, {
    ...world(node),
    [`subject/${closed}`]: closedSubject(closed),
    'workload/default/open': workload('open', server),
    'workload/default/closed': workload('closed', closed),
    ...Object.fromEntries(Array.from({ length: NAMES }, (_, i) => [`workload/default/born-${i}`, workload(`born-${i}`, client)])),
  });
  allowed = await serverPod('open');
  forbidden = await serverPod('closed');
  const asker = createPod('default', 'born-0');
  servers.push(asker);
  expect((await node.cni('ADD', asker)).code).toBe(0);
  await until(
    async () => (await exitCode(asker, `${tools}first`, String(serverPort), ...allowed, ...forbidden)) === 0,
    'the servers answer',
  );
  expect((await node.cni('DEL', asker)).code).toBe(0);
}, 60_000);

afterAll(async () => {
  operator?.stop();
  for (const p of servers) p.close();
  await node.close();
}, 60_000);

describe('the first packets of a pod', () => {
  test(
    `P8-a: ${STARTS} starts: 0 forbidden packets pass, 0 allowed packets drop`,
    async () => {
      const wrong: string[] = [];
      const started = performance.now();
      let next = 0;
      const worker = async (w: number): Promise<void> => {
        for (let turn = 0; next < STARTS; turn++) {
          const number = next++;
          // names come back, as those of StatefulSets do
          const pod = createPod('default', `born-${w * 4 + (turn % 4)}`, `uid-born-${w * 4 + (turn % 4)}`);
          try {
            const added = await node.cni('ADD', pod);
            const code = added.code === 0 ? await exitCode(pod, `${tools}first`, String(serverPort), ...allowed, ...forbidden) : -1;
            if (code !== 0) wrong.push(`start ${number}: ADD ${added.code} ${added.code === 0 ? '' : added.out}, first packets ${code}`);
            await node.cni('DEL', pod);
          } finally {
            pod.close();
          }
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, (_, w) => worker(w)));
      const seconds = (performance.now() - started) / 1000;
      process.stderr.write(`${STARTS} pods started in ${seconds.toFixed(1)} s, ${wrong.length} of them met a wrong verdict\n`);
      expect(wrong).toEqual([]);
    },
    60_000 + STARTS * 200,
  );

  // kubelets ask what is alive and say it a moment later, while pods come
  test('a pod that is being added is not taken away by a GC that does not know of it', async () => {
    const alive = servers.map((s) => ({ containerID: s.id, ifname: 'eth0' }));
    const dead: string[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < GC_ROUNDS) {
        const number = next++;
        const pod = createPod('default', `born-${number % NAMES}`);
        try {
          const adding = node.cni('ADD', pod);
          await new Promise((r) => setTimeout(r, (number * 7) % 60));
          const [added] = await Promise.all([adding, node.cni('GC', undefined, { 'cni.dev/valid-attachments': alive })]);
          const { out } = await node.cni('CHECK', pod);
          if (added.code === 0 && out !== '') dead.push(`round ${number}: ${out}`);
          await node.cni('DEL', pod);
        } finally {
          pod.close();
        }
      }
    };
    await Promise.all([worker(), worker(), worker()]);
    expect(dead).toEqual([]);
  });
});
