// The compile loop: notes changes, compiles at its own pace, gives every node its desired artifacts at a new revision. Called by wiring.ts.
import type { Clock, Log } from '@axoneme/std';
import type { Dirty, World } from '../world/world.ts';
import type { Compiled, Compiler } from './compiler.ts';
import type { Dispatcher } from './dispatch.ts';
import type { Decision, Gatekeeper } from './gates/gatekeeper.ts';
import { createVerdicts, type Verdicts } from './verdicts.ts';

export interface LoopDeps {
  readonly world: World;
  readonly compiler: Compiler;
  readonly dispatcher: Dispatcher;
  readonly gatekeeper: Gatekeeper;
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
  /** What the gates said of it. */
  decision(): Decision | undefined;
  revision(): number;
  /** Revisions below this were used before a restart. */
  raiseRevision(floor: number): void;
  readonly verdicts: Verdicts;
  lastCompileMs(): number;
}

/** Changes that come together are compiled together; short enough not to be felt. */
const QUIET_MS = 4;
/** A node that never acknowledges does not keep numbers alive for ever. */
const SETTLE_MAX_MS = 30_000;
/** What was refused is tried again with the next change of a policy, group or invariant, else at this pace. */
const RETRY_MS = 5_000;

export function createCompileLoop(d: LoopDeps): CompileLoop {
  const verdicts = createVerdicts();
  let started = false;
  let scheduled = false;
  let revision = 0;
  let last: Compiled | undefined;
  let lastCompileMs = 0;
  let decision: Decision | undefined;
  let retryAt = 0;
  let retryPlanned = false;
  let waitsSince = Number.POSITIVE_INFINITY;

  const settled = (): number => (d.clock.monotonicMs() - waitsSince > SETTLE_MAX_MS ? revision : d.settled());
  const acked = (): void => {
    if (d.compiler.waits() && settled() >= revision) mark();
  };

  const publish = ({ compiled, heldBack, refusals }: Decision): void => {
    revision += 1;
    d.compiler.publish();
    d.dispatcher.publish({ revision, epoch: d.epoch() }, heldBack);
    verdicts.update(compiled, revision, d.compiler.takeVerdictChanges(), refusals);
    if (!d.compiler.waits()) waitsSince = Number.POSITIVE_INFINITY;
    else if (waitsSince === Number.POSITIVE_INFINITY) {
      waitsSince = d.clock.monotonicMs();
      d.clock.after(SETTLE_MAX_MS + 1, acked);
    }
    acked();
  };

  /** Whether refused objects are tried again with this compile; if the time has not come, they are later. */
  const retries = (dirty: Dirty): boolean => {
    if (d.gatekeeper.refusals().size === 0) return false;
    const now = d.clock.monotonicMs();
    // a policy is dirty after each write of its status too
    const fresh = d.compiler.units.open().some((u) => d.compiler.units.used(u.key) === u.wanted);
    if (fresh || dirty.has('invariants') || now >= retryAt) {
      retryAt = now + RETRY_MS;
      return true;
    }
    if (dirty.size > 0 && !retryPlanned) {
      retryPlanned = true;
      d.clock.after(retryAt - now + 1, () => {
        retryPlanned = false;
        mark();
      });
    }
    return false;
  };

  const run = (): void => {
    scheduled = false;
    const dirty = d.world.takeDirty();
    const begin = d.clock.monotonicMs();
    try {
      const candidate = d.compiler.compile(d.world.tables, dirty, { revision: revision + 1, settled: settled() });
      d.dispatcher.stage(candidate);
      decision = d.gatekeeper.decide(candidate, retries(dirty));
      const { compiled } = decision;
      last = compiled;
      publish(decision);
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
    decision: () => decision,
    revision: () => revision,
    raiseRevision(floor) {
      revision = Math.max(revision, floor);
    },
    verdicts,
    lastCompileMs: () => lastCompileMs,
  };
}
