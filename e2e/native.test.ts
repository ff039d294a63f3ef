// Native routing end to end: the paths and policies of the main suite without a tunnel. One sandbox of two nodes.
import { afterAll, beforeAll, describe } from '@jest/globals';
import { type Fixture, upFixture } from './fixture.ts';
import { describePaths } from './paths.ts';

describe('Axoneme with native routing', () => {
  let fixture: Fixture | undefined;
  const get = (): Fixture => {
    if (fixture === undefined) throw new Error('the sandbox did not come up');
    return fixture;
  };

  beforeAll(async () => {
    fixture = await upFixture('nat', 2, ['--set', 'routingMode=native']);
  }, 240_000);

  afterAll(async () => {
    await fixture?.sandbox.down();
  }, 60_000);

  describePaths(get);
});
