// Services of a node with a real agent: rows by commits, pods by CNI, sockets of pods and of the node.
import { findCgroup2 } from '@axoneme/bpf';
import { LbFlag, type LbFrontendValue, packRows, tables } from '@axoneme/datapath';
import { HealthCheck } from '@axoneme/proto';
import type { NodeName } from '@axoneme/std';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { family, IP, PROTO } from '../../../../bpf/tests/names.ts';
import { createMan, type Man } from '../../../../bpf/tests/sockets.ts';
import type { ArtifactContent } from '../src/store/artifact-file.ts';
import { build, createNode, createOperator, createPod, type TestOperator, type TestPod, until } from './harness.ts';
import { blob, client, nodeConfigBlob, stranger, workload, world } from './scenario.ts';

const node = createNode();
const pods: TestPod[] = [];
const men: Man[] = [];
let operator: TestOperator;

const rows = (p: ReturnType<typeof packRows>): ArtifactContent => ({
  table: p.table,
  keys: Buffer.from(p.keys),
  values: Buffer.from(p.values),
  blob: Buffer.alloc(0),
});
/** Slots of sets that begin with this number, one for each family. */
const backends = (set: bigint, addresses: readonly string[], port: number): ArtifactContent =>
  rows(
    packRows(
      'lb_slot',
      ([4, 6] as const).flatMap((f) =>
        addresses
          .filter((a) => family(a) === f)
          .map(
            (a, index) =>
              [
                { set: set * 10n + BigInt(f), index },
                { addr: IP.table(a), port, family: f, flags: 0, backendId: 1 },
              ] as const,
          ),
      ),
    ),
  );
/** Frontends for both protocols; `count` backends each. */
const frontends = (addresses: readonly string[], port: number, set: bigint, count: number, flags: number): ArtifactContent =>
  rows(
    packRows(
      'lb_frontend',
      addresses.flatMap((a) => {
        const id = set * 10n + BigInt(family(a));
        const value: LbFrontendValue = {
          ...{ setOut: id, setIn: id, countOut: count, countIn: count, maglevSize: 0 },
          ...{ serviceId: 9, affinityS: 60, flags },
        };
        return [PROTO.tcp, PROTO.udp].map((proto) => [{ addr: IP.table(a), port, proto, family: family(a) }, value] as const);
      }),
    ),
  );

const vips = ['10.96.0.10', 'fd96::10'];
const every = ['0.0.0.0', '::'];
const one = ['10.231.1.2', 'fd23:1:1::2'];
const two = ['10.231.1.3', 'fd23:1:1::3'];

async function addPod(name: string): Promise<Man> {
  const p = createPod('default', name);
  pods.push(p);
  expect(await node.cni('ADD', p)).toMatchObject({ code: 0 });
  return newMan(p.id);
}
async function newMan(netns: string): Promise<Man> {
  const man = await createMan(`${findCgroup2()}/${node.name}`, netns);
  men.push(man);
  return man;
}

let asker: Man;
let host: Man;
beforeAll(async () => {
  build();
  operator = await createOperator(node.gateway);
  node.start();
  node.writeTrust(operator);
  const names = { 'workload/default/one': workload('one', client), 'workload/default/two': workload('two', client) };
  await operator.push(node.name, { ...world(node), ...names, 'workload/default/asker': workload('asker', stranger) });
  await (await addPod('one')).serve('one', 9000, one);
  await (await addPod('two')).serve('two', 9000, two);
  asker = await addPod('asker');
  host = await newMan(node.name);
});
afterAll(async () => {
  for (const m of men) await m.stop();
  operator?.stop();
  for (const p of pods) p.close();
  await node.close();
});

test('cluster addresses and NodePorts reach pods, from pods and from the node', async () => {
  const flags = LbFlag.reject | LbFlag.affinity;
  await operator.push(node.name, {
    'backends/1': backends(1n, [...one, ...two], 9000),
    'service/default/web': frontends(vips, 80, 1n, 2, flags),
    'service/default/web-node': frontends(every, 30080, 1n, 2, flags | LbFlag.nodePort | LbFlag.external),
  });
  const served = expect.stringMatching(/^(one|two)$/);
  for (const man of [asker, host]) {
    for (const kind of ['tcp', 'udp', 'connected'] as const) {
      for (const vip of vips) expect(await man.act(kind, vip, 80)).toMatchObject({ text: served });
      for (const own of [node.address4, node.address6]) expect(await man.act(kind, own, 30080)).toMatchObject({ text: served });
    }
  }
  for (const loopback of ['127.0.0.1', '::1']) {
    expect(await host.act('tcp', loopback, 30080)).toMatchObject({ text: served });
    expect(await asker.act('tcp', loopback, 30080)).toEqual({ error: 'ECONNREFUSED' });
    expect(await host.act('bindTcp', loopback, 30080)).toEqual({ error: 'EADDRINUSE' });
    expect(await asker.act('bindTcp', loopback, 30080)).toEqual({ text: 'bound' });
  }
});

