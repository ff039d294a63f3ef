// Services for clients outside with XDP on the devices of the nodes and native routing: packets that a node passes on to another never
// reach its stack. The same matrix and the same rule as without.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { allowNoRetry, type Fixture, upFixture } from './fixture.ts';
import { describeMatrix } from './north/matrix.ts';
import { describeSizes } from './north/sizes.ts';
import { openStage, type Stage, shapes } from './north/stage.ts';
import { prepareForXdp } from './north/wires.ts';

const services = shapes(
  [
    ['both', 'Cluster', 'Cluster'],
    ['one', 'Local', 'Cluster'],
    ['host', 'Cluster', 'Cluster'],
  ],
  ['snat', 'dsr'],
);

describe('Services from everywhere, with XDP', () => {
  let fixture: Fixture | undefined;
  let stage: Stage | undefined;
  const get = (): Stage => {
    if (stage === undefined) throw new Error('the sandbox did not come up');
    return stage;
  };

  beforeAll(async () => {
    allowNoRetry();
    fixture = await upFixture('northx', 2, ['--set', 'routingMode=native', '--set', 'loadBalancer.acceleration=native']);
    await prepareForXdp(fixture);
    stage = await openStage(fixture, services);
  }, 240_000);

  afterAll(async () => {
    stage?.close();
    await fixture?.sandbox.down();
  }, 60_000);

  test('every node has the program on its device', async () => {
    for (const { name } of get().nodes)
      expect((await get().fixture.sandbox.nodeExec(name, ['ip', 'link', 'show', 'eth0'])).stdout).toMatch(/prog\/xdp id \d+ name axo_xdp/);
  });
  describeMatrix(get, services);
  describeSizes(get, ['snat', 'dsr']);
});
