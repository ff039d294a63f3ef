// The matrix of Services with real packets: every kind of address, traffic policy, way of forwarding, family, protocol and client. Each
// cell says who must answer and which source address that one may see (e2e/north/rule.ts). One sandbox of two nodes, in a tunnel.
import { afterAll, beforeAll, describe } from '@jest/globals';
import { allowNoRetry, type Fixture, upFixture } from './fixture.ts';
import { describeGuard } from './north/guard.ts';
import { describeKills } from './north/kills.ts';
import { describeMaglev, maglevService } from './north/maglev.ts';
import { describeMatrix } from './north/matrix.ts';
import { describeSizes } from './north/sizes.ts';
import { openStage, type Stage, shapes } from './north/stage.ts';
import { describeTold } from './north/told.ts';
import { describeUpdates } from './north/updates.ts';

const services = shapes(
  [
    ...(['both', 'one'] as const).flatMap((place) => [
      [place, 'Cluster', 'Cluster'] as const,
      [place, 'Local', 'Local'] as const,
      [place, 'Local', 'Cluster'] as const,
    ]),
    ['host', 'Cluster', 'Cluster'],
    ['host', 'Local', 'Cluster'],
  ],
  ['snat', 'dsr'],
);

describe('Services from everywhere, in a tunnel', () => {
  let fixture: Fixture | undefined;
  let stage: Stage | undefined;
  const get = (): Stage => {
    if (stage === undefined) throw new Error('the sandbox did not come up');
    return stage;
  };

  beforeAll(async () => {
    allowNoRetry();
    fixture = await upFixture('north', 2);
    stage = await openStage(fixture, [...services, maglevService]);
  }, 240_000);

  afterAll(async () => {
    stage?.close();
    await fixture?.sandbox.down();
  }, 60_000);

  describeMatrix(get, services);
  describeMaglev(get);
  describeGuard(get);
  describeSizes(get, ['snat', 'dsr']);
  describeTold(get);
  describeUpdates(get);
  describeKills(get);
});
