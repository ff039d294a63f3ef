// The dead man's switch of host policies: one that changed is on trial until the operator was heard and reached afresh under it; when that does
// not happen in time the agent puts the one before back by itself. Called by wiring; apply plans and writes.
import { type Clock, describeError, type Health, type Living, type Log, type Timer } from '@axoneme/std';
import type { Apply } from '../apply/apply.ts';
import { describeRefusal, type HostState, sameTrial, type Trial } from './state.ts';

export interface HostGuardDeps {
  readonly apply: Pick<Apply, 'host' | 'onHost' | 'confirmHost' | 'revertHost'>;
  readonly confirmMs: number;
  /** Opens a new connection to an operator: what is established may outlive what would still be admitted. */
  readonly reachable: (signal: AbortSignal) => Promise<boolean>;
  /** Dial again: what happened to the link under the policy that is gone tells nothing. */
  readonly reconnect: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface HostGuard extends Living {
  /** A message of the operator came. */
  heard(): void;
  status(): object;
}

const askAgainMs = 1_000;

export function createHostGuard(d: HostGuardDeps): HostGuard {
  let life = new AbortController().signal;
  let trial: Trial | undefined;
  let deadline: Timer | undefined;
  let again: Timer | undefined;
  let over = new AbortController();
  let heard = false;
  let asking = false;

  const end = (): void => {
    trial = undefined;
    heard = false;
    deadline?.cancel();
    again?.cancel();
    over.abort();
  };
  const names = (t: Trial): readonly string[] => t.changes.map((c) => c.artifact);

  const revert = async (of: Trial): Promise<void> => {
    if (trial !== of) return;
    end();
    d.log.error('no operator could be reached under the changed host policy, putting back the one before', {
      artifacts: names(of),
      afterMs: d.clock.nowMs() - of.sinceMs,
    });
    const done = await d.apply.revertHost(of);
    if (!done.ok) d.log.error('the host policy before is in force, but not everything about it could be stored', { error: done.error });
    d.reconnect();
  };
  const ask = async (of: Trial): Promise<void> => {
    if (asking || trial !== of) return;
    asking = true;
    const reached = await d.reachable(over.signal).catch((error: unknown) => {
      d.log.debug('operator not reached', { reason: describeError(error) });
      return false;
    });
    asking = false;
    if (trial !== of) return trial && heard ? ask(trial) : undefined;
    if (!reached) {
      again = d.clock.after(askAgainMs, () => void ask(of));
      return;
    }
    end();
    d.log.info('changed host policy confirmed', { artifacts: names(of), afterMs: d.clock.nowMs() - of.sinceMs });
    const done = await d.apply.confirmHost(of);
    if (!done.ok) d.log.error('host policy not confirmed', { error: done.error });
  };
  const follow = (state: HostState): void => {
    const next = state.trial;
    if (sameTrial(next, trial)) return;
    end();
    if (next === undefined || life.aborted) return;
    over = new AbortController();
    trial = next;
    // a clock that was set back must not make the trial longer
    const left = d.confirmMs - Math.max(0, d.clock.nowMs() - next.sinceMs);
    d.log.info('host policy on trial', { artifacts: names(next), leftMs: Math.max(0, left) });
    deadline = d.clock.after(Math.max(0, left), () => void revert(next));
  };

  return {
    name: 'host-policy',
    heard() {
      if (trial === undefined || heard) return;
      heard = true;
      void ask(trial);
    },
    status: () => d.apply.host(),
    health(): Health {
      const last = d.apply.host().refused.findLast((r) => d.clock.nowMs() < r.untilMs);
      return last === undefined ? { state: 'ok' } : { state: 'degraded', reason: describeRefusal(last) };
    },
    async start(signal) {
      life = signal;
      signal.addEventListener('abort', end);
      d.apply.onHost(follow);
      follow(d.apply.host());
    },
  };
}
