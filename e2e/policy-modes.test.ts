// Modes of policies on real packets: shadow, audit, and the enforcement modes of the chart.
import { afterAll, beforeAll, describe } from '@jest/globals';
import { allowNoRetry, type Fixture, upFixture } from './fixture.ts';
import { describeAudit, describeChartModes } from './modes/audit.ts';
import { describeShadows } from './modes/shadow.ts';
import { openStage, type Stage } from './truth/run.ts';

describe('modes of policies', () => {
  let fixture: Fixture | undefined;
  let stage: Stage | undefined;
  const get = (): Stage => {
    if (stage === undefined) throw new Error('the sandbox did not come up');
    return stage;
  };

  beforeAll(async () => {
    allowNoRetry();
    fixture = await upFixture('modes', 2);
    stage = await openStage(fixture, true);
  }, 240_000);

  afterAll(async () => {
    stage?.close();
    await fixture?.sandbox.down();
  }, 60_000);

  describeShadows(get);
  describeAudit(get);
  describeChartModes(get);
});
