import { NodeFlag, nodeConfig } from '@axoneme/datapath';
import { Acceleration, NodeConfig } from '@axoneme/proto';
import { expect, test } from '@jest/globals';
import { readNodeView } from '../src/datapath/node-view.ts';
import { masqueradePorts, nodeConfigRow } from '../src/datapath/rows.ts';

const usual = { min: 30_000, max: 32_767 };

test.each([
  [undefined, usual, { min: 61_000, max: 65_535 }],
  ['32768\t60999', usual, { min: 61_000, max: 65_535 }],
  ['32768 65000', usual, { min: 16_384, max: 29_999 }],
  ['32768 60999', { min: 61_000, max: 65_535 }, { min: 16_384, max: 32_767 }],
  ['32768 60999', { min: 62_000, max: 62_999 }, { min: 16_384, max: 32_767 }],
  ['16384 60999', { min: 62_000, max: 62_999 }, { min: 63_000, max: 65_535 }],
  ['1024 65535', usual, { min: 16_384, max: 29_999 }],
])('ports of masquerade beside sockets %s and Services %j', (local, nodePorts, ports) => {
  expect(masqueradePorts(local, nodePorts)).toEqual(ports);
});

const link = { ifindex: 1, mac: '02:00:00:00:00:01', name: 'x', mtu: 1500 } as never;
const network = { host: link, net: link, vxlan: undefined, devices: [link], addresses: [], mtu: 1450 };
const row = (more: object) => {
  const view = readNodeView(Buffer.from(NodeConfig.encode(NodeConfig.fromPartial({ nodeName: 'n', ...more })).finish()), undefined)!;
  const { value } = nodeConfigRow(view, network, { ports: { min: 1, max: 2 }, enforced: false, netnsCookie: 7n });
  return { view, value: nodeConfig.decode(value) };
};

test('what Services need to know of a node', () => {
  const plain = row({});
  expect(plain.value).toMatchObject({ nodePortMin: 30_000, nodePortMax: 32_767, pathMtu: 1450, flags: NodeFlag.tunnel });
  expect(plain.view.acceleration).toBe('disabled');
  const other = row({
    nodePortMin: 20_000,
    nodePortMax: 22_767,
    pathMtu: 1400,
    podServices: true,
    dsrIpip: true,
    acceleration: Acceleration.ACCELERATION_BEST_EFFORT,
  });
  expect(other.value).toMatchObject({ nodePortMin: 20_000, nodePortMax: 22_767, pathMtu: 1400 });
  expect(other.value.flags).toBe(NodeFlag.tunnel | NodeFlag.podServices | NodeFlag.dsrIpip);
  expect(other.view.acceleration).toBe('best-effort');
  // nobody sends more than he can
  expect(row({ pathMtu: 9000 }).value.pathMtu).toBe(1450);
});
