// The dead man's switch with everything real: agent process, eBPF programs, TLS link over the enforced device. Part 1 of P5-a in few runs; the
// thousand policies are in host-random.kernel.test.ts.
import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { pinnedMap } from '@axoneme/bpf';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { build, createNode, createOperator, type TestOperator, until } from './harness.ts';
import { addresses, type HostPolicyArtifacts, type HostRow, hostName, hostPolicy } from './host-kit.ts';
import { world } from './scenario.ts';

const confirmMs = 3_000;
const node = createNode();
let operator: TestOperator;
const flags = [`--host-policy-confirm-ms=${confirmMs}`];
const tcp = 6;
const operatorIdentity = 0x01000001;

const accepted = new Set<Socket>();
subscribe('net.server.socket', (m) => accepted.add((m as { socket: Socket }).socket));

beforeAll(async () => {
  build();
  operator = await createOperator(node.gateway, { heartbeatMs: 500 });
  node.start(...flags);
  node.writeTrust(operator);
  await operator.push(node.name, { ...world(node), 'ipcache/cidr': addresses({ [`${node.gateway}/32`]: operatorIdentity }) });
});
afterAll(async () => {
  operator.stop();
  await node.close();
  // the end of a connection that a policy cut never reaches the server, and a handshake is nobody's to shut down
  for (const s of accepted) s.destroy();
});

const ports = (): number => operator.server.ports().node;
const toOperator = (): HostRow => ({ direction: 'egress', peer: operatorIdentity, proto: tcp, port: ports() });
const upserts = (p: HostPolicyArtifacts) => ({ [p.policyName]: p.policy, [hostName]: p.subject });
const confirmations = (): number => node.log().split('changed host policy confirmed').length - 1;
const pings = (): boolean => {
  try {
    node.exec('sh', '-c', `ping -c1 -W1 ${node.gateway} 2>/dev/null`);
    return true;
  } catch {
    return false;
  }
};
const linked = (): boolean => operator.server.hub.status().some((n) => n.node === node.name && n.connected);
const identities = (): number[] =>
  [...(pinnedMap(`${node.dir}/bpf/axoneme/maps/ipcache`)?.entries() ?? [])].map(([, v]) => v.readUInt32LE(0));
const nacked = (from: number) => operator.nacks.slice(from).find((n) => n.code === 'agent/host-policy-reverted');

describe('P5-a: a host policy, agent and link real,', () => {
  test('that lets the node reach its operator is confirmed and stays', async () => {
    const good = hostPolicy(3, [toOperator()]);
    await operator.push(node.name, upserts(good));
    await until(() => confirmations() === 1, 'the confirmation');
    expect(pings()).toBe(false);
    expect(operator.nacks).toEqual([]);
    expect(node.log()).not.toContain('putting back');
  });

  test('that cuts it off is taken back in time, refused under its name, and the rest goes on', async () => {
    const bad = hostPolicy(3);
    const from = operator.nacks.length;
    const before = performance.now();
    // its acknowledgement does not get through any more
    operator.set(node.name, upserts(bad));
    await until(() => node.log().includes('putting back the one before'), 'the way back');
    expect(performance.now() - before).toBeLessThan(confirmMs + 2_000);
    const nack = await until(() => nacked(from), 'the refusal');
    expect(nack.artifact).toBe(hostName);
    expect(nack.reason).toMatch(/no operator could be reached/);
    expect(performance.now() - before).toBeLessThan(30_000);
    // the policy before is in force
    expect(pings()).toBe(false);
    // what is for others does not wait until the refused one may be tried again
    for (const identity of [1234, 1235, 1236, 1237, 1238, 1239]) {
      operator.set(node.name, { [`ipcache/${identity}`]: addresses({ [`10.99.0.${identity % 256}/32`]: identity }) });
      await until(() => identities().includes(identity), 'rows of others', 2_000);
    }
    const good = hostPolicy(3, [toOperator(), { direction: 'egress', proto: 1 }]);
    await operator.push(node.name, upserts(good));
    await until(() => pings(), 'another policy');
    await until(() => confirmations() === 2, 'the confirmation');
  });

  test('an egress-only one is no loophole: an established link does not prove that a new one would be let out', async () => {
    const from = operator.nacks.length;
    operator.set(node.name, upserts(hostPolicy(2, [{ direction: 'egress', peer: 6 }])));
    await until(() => nacked(from), 'the refusal', 30_000);
    await until(() => pings(), 'the policy before');
  });

  test('survives the death of the agent in the middle of its trial', async () => {
    const from = operator.nacks.length;
    operator.set(node.name, upserts(hostPolicy(3, [{ direction: 'ingress', proto: tcp, port: 22 }])));
    await until(() => !pings(), 'the closed node');
    await node.kill();
    expect(pings()).toBe(false);
    node.start(...flags);
    await until(() => pings(), 'the policy before', 30_000);
    await until(() => nacked(from), 'the refusal', 30_000);
    expect(linked()).toBe(true);
  });

  test('that goes opens the node at once', async () => {
    const change: Record<string, null> = { [hostName]: null };
    await operator.push(node.name, change);
    expect(pings()).toBe(true);
  });
});
