// Live behaviour of policies on the stage of the table of verdicts: changes under traffic, labels, edits, forged labels, newborn pods.
import { afterAll, beforeAll, describe } from '@jest/globals';
import { allowNoRetry, type Fixture, upFixture } from './fixture.ts';
import { describeBirths } from './live/births.ts';
import { describeConnections } from './live/connections.ts';
import { describeEdits } from './live/edits.ts';
import { describeForgery } from './live/forgery.ts';
import { describeLabels } from './live/labels.ts';
import { openStage, type Stage } from './truth/run.ts';

describe('live policies', () => {
  let fixture: Fixture | undefined;
  let stage: Stage | undefined;
  const get = (): Stage => {
    if (stage === undefined) throw new Error('the sandbox did not come up');
    return stage;
  };

  beforeAll(async () => {
    allowNoRetry();
    fixture = await upFixture('live', 2);
    stage = await openStage(fixture);
  }, 240_000);

  afterAll(async () => {
    stage?.close();
    await fixture?.sandbox.down();
  }, 60_000);

  describeConnections(get);
  describeLabels(get);
  describeForgery(get);
  describeEdits(get);
  describeBirths(get);
});
