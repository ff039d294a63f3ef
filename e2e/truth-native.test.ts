// The table of verdicts with native routing: who a packet comes from is then told by its address, not by the tunnel. Cases about
// addresses, nodes and namespaces, and host policies.
import { afterAll, beforeAll, describe, test } from '@jest/globals';
import { allowNoRetry, type Fixture, upFixture } from './fixture.ts';
import { hostCases } from './hosts/cases.ts';
import { egressCases } from './truth/cases-admin.ts';
import { worked } from './truth/cases-cilium.ts';
import { blocks } from './truth/cases-kubernetes.ts';
import { nodes } from './truth/cases-references.ts';
import { openStage, runCase, type Stage } from './truth/run.ts';

const ofPeers = /^(1|4|5|10|11|12|14|20|23):/;

describe('the table of verdicts with native routing', () => {
  let fixture: Fixture | undefined;
  let stage: Stage | undefined;

  beforeAll(async () => {
    allowNoRetry();
    fixture = await upFixture('truthn', 2, ['--set', 'routingMode=native']);
    stage = await openStage(fixture);
  }, 240_000);

  afterAll(async () => {
    stage?.close();
    await fixture?.sandbox.down();
  }, 60_000);

  for (const c of [...worked.filter((w) => ofPeers.test(w.name)), ...blocks, ...nodes, ...egressCases, ...hostCases]) {
    test(c.name, async () => {
      if (stage === undefined) throw new Error('the sandbox did not come up');
      await runCase(stage, c);
    }, 60_000);
  }
});
