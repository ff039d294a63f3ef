// The matrix of Services with real packets: every kind of address, traffic policy, way of forwarding, family, protocol and client. Each
// cell says who must answer and which source address that one may see (e2e/north/rule.ts). One sandbox of two nodes, in a tunnel.
import { describe } from '@jest/globals';
import { describeGuard } from './north/guard.ts';
import { describeKills } from './north/kills.ts';
import { describeMaglev, maglevService } from './north/maglev.ts';
import { describeMatrix } from './north/matrix.ts';
import { describeOnePort } from './north/one-port.ts';
import { describeSizes } from './north/sizes.ts';
import { openStage, shapes } from './north/stage.ts';
import { describeTold } from './north/told.ts';
import { describeUpdates } from './north/updates.ts';
import { useStage } from './suite.ts';

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
  const get = useStage({ name: 'north', nodes: 2 }, (fixture) => openStage(fixture, [...services, maglevService]));

  describeMatrix(get, services);
  describeMaglev(get);
  describeGuard(get);
  describeSizes(get, ['snat', 'dsr']);
  describeOnePort(get, services, ['snat', 'dsr']);
  describeTold(get);
  describeUpdates(get);
  describeKills(get);
});
