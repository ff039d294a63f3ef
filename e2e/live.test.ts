// Live behaviour of policies on the stage of the table of verdicts: changes under traffic, labels, edits, forged labels, newborn pods.
import { describe } from '@jest/globals';
import { describeBirths } from './live/births.ts';
import { describeConnections } from './live/connections.ts';
import { describeEdits } from './live/edits.ts';
import { describeForgery } from './live/forgery.ts';
import { describeLabels } from './live/labels.ts';
import { useStage } from './suite.ts';
import { openStage } from './truth/run.ts';

describe('live policies', () => {
  const get = useStage({ name: 'live', nodes: 2 }, openStage);

  describeConnections(get);
  describeLabels(get);
  describeForgery(get);
  describeEdits(get);
  describeBirths(get);
});
