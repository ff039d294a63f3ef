// The table of verdicts with native routing: who a packet comes from is then told by its address, not by the tunnel. Cases about
// addresses, nodes and namespaces, and host policies.
import { describe, test } from '@jest/globals';
import { hostCases } from './hosts/cases.ts';
import { useStage } from './suite.ts';
import { egressCases } from './truth/cases-admin.ts';
import { worked } from './truth/cases-cilium.ts';
import { blocks } from './truth/cases-kubernetes.ts';
import { nodes } from './truth/cases-references.ts';
import { openStage, runCase } from './truth/run.ts';

const ofPeers = /^(1|4|5|10|11|12|14|20|23):/;

describe('the table of verdicts with native routing', () => {
  const get = useStage({ name: 'truthn', nodes: 2, helm: ['--set', 'routingMode=native'] }, openStage);

  for (const c of [...worked.filter((w) => ofPeers.test(w.name)), ...blocks, ...nodes, ...egressCases, ...hostCases]) {
    test(c.name, async () => {
      await runCase(get(), c);
    }, 60_000);
  }
});
