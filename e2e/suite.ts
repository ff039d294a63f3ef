// What most suites begin and end with: a sandbox, what is set up on it, and nothing of either afterwards.
import { AppError } from '@axoneme/std';
import { afterAll, beforeAll } from '@jest/globals';
import { allowNoRetry, type Fixture, upFixture } from './fixture.ts';

export interface SandboxOptions {
  /** Begins the sandbox's id. */
  readonly name: string;
  readonly nodes: number;
  readonly helm?: readonly string[];
}

/**
 * Call it in a `describe`. Its sandbox is up before the first test and `open` has set its stage; both are gone after the last one. What it
 * returns throws until then. Tests of such suites are about verdicts: none is tried twice.
 */
export function useStage<S extends { close(): void }>(o: SandboxOptions, open: (fixture: Fixture) => Promise<S>): () => S {
  let fixture: Fixture | undefined;
  let stage: S | undefined;

  beforeAll(async () => {
    allowNoRetry();
    fixture = await upFixture(o.name, o.nodes, o.helm);
    stage = await open(fixture);
  }, 240_000);

  afterAll(async () => {
    stage?.close();
    await fixture?.sandbox.down();
  }, 60_000);

  return () => {
    if (stage === undefined) throw new AppError({ code: 'e2e/no-sandbox', message: 'the sandbox did not come up' });
    return stage;
  };
}
