import { existsSync, readFileSync } from 'node:fs';
import type { NodeName } from '@axoneme/std';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import {
  ask,
  build,
  count,
  createNode,
  createOperator,
  createPod,
  flood,
  startEcho,
  stopTraffic,
  type TestOperator,
  type TestPod,
  until,
} from './harness.ts';
import { client, denyRuleId, nodeConfigBlob, server, serverPolicy, stranger, workload, world } from './scenario.ts';

const node = createNode();
const pods: TestPod[] = [];
let operator: TestOperator;
const operators: TestOperator[] = [];
/** Stopped at the end, also when a test fails before it does so. */
const startOperator = async (
  ...options: Parameters<typeof createOperator> extends [string, ...infer R] ? R : never
): Promise<TestOperator> => {
  const o = await createOperator(node.gateway, ...options);
  operators.push(o);
  return o;
};

beforeAll(async () => {
  build();
  operator = await startOperator();
  node.start();
});
afterEach(stopTraffic);
afterAll(async () => {
  for (const o of operators) o.stop();
  for (const p of pods) p.close();
  await node.close();
});

const named = {
  'workload/default/client': workload('client', client),
  'workload/default/server': workload('server', server),
  'workload/default/stranger': workload('stranger', stranger),
};
const sizes = '--map-sizes=flow4=16384,flow6=16384,lb_sock=8192,events=1048576,policy=1024,subject=1024,endpoint=1024,endpoint_if=1024';
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
    await operator.push(node.name, named);
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
      expect(ask(clientPod, address)).toBe('pong');
      expect(ask(strangerPod, address)).toBe('timeout');
    }
    expect(() => clientPod.exec('ping', '-c1', '-W1', '10.231.1.3')).toThrow();
    // masqueraded: the gateway knows no way back to pod addresses
    expect(clientPod.exec('ping', '-c1', '-W1', node.gateway)).toContain('1 received');
    echo.kill();
  });

  test('a pod is audited, and the whole node, from one commit to the next', async () => {
    const [clientPod, serverPod, strangerPod] = pods as [TestPod, TestPod, TestPod];
    const echo = await startEcho(serverPod);
    const both = (expected: string): void => {
      for (const address of ['10.231.1.3', 'fd23:1:1::3']) expect(ask(strangerPod, address)).toBe(expected);
    };
    const push = (audit: boolean) => operator.push(node.name, { 'workload/default/server': workload('server', server, undefined, audit) });
    await push(true);
    both('pong');
    await push(false);
    both('timeout');
    const config = (policyAudit: boolean) =>
      operator.push(node.name, {
        'node/config': nodeConfigBlob({ name: node.name, addresses: [node.address4, node.address6], policyAudit }),
      });
    await config(true);
    both('pong');
    expect(ask(clientPod, '10.231.1.3')).toBe('pong');
    await config(false);
    both('timeout');
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

  test('with other table sizes fills new tables, then swaps programs: still nothing lost, nothing passed', async () => {
    const [clientPod, serverPod, strangerPod] = pods as [TestPod, TestPod, TestPod];
    const counter = await count(serverPod);
    const floods = await Promise.all(['10.231.1.3', 'fd23:1:1::3'].flatMap((a) => [flood(clientPod, a), flood(strangerPod, a)]));
    await node.kill();
    const before = node.log().length;
    node.start(sizes);
    await until(() => node.log().slice(before).includes('"agent serves"'), 'the agent serves again');
    const log = node.log().slice(before);
    expect(JSON.parse(/"replacedMaps":(\[.*?\])/.exec(log)?.[1] ?? '').sort()).toEqual(['endpoint', 'endpoint_if', 'policy', 'subject']);
    expect(log.match(/"outcome":"swapped"/g)?.length).toBeGreaterThan(4);
    expect(node.exec('ls', `${node.dir}/bpf/axoneme/progs`).trim().split('\n')).toHaveLength(1);
    const sent = await Promise.all(floods.map(async (f) => Number(await f.finish())));
    expect(JSON.parse(await counter.finish())).toEqual({ '10.231.1.2': sent[0], 'fd23:1:1::2': sent[2] });
  });

  test('holds what it held: the operator sends no artifact again', async () => {
    await until(() => operator.server.hub.link(node.name as NodeName)?.connected, 'the link');
    const sent = operator.server.hub.totals().sent.artifacts;
    await node.kill();
    node.start(sizes, '--identity-wait-ms=20000');
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
    // it does not wait for an identity that cannot come
    expect(performance.now() - before).toBeLessThan(10_000);
    expect(node.log()).toMatch(/"endpoint added".*waiting-for-identity/);
    expect(ask(late, '10.231.1.3')).toBe('timeout');
  });

  test('obeys a new leader with a new CA, corrects the identity, refuses the old epoch', async () => {
    const allowed = { 'workload/default/late': workload('late', client) };
    const next = await startOperator({ epoch: 2 });
    next.set(node.name, { ...world(node), ...named, ...allowed });
    node.writeTrust(next);
    await until(() => next.acks.length > 0, 'the commit of the new leader');
    expect(ask(pods[3] as TestPod, '10.231.1.3')).toBe('timeout');
    const echo = await startEcho(pods[1] as TestPod);
    await until(() => ask(pods[3] as TestPod, '10.231.1.3') === 'pong', 'the new identity');
    await until(() => next.endpoints().get('default/late')?.identity === client, 'the report');

    const old = await startOperator({ epoch: 1, ca: next.ca });
    old.set(node.name, { ...world(node) });
    next.stop();
    node.writeTrust(old);
    const nack = await until(() => old.nacks[0], 'the refusal');
    expect(nack).toMatchObject({ code: 'agent/stale-epoch' });
    expect(ask(pods[3] as TestPod, '10.231.1.3')).toBe('pong');
    echo.kill();
    old.stop();
    operator = await startOperator({ epoch: 3, ca: next.ca });
    operator.set(node.name, { ...world(node), ...named, ...allowed });
    node.writeTrust(operator);
    await until(() => operator.acks.length > 0, 'the commit of the last leader');
  });
});

