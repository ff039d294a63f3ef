// Services with native routing, where who a packet comes from is told by its address, and without the sockets of pods: their packets are
// translated one by one. A part of the matrix, and policies that name a client outside.
import { afterAll, beforeAll, describe } from '@jest/globals';
import { allowNoRetry, type Fixture, upFixture } from './fixture.ts';
import { describeGuard } from './north/guard.ts';
import { describeMatrix } from './north/matrix.ts';
import { describeSizes } from './north/sizes.ts';
import { openStage, type Stage, shapes } from './north/stage.ts';

const services = shapes(
  [
    ['both', 'Cluster', 'Cluster'],
    ['both', 'Local', 'Local'],
    ['host', 'Cluster', 'Cluster'],
  ],
  ['snat', 'dsr'],
);

describe('Services from everywhere, with native routing', () => {
  let fixture: Fixture | undefined;
  let stage: Stage | undefined;
  const get = (): Stage => {
    if (stage === undefined) throw new Error('the sandbox did not come up');
    return stage;
  };

  beforeAll(async () => {
    allowNoRetry();
    fixture = await upFixture('northn', 2, ['--set', 'routingMode=native', '--set', 'socketLB.hostNamespaceOnly=true']);
    stage = await openStage(fixture, services);
  }, 240_000);

  afterAll(async () => {
    stage?.close();
    await fixture?.sandbox.down();
  }, 60_000);

  describeMatrix(get, services);
  describeSizes(get, ['snat', 'dsr']);
  describeGuard(get);
});
