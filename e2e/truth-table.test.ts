// The table of verdicts on real packets: three namespaces of three pods on two nodes, ports, protocols, families, against what every
// policy API promises. Cases are data: truth/cases-*.ts.
import { afterAll, beforeAll, describe, test } from '@jest/globals';
import { allowNoRetry, type Fixture, upFixture } from './fixture.ts';
import { clusterNetworkPolicy, egressCases, priorities, tiers } from './truth/cases-admin.ts';
import { further, worked } from './truth/cases-cilium.ts';
import { closed, refused } from './truth/cases-closed.ts';
import { blocks, isolation, peers, portCases } from './truth/cases-kubernetes.ts';
import { groups, nodes, services } from './truth/cases-references.ts';
import type { Case } from './truth/dsl.ts';
import { openStage, runCase, type Stage } from './truth/run.ts';

const CASE_MS = 60_000;

describe('the table of verdicts', () => {
  let fixture: Fixture | undefined;
  let stage: Stage | undefined;

  beforeAll(async () => {
    allowNoRetry();
    fixture = await upFixture('truth', 2);
    stage = await openStage(fixture);
  }, 240_000);

  afterAll(async () => {
    stage?.close();
    await fixture?.sandbox.down();
  }, 60_000);

  const table = (title: string, cases: readonly Case[]): void =>
    describe(title, () => {
      for (const c of cases) {
        test(
          c.name,
          async () => {
            if (stage === undefined) throw new Error('the sandbox did not come up');
            await runCase(stage, c);
          },
          CASE_MS,
        );
      }
    });

  table('worked cases of CiliumNetworkPolicy', worked);
  table('CiliumNetworkPolicy', further);
  table('closed and reported', closed);
  table('refused', refused);
  table('Services as peers', services);
  table('CIDR groups', groups);
  table('nodes as peers', nodes);
  table('NetworkPolicy: isolation', isolation);
  table('NetworkPolicy: peers', peers);
  table('NetworkPolicy: ports', portCases);
  table('NetworkPolicy: blocks of addresses', blocks);
  table('admin policies: tiers', tiers);
  table('admin policies: priorities', priorities);
  table('admin policies: egress', egressCases);
  table('ClusterNetworkPolicy', clusterNetworkPolicy);
});