describe('a policy that changes', () => {
  test('reaches live flows in both directions of change', async () => {
    const [, serverPod, strangerPod] = pods as [TestPod, TestPod, TestPod];
    const counter = await count(serverPod);
    const sending = await flood(strangerPod, '10.231.1.3');
    const open = { 'policy/1122334455667788': serverPolicy([client, stranger]) };
    await operator.push(node.name, open);
    await until(() => counter.said('100 from 10.231.1.4'), 'datagrams of the live flow');
    const ack = await operator.push(node.name, { 'policy/1122334455667788': serverPolicy([client]) });
    expect(ack.applyUs).toBeLessThan(200_000);
    const closedAt = Date.now();
    await until(() => Date.now() - closedAt > 600, 'some more datagrams');
    const sent = Number(await sending.finish());
    const got = JSON.parse(await counter.finish())['10.231.1.4'];
    expect(got).toBeGreaterThan(50);
    expect(got).toBeLessThan(sent - 50);
  });

  test('explains drops while somebody watches, and counts exactly', async () => {
    operator.server.setWantFlows(true);
    await until(() => node.log().includes('flows are watched'), 'the agent to know');
    expect(ask(pods[2] as TestPod, 'fd23:1:1::3')).toBe('timeout');
    const drop = await until(() => operator.flows().find((f) => f.verdict === 2 && f.sourceIdentity === stranger), 'a drop sample');
    expect(drop).toMatchObject({ dropReason: 133, destinationIdentity: server, ruleId: denyRuleId, destinationPort: 7000, direction: 0 });
    expect(Math.abs(drop.timeUnixUs / 1000 - Date.now())).toBeLessThan(10_000);
    const counted = await until(
      () => operator.reports.flatMap((r) => r.counters).find((c) => c.subject === server && c.peer === stranger && c.ruleId === denyRuleId),
      'a counter',
    );
    expect(counted).toMatchObject({ direction: 0, protocol: 17 });
    operator.server.setWantFlows(false);
  });

  test('can be asked for: tables, endpoints, status, health', async () => {
    const lines = async (query: string): Promise<Record<string, unknown>[]> => {
      const found: Record<string, unknown>[] = [];
      for await (const l of operator.server.relay(node.name as NodeName, query, 0)) found.push(JSON.parse(l));
      return found;
    };
    expect(await lines('policy')).toContainEqual(
      expect.objectContaining({ table: 'policy', peer: client, protocol: 'udp', port: 7000, verdict: 'allow' }),
    );
    expect(await lines('endpoints')).toContainEqual(expect.objectContaining({ pod: 'server', identity: server, state: 'ready' }));
    expect((await lines('ct')).some((f) => f.action === 'pod')).toBe(true);
    expect(await lines('status')).toEqual([expect.objectContaining({ complete: true, connected: true, endpoints: 4 })]);
    await expect(lines('nonsense')).rejects.toThrow(/cannot answer "nonsense"/);
    expect(node.exec('curl', '-sf', 'http://127.0.0.1:9879/readyz')).toContain('gate pods open');
    expect(node.exec('curl', '-s', 'http://127.0.0.1:9879/metrics')).toMatch(
      /axoneme_drops_packets\{reason="Policy denied",direction="ingress"\} [1-9]/,
    );
  });

  test('is refused whole when a table is too small, and the old one stays', async () => {
    const many = Array.from({ length: 1_000 }, (_, i) => i + 2_000);
    operator.set(node.name, { 'policy/1122334455667788': serverPolicy(many) });
    const nack = await until(() => operator.nacks.at(-1), 'the refusal', 60_000);
    expect(nack).toMatchObject({
      code: 'agent/table-full',
      reason: expect.stringContaining('table policy needs 2002 rows, capacity is 1024'),
    });
    operator.set(node.name, { 'policy/1122334455667788': serverPolicy([client]) });
    const echo = await startEcho(pods[1] as TestPod);
    expect(ask(pods[0] as TestPod, '10.231.1.3')).toBe('pong');
    expect(ask(pods[2] as TestPod, '10.231.1.3')).toBe('timeout');
    echo.kill();
  }, 90_000);
});

