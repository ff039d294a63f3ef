// The main end-to-end suite: one sandbox of two nodes, installed by Helm, real packets.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { describeBadInput } from './bad-input.ts';
import { type Fixture, upFixture } from './fixture.ts';
import { describeKills } from './kills.ts';
import { describeKubectl, describeUninstall } from './kubectl.ts';
import { describePaths } from './paths.ts';
import { describePolicies } from './policies.ts';

describe('Axoneme on a sandbox of two nodes', () => {
  let fixture: Fixture | undefined;
  const get = (): Fixture => {
    if (fixture === undefined) throw new Error('the sandbox did not come up');
    return fixture;
  };

  beforeAll(async () => {
    fixture = await upFixture('e2e', 2);
  }, 240_000);

  afterAll(async () => {
    await fixture?.sandbox.down();
  }, 60_000);

  describePaths(get);
  describeKubectl(get);
  describePolicies(get);
  describeBadInput(get);
  describeKills(get);
  describeUninstall(get);

  test('down leaves nothing behind', async () => {
    const left = await get().sandbox.down();
    expect(left).toEqual([]);
  }, 60_000);
});
