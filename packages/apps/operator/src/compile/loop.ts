// The compile loop: notes changes, compiles at its own pace, gives every node its desired artifacts at a new revision. Called by wiring.ts.
import type { Clock, Log } from '@axoneme/std';
import type { Dirty, World } from '../world/world.ts';
import type { Compiled, Compiler } from './compiler.ts';
import type { Dispatcher } from './dispatch.ts';
import { createVerdicts, type Verdicts } from './verdicts.ts';

export interface LoopDeps {
  readonly world: World;
  readonly compiler: Compiler;
  readonly dispatcher: Dispatcher;
  readonly clock: Clock;
  readonly log: Log;
  /** Epoch that new revisions carry: of the leader, as this replica knows it. */
  readonly epoch: () => number;
  /** Newest revision that every connected node has. */
  readonly settled: () => number;
  /** Called after each compile, before the loop looks again. */
  readonly onCompiled: (c: Compiled, dirty: Dirty) => void;
}

export interface CompileLoop {
  /** Wish for a compile. */
  mark(): void;
  /** A node said what it has: what waited for that goes on. */
  acked(): void;
  /** From now on compiles happen; before, changes are only collected. */
  start(): void;
  last(): Compiled | undefined;
  revision(): number;
  /** Revisions below this were used before a restart. */
  raiseRevision(floor: number): void;
  readonly verdicts: Verdicts;
  lastCompileMs(): number;
}

const nobody: ReadonlySet<string> = new Set();

/** Changes that come together are compiled together; short enough not to be felt. */
const QUIET_MS = 4;
/** A node that never acknowledges does not keep numbers alive for ever. */
const SETTLE_MAX_MS = 30_000;

export function createCompileLoop(d: LoopDeps): CompileLoop {
  const verdicts = createVerdicts();
  let started = false;
  let scheduled = false;
  let revision = 0;
  let last: Compiled | undefined;
  let lastCompileMs = 0;
  let waitsSince = Number.POSITIVE_INFINITY;

  const settled = (): number => (d.clock.monotonicMs() - waitsSince > SETTLE_MAX_MS ? revision : d.settled());
  const acked = (): void => {
    if (d.compiler.waits() && settled() >= revision) mark();
  };

  const publish = (compiled: Compiled): void => {
    revision += 1;
    d.compiler.publish();
    d.dispatcher.publish({ revision, epoch: d.epoch() }, nobody);
    verdicts.update(compiled, revision);
    if (!d.compiler.waits()) waitsSince = Number.POSITIVE_INFINITY;
    else if (waitsSince === Number.POSITIVE_INFINITY) {
      waitsSince = d.clock.monotonicMs();
      d.clock.after(SETTLE_MAX_MS + 1, acked);
    }
    acked();
  };

  const run = (): void => {
    scheduled = false;
    const dirty = d.world.takeDirty();
    const begin = d.clock.monotonicMs();
    try {
      const compiled = d.compiler.compile(d.world.tables, dirty, { revision: revision + 1, settled: settled() });
      d.dispatcher.stage(compiled);
      last = compiled;
      publish(compiled);
      lastCompileMs = d.clock.monotonicMs() - begin;
      d.onCompiled(compiled, dirty);
    } catch (error) {
      // nodes keep what they have; the next change tries again
      d.log.error('compile failed, nodes keep the last revision', { error });
    }
  };
  const mark = (): void => {
    if (!started || scheduled) return;
    scheduled = true;
    d.clock.after(QUIET_MS, run);
  };

  return {
    mark,
    acked,
    start() {
      started = true;
      run();
    },
    last: () => last,
    revision: () => revision,
    raiseRevision(floor) {
      revision = Math.max(revision, floor);
    },
    verdicts,
    lastCompileMs: () => lastCompileMs,
  };
}
