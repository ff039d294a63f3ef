// Services with native routing, where who a packet comes from is told by its address, and without the sockets of pods: their packets are
// translated one by one. A part of the matrix, and policies that name a client outside.
import { describe } from '@jest/globals';
import { describeGuard } from './north/guard.ts';
import { describeMatrix } from './north/matrix.ts';
import { describeOnePort } from './north/one-port.ts';
import { describeSizes } from './north/sizes.ts';
import { openStage, shapes } from './north/stage.ts';
import { useStage } from './suite.ts';

const services = shapes(
  [
    ['both', 'Cluster', 'Cluster'],
    ['both', 'Local', 'Local'],
    ['host', 'Cluster', 'Cluster'],
  ],
  ['snat', 'dsr'],
);

describe('Services from everywhere, with native routing', () => {
  const get = useStage(
    { name: 'northn', nodes: 2, helm: ['--set', 'routingMode=native', '--set', 'socketLB.hostNamespaceOnly=true'] },
    (fixture) => openStage(fixture, services),
  );

  describeMatrix(get, services);
  describeSizes(get, ['snat', 'dsr']);
  describeOnePort(get, services, ['snat', 'dsr']);
  describeGuard(get);
});
