// Modes of policies on real packets: shadow, audit, and the enforcement modes of the chart.
import { describe } from '@jest/globals';
import { describeAudit, describeChartModes } from './modes/audit.ts';
import { describeShadows } from './modes/shadow.ts';
import { useStage } from './suite.ts';
import { openStage } from './truth/run.ts';

describe('modes of policies', () => {
  const get = useStage({ name: 'modes', nodes: 2 }, (fixture) => openStage(fixture, true));

  describeShadows(get);
  describeAudit(get);
  describeChartModes(get);
});
