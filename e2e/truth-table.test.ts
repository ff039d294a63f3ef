// The table of verdicts on real packets: three namespaces of three pods on two nodes, ports, protocols, families, against what every
// policy API promises. Cases are data: truth/cases-*.ts.
import { describe, test } from '@jest/globals';
import { useStage } from './suite.ts';
import { clusterNetworkPolicy, egressCases, priorities, tiers } from './truth/cases-admin.ts';
import { further, worked } from './truth/cases-cilium.ts';
import { closed, refused } from './truth/cases-closed.ts';
import { blocks, isolation, peers, portCases } from './truth/cases-kubernetes.ts';
import { groups, nodes, services } from './truth/cases-references.ts';
import type { Case } from './truth/dsl.ts';
import { openStage, runCase } from './truth/run.ts';

const CASE_MS = 60_000;

describe('the table of verdicts', () => {
  const get = useStage({ name: 'truth', nodes: 2 }, openStage);

  const table = (title: string, cases: readonly Case[]): void =>
    describe(title, () => {
      for (const c of cases) {
        test(
          c.name,
          async () => {
            await runCase(get(), c);
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
