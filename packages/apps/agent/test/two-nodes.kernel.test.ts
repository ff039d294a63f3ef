import { addAddress, createVeth, getLink, inNetns, NetlinkSocket, openNetns, setLink } from '@axoneme/netlink';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import {
  ask,
  build,
  createNode,
  createOperator,
  createPod,
  startEcho,
  stopTraffic,
  type TestNode,
  type TestOperator,
  type TestPod,
  until,
} from './harness.ts';
import { client, ipcache, nodeConfigBlob, routesBlob, server, stranger, workload, world } from './scenario.ts';

const nodes = [createNode(), createNode()] as const;
const operators: TestOperator[] = [];
const pods: TestPod[] = [];
const addresses = [0, 1].map((i) => [`172.31.77.${i + 1}`, `fd77::${i + 1}`]);
const blocks = [0, 1].map((i) => [`10.231.${i + 1}.0/24`, `fd23:1:${i + 1}::/64`]);

function joinNodes(): void {
  const inside = openNetns(nodes[0].netns);
  const other = openNetns(nodes[1].netns);
  inNetns(inside, () => {
    const s = new NetlinkSocket();
    s.execute([createVeth({ name: 'eth1', up: true }, { name: 'eth1', netnsFd: other })]);
    s.close();
  });
  for (const [i, fd] of [inside, other].entries()) {
    inNetns(fd, () => {
      const s = new NetlinkSocket();
      const ifindex = getLink(s, 'eth1')?.ifindex ?? 0;
      const [v4, v6] = addresses[i] as string[];
      s.execute([
        setLink(ifindex, { up: true }),
        addAddress({ ifindex, address: `${v4}/24` }),
        addAddress({ ifindex, address: `${v6}/64` }),
      ]);
      s.close();
    });
  }
}

const artifacts = (i: number, native: boolean) => ({
  ...world(nodes[i] as TestNode),
  'node/config': nodeConfigBlob({
    name: (nodes[i] as TestNode).name,
    addresses: addresses[i] as string[],
    blocks: blocks[i] as string[],
    native,
  }),
  routes: routesBlob(nodes.map((n, j) => ({ name: n.name, blocks: blocks[j] as string[], addresses: addresses[j] as string[] }))),
  'ipcache/nodes': ipcache(
    [0, 1].flatMap((j) => [
      ...(blocks[j] as string[]).map((b) => [b, 99, (addresses[j] as string[])[0] as string] as const),
      ...(addresses[j] as string[]).map((a) => [a, 6, (addresses[j] as string[])[0] as string] as const),
    ]),
  ),
  [`ipcache/${client}`]: ipcache([
    ['10.231.1.2', client, '172.31.77.1'],
    ['fd23:1:1::2', client, '172.31.77.1'],
  ]),
  [`ipcache/${server}`]: ipcache([
    ['10.231.2.2', server, '172.31.77.2'],
    ['fd23:1:2::2', server, '172.31.77.2'],
  ]),
});

beforeAll(async () => {
  build();
  joinNodes();
  for (const [i, n] of nodes.entries()) {
    const o = await createOperator(n.gateway);
    operators.push(o);
    n.writeTrust(o);
    n.start();
    await o.push(n.name, {
      ...artifacts(i, false),
      'workload/default/client': workload('client', client),
      'workload/default/stranger': workload('stranger', stranger),
      'workload/default/server': workload('server', server),
    });
  }
  for (const [node, name] of [
    [0, 'client'],
    [0, 'stranger'],
    [1, 'server'],
  ] as const) {
    const p = createPod('default', name);
    pods.push(p);
    expect(await nodes[node].cni('ADD', p)).toMatchObject({ code: 0 });
  }
}, 60_000);
afterEach(stopTraffic);
afterAll(async () => {
  for (const o of operators) o.stop();
  for (const p of pods) p.close();
  for (const n of nodes) await n.close();
}, 60_000);

const serverAddresses = ['10.231.2.2', 'fd23:1:2::2'];

describe.each([
  ['vxlan', false],
  ['native routing', true],
] as const)('%s', (_name, native) => {
  test('pods, nodes and the outside reach each other as policy says', async () => {
    if (native) for (const [i, n] of nodes.entries()) await (operators[i] as TestOperator).push(n.name, artifacts(i, native));
    const [clientPod, strangerPod, serverPod] = pods as [TestPod, TestPod, TestPod];
    const echo = await startEcho(serverPod);
    for (const a of serverAddresses) {
      await until(() => ask(clientPod, a) === 'pong', `the client reaches ${a}`, 5_000);
      expect(ask(strangerPod, a)).toBe('timeout');
    }
    // node to its own pod is always allowed; to a pod of the other node the other node's policy decides
    expect(nodes[1].exec('ping', '-c1', '-W1', '10.231.2.2')).toContain('1 received');
    expect(nodes[0].exec('ping', '-c1', '-W1', '10.231.1.2')).toContain('1 received');
    expect(nodes[1].exec('ping', '-c1', '-W1', '10.231.1.2')).toContain('1 received');
    expect(nodes[1].exec('ping', '-6', '-c1', '-W1', 'fd23:1:1::2')).toContain('1 received');
    // pod to node, both
    for (const a of ['10.231.1.1', '172.31.77.1', '172.31.77.2', 'fd77::2'])
      expect(clientPod.exec('ping', '-c1', '-W1', a)).toContain('1 received');
    echo.kill();
  });
});

test('the other mode leaves nothing behind', () => {
  expect(() => nodes[0].exec('ip', 'link', 'show', 'axo_vxlan')).toThrow();
  expect(nodes[0].exec('ip', 'route', 'show', 'proto', '97')).toMatch(/10\.231\.2\.0\/24 via 172\.31\.77\.2/);
  expect(nodes[0].exec('ls', `${nodes[0].dir}/bpf/axoneme/links`)).not.toContain('overlay');
});
