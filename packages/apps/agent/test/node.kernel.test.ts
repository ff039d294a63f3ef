import { existsSync, readFileSync } from 'node:fs';
import type { NodeName } from '@axoneme/std';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  ask,
  build,
  count,
  createNode,
  createOperator,
  createPod,
  flood,
  startEcho,
  type TestOperator,
  type TestPod,
  until,
} from './harness.ts';
import { client, server, stranger, workload, world } from './scenario.ts';

const node = createNode();
const pods: TestPod[] = [];
let operator: TestOperator;

beforeAll(async () => {
  build();
  operator = await createOperator(node.gateway);
  node.start();
});
afterAll(async () => {
  operator?.stop();
  for (const p of pods) p.close();
  await node.close();
});

const pod = (name: string): TestPod => {
  const p = createPod('default', name);
  pods.push(p);
  return p;
};

describe('a fresh node', () => {
  test('says no to pods until a commit is applied, then writes the configuration list', async () => {
    await until(() => existsSync(`${node.dir}/agent.sock`), 'the agent listens');
    const status = await node.cni('STATUS', undefined);
    expect(JSON.parse(status.out)).toMatchObject({ code: 50 });
    expect(existsSync(`${node.dir}/net.d/05-axoneme.conflist`)).toBe(false);
    node.writeTrust(operator);
    const ack = await operator.push(node.name, world(node));
    expect(ack.tables.policy).toMatchObject({ entries: 2 });
    await until(() => existsSync(`${node.dir}/net.d/05-axoneme.conflist`), 'the conflist');
    expect(JSON.parse(readFileSync(`${node.dir}/net.d/05-axoneme.conflist`, 'utf8')).plugins[0].type).toBe('axoneme-cni');
    expect(await node.cni('STATUS', undefined)).toEqual({ code: 0, out: '' });
  });

  test('ADD gives addresses, identity and policy; CHECK agrees; a retry gives the same', async () => {
    await operator.push(node.name, {
      'workload/default/client': workload('client', client),
      'workload/default/server': workload('server', server),
      'workload/default/stranger': workload('stranger', stranger),
    });
    const made = [];
    for (const name of ['client', 'server', 'stranger']) {
      const p = pod(name);
      const r = await node.cni('ADD', p);
      expect(r).toMatchObject({ code: 0 });
      made.push(JSON.parse(r.out));
      expect(await node.cni('CHECK', p)).toEqual({ code: 0, out: '' });
    }
    expect(made[0].ips.map((i: { address: string }) => i.address)).toEqual(['10.231.1.2/32', 'fd23:1:1::2/128']);
    expect(JSON.parse((await node.cni('ADD', pods[0])).out)).toEqual(made[0]);
    await until(() => operator.endpoints().get('default/server')?.state === 'ready', 'the report');
    expect(operator.endpoints().get('default/server')).toMatchObject({
      identity: server,
      ipv4: '10.231.1.3',
      interfaceName: made[1].interfaces[0].name,
    });
  });
});

describe('traffic', () => {
  test('only the client reaches the server, from here, over IPv4 and IPv6', async () => {
    const [clientPod, serverPod, strangerPod] = pods as [TestPod, TestPod, TestPod];
    const echo = await startEcho(serverPod);
    for (const address of ['10.231.1.3', 'fd23:1:1::3']) {
      expect(await ask(clientPod, address)).toBe('pong');
      expect(await ask(strangerPod, address)).toBe('timeout');
    }
    expect(() => clientPod.exec('ping', '-c1', '-W1', '10.231.1.3')).toThrow();
    echo.kill();
  });
});

describe('a restarted agent', () => {
  const restarts = Number(process.env.AXA_RESTARTS ?? 5);

  test(`drops no allowed and passes no forbidden packet, ${restarts} times killed`, async () => {
    const [clientPod, serverPod, strangerPod] = pods as [TestPod, TestPod, TestPod];
    const counter = await count(serverPod);
    const floods = await Promise.all(['10.231.1.3', 'fd23:1:1::3'].flatMap((a) => [flood(clientPod, a), flood(strangerPod, a)]));
    const linksBefore = node.exec('ls', '-i', `${node.dir}/bpf/axoneme/links`);
    for (let i = 0; i < restarts; i++) {
      await node.kill();
      const before = node.log().length;
      node.start();
      await until(() => node.log().slice(before).includes('"agent serves"'), 'the agent serves again');
      expect(node.log().slice(before)).not.toMatch(/program attached|rows corrected|created|"drift":\[\{/);
    }
    expect(node.exec('ls', '-i', `${node.dir}/bpf/axoneme/links`)).toBe(linksBefore);
    const sent = await Promise.all(floods.map(async (f) => Number(await f.finish())));
    const got = JSON.parse(await counter.finish());
    expect(got).toEqual({ '10.231.1.2': sent[0], 'fd23:1:1::2': sent[2] });
    expect(sent.every((n) => n > 100)).toBe(true);
  }, 240_000);

  test('holds what it held: the operator sends no artifact again', async () => {
    await until(() => operator.server.hub.link(node.name as NodeName)?.connected, 'the link');
    const sent = operator.server.hub.totals().sent.artifacts;
    await node.kill();
    node.start();
    const acks = operator.acks.length;
    await until(() => operator.acks.length > acks, 'an acknowledgement after the restart');
    expect(operator.server.hub.totals().sent.artifacts).toBe(sent);
    await until(() => operator.reports.filter((r) => r.full).length > 1, 'a full report');
    expect([...operator.endpoints().keys()].sort()).toEqual(['default/client', 'default/server', 'default/stranger']);
  });

  test('enforces without an operator: pods are made under init and corrected later', async () => {
    operator.stop();
    await until(() => node.log().includes('operator link ended'), 'the link is gone');
    const late = pod('late');
    const before = performance.now();
    expect((await node.cni('ADD', late)).code).toBe(0);
    expect(performance.now() - before).toBeLessThan(1000);
    expect(node.log()).toMatch(/"endpoint added".*waiting-for-identity/);
    expect(ask(late, '10.231.1.3')).toBe('timeout');
  });
});