describe('what others delete', () => {
  test('comes back: device, route, program, pod interface', async () => {
    const echo = await startEcho(pods[1] as TestPod);
    node.exec('ip', 'link', 'del', 'axo_host');
    await until(() => node.exec('ip', '-o', 'addr', 'show', 'dev', 'axo_host').includes('10.231.1.1'), 'axo_host and its address').catch(
      () => undefined,
    );
    await until(() => {
      try {
        return node.exec('ip', 'route', 'show', 'dev', 'axo_host').includes('10.231.0.0/16');
      } catch {
        return false;
      }
    }, 'the cluster route');
    node.exec('ip', 'route', 'del', '10.231.0.0/16');
    await until(() => node.exec('ip', 'route', 'show').includes('10.231.0.0/16'), 'the route again');
    expect(node.exec('ping', '-c1', '-W1', '10.231.1.2')).toContain('1 received');
    const link = node.exec('ip', '-o', 'link').match(/(axo[0-9a-f]{11})@/)?.[1] as string;
    node.exec('ip', 'link', 'del', link);
    await until(() => node.exec('ip', '-o', 'link').includes(link), 'the pod interface');
    await until(() => ask(pods[0] as TestPod, '10.231.1.3') === 'pong', 'traffic again');
    expect((await node.cni('CHECK', pods[0])).out).toBe('');
    echo.kill();
  });
});

describe('pods that go', () => {
  test('DEL is idempotent and frees everything; GC takes the rest; a vanished namespace is noticed', async () => {
    const [clientPod, , strangerPod, late] = pods as [TestPod, TestPod, TestPod, TestPod];
    for (let i = 0; i < 2; i++) expect(await node.cni('DEL', late)).toEqual({ code: 0, out: '' });
    expect(JSON.parse((await node.cni('CHECK', late)).out).code).toBe(3);
    await until(() => !operator.endpoints().has('default/late'), 'the report of the deletion');
    const valid = [clientPod, pods[1] as TestPod].map((p) => ({ containerID: p.id, ifname: 'eth0' }));
    expect(await node.cni('GC', undefined, { 'cni.dev/valid-attachments': valid })).toEqual({ code: 0, out: '' });
    expect(JSON.parse((await node.cni('CHECK', strangerPod)).out).code).toBe(3);
    await node.kill('SIGTERM');
    clientPod.close();
    node.start(sizes);
    await until(() => node.log().includes('"endpoint removed"') && !operator.endpoints().has('default/client'), 'the vanished pod');
    expect(node.exec('ls', `${node.dir}/bpf/axoneme/links`).match(/pod-/g)).toHaveLength(2);
  });

  test('a node that restarts without its bpffs and devices builds everything anew', async () => {
    const again = pod('server2');
    await operator.push(node.name, { 'workload/default/server2': workload('server2', server) });
    expect((await node.cni('ADD', again)).code).toBe(0);
    await node.kill();
    for (const l of node.exec('ip', '-o', 'link').matchAll(/: (axo[^@:]+)/g)) {
      try {
        node.exec('ip', 'link', 'del', l[1] as string);
      } catch {
        // its peer is gone already
      }
    }
    node.exec('umount', `${node.dir}/bpf`);
    const before = node.log().length;
    node.start(sizes);
    await until(() => node.log().slice(before).includes('"agent serves"'), 'the agent serves again');
    const echo = await startEcho(again);
    expect((await node.cni('CHECK', again)).out).toBe('');
    expect(() => node.exec('ping', '-c1', '-W1', '10.231.1.3')).not.toThrow();
    echo.kill();
  });

  test('stays small', () => {
    const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${node.process?.pid}/status`, 'utf8'))?.[1]) / 1024;
    process.stderr.write(`agent RSS ${rss.toFixed(0)} MB\n`);
    expect(rss).toBeLessThan(120);
  });
});
