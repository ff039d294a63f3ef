// Services for clients outside with XDP on the devices of the nodes and native routing: packets that a node passes on to another never
// reach its stack. The same matrix and the same rule as without.
import { describe, expect, test } from '@jest/globals';
import { describeMatrix } from './north/matrix.ts';
import { describeSizes } from './north/sizes.ts';
import { openStage, shapes } from './north/stage.ts';
import { prepareForXdp } from './north/wires.ts';
import { useStage } from './suite.ts';

const services = shapes(
  [
    ['both', 'Cluster', 'Cluster'],
    ['one', 'Local', 'Cluster'],
    ['host', 'Cluster', 'Cluster'],
  ],
  ['snat', 'dsr'],
);

describe('Services from everywhere, with XDP', () => {
  const get = useStage(
    { name: 'northx', nodes: 2, helm: ['--set', 'routingMode=native', '--set', 'loadBalancer.acceleration=native'] },
    async (fixture) => {
      await prepareForXdp(fixture);
      return openStage(fixture, services);
    },
  );

  test('every node has the program on its device', async () => {
    for (const { name } of get().nodes)
      expect((await get().fixture.sandbox.nodeExec(name, ['ip', 'link', 'show', 'eth0'])).stdout).toMatch(/prog\/xdp id \d+ name axo_xdp/);
  });
  describeMatrix(get, services);
  describeSizes(get, ['snat', 'dsr']);
});
