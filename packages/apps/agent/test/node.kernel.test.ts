import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { build, createNode, createOperator, createPod, type TestOperator, type TestPod, until } from './harness.ts';
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
    expect(operator.endpoints().get('default/server')).toMatchObject({ identity: server, ipv4: '10.231.1.3', interfaceName: made[1].interfaces[0].name });
  });
});