test('L6-a: a commit that takes a backend away ends the sockets that are connected to it', async () => {
  const open: { id: string; man: Man; vip: string; text: string }[] = [];
  for (const [m, man] of [asker, host].entries()) {
    for (const vip of vips) {
      for (let i = 0; i < 3; i++) {
        const id = `${m} ${vip} ${i}`;
        await man.open(id, vip, 80);
        open.push({ id, man, vip, text: (await man.ask(id)).text ?? '' });
      }
    }
  }
  // by affinity a client has one backend: what is taken away now is what somebody has
  const [gone, stays, name] = open[0]!.text === 'one' ? [one, two, 'two'] : [two, one, 'one'];
  expect(gone).not.toBe(stays);
  await operator.push(node.name, {
    'backends/1': null,
    'backends/2': backends(2n, stays, 9000),
    'service/default/web': frontends(vips, 80, 2n, 1, LbFlag.reject | LbFlag.affinity),
    'service/default/web-node': null,
  });
  const before = performance.now();
  for (const o of open) {
    if (o.text === name) expect(await o.man.ask(o.id)).toEqual({ text: name });
    else await until(async () => (await o.man.ask(o.id)).error, `the end of ${o.id}`);
    expect(await o.man.open(`${o.id} again`, o.vip, 80)).toEqual({ text: 'open' });
    expect(await o.man.ask(`${o.id} again`)).toEqual({ text: name });
  }
  expect(performance.now() - before).toBeLessThan(2000);
  expect(node.log()).toContain('UDP sockets to removed backends ended');
});

test('rows are found by key, those that are there', async () => {
  const { key, value } = tables.lb_frontend;
  const keyOf = (port: number): string =>
    Buffer.from(key.encode({ addr: IP.table(vips[0]!), port, proto: PROTO.tcp, family: 4 })).toString('hex');
  const ask = async (question: object): Promise<Record<string, string>[]> => {
    const out: Record<string, string>[] = [];
    for await (const line of operator.server.relay(node.name as NodeName, `lookup ${JSON.stringify(question)}`, 0))
      out.push(JSON.parse(line));
    return out;
  };
  const before = process.hrtime.bigint();
  const [clock, ...found] = await ask({ table: 'lb_frontend', keys: [keyOf(81), keyOf(80), 'ff'] });
  expect(Number(BigInt(clock!.nowNs!) - before)).toBeGreaterThan(0);
  expect(found.map((r) => [r.key, value.decode(Buffer.from(r.value!, 'hex')).countIn])).toEqual([[keyOf(80), 1]]);
  for (const question of [{ table: 'drops', keys: [] }, { table: 'nothing', keys: [] }, { table: 'lb_slot' }, 1])
    await expect(ask(question as object)).rejects.toThrow('a lookup names a table and its keys');
});

test('health checks are answered on ports of their own, beside the ports of Services, and follow them', async () => {
  const check = (port: number, localEndpoints: number): ArtifactContent =>
    blob('health', HealthCheck.encode({ namespace: 'default', service: 'web', port, localEndpoints }).finish());
  const ask = async (host: string, port: number): Promise<readonly [number, string | null, unknown] | string> => {
    const r = await fetch(`http://${family(host) === 6 ? `[${host}]` : host}:${port}/`).catch((e: Error) =>
      String((e.cause as NodeJS.ErrnoException).code),
    );
    return typeof r === 'string' ? r : [r.status, r.headers.get('x-load-balancing-endpoint-weight'), await r.json()];
  };
  const says = (localEndpoints: number) => ({ service: { namespace: 'default', name: 'web' }, localEndpoints });
  const port = (n: number): ArtifactContent => frontends(every, n, 2n, 1, LbFlag.reject | LbFlag.nodePort | LbFlag.external);
  await operator.push(node.name, { 'health/default/web': check(31_000, 2), 'service/default/web-node': port(30_080) });
  for (const own of [node.address4, node.address6]) expect(await ask(own, 31_000)).toEqual([200, '2', says(2)]);

  await operator.push(node.name, { 'health/default/web': check(31_000, 0) });
  expect(await ask(node.address4, 31_000)).toEqual([503, '0', says(0)]);
  await operator.push(node.name, { 'health/default/web': check(31_001, 1) });
  expect(await until(async () => typeof (await ask(node.address4, 31_001)) !== 'string', 'the other port')).toBe(true);
  expect(await ask(node.address4, 31_000)).toBe('ECONNREFUSED');

  // a program of the node was there first: told, and tried again
  await host.serve('somebody', 31_002, []);
  await operator.push(node.name, { 'health/default/web': check(31_002, 1) });
  const complaint = async (): Promise<string> => {
    for await (const line of operator.server.relay(node.name as NodeName, 'status', 0)) {
      const { components } = JSON.parse(line) as { components: { name: string; reason: string }[] };
      return components.find((c) => c.name === 'service default/web')?.reason ?? '';
    }
    return 'no answer';
  };
  await until(async () => (await complaint()) === 'health check port 31002 cannot be had on this node: EADDRINUSE', 'a complaint');
  await operator.push(node.name, { 'health/default/web': null });
  expect(await complaint()).toBe('');
  expect(await ask(node.address4, 31_001)).toBe('ECONNREFUSED');
});

test('the node says that it serves where it is told to', async () => {
  const at = (healthz: string) => ({
    'node/config': nodeConfigBlob({ name: node.name, addresses: [node.address4, node.address6], healthz }),
  });
  const ask = (host: string): Promise<number | undefined> =>
    fetch(`http://${host}:10256/healthz`).then(
      (r) => r.status,
      () => undefined,
    );
  await operator.push(node.name, at(':10256'));
  for (const host of [node.address4, `[${node.address6}]`]) expect(await until(() => ask(host), `healthz of ${host}`)).toBe(200);
  await operator.push(node.name, at(''));
  expect(await ask(node.address4)).toBe(undefined);
});

test('the last backend goes: refused at once', async () => {
  await operator.push(node.name, { 'backends/2': null, 'service/default/web': frontends(vips, 80, 0n, 0, LbFlag.reject) });
  for (const vip of vips) {
    expect(await asker.act('tcp', vip, 80)).toEqual({ error: 'ECONNREFUSED' });
    expect(await host.act('udp', vip, 80)).toEqual({ error: 'ECONNREFUSED' });
  }
});
