// @axoneme/balancer: a load balancer of its own, without pods, operator or API server: its services are in a file. Called by the command line.
// What needs the kernel is loaded when it is called: looking at a file does not.
import type { LbOptions } from './run.ts';

export { askExplain, askStatus, parseTuple } from './control.ts';
export { type PlacedProblem, problemsError, problemText, type ReadFile, readStateFile, replaceFile, withState } from './state-file.ts';
export type { BackendStatus, LbStatus, ServiceStatus } from './status.ts';
export type { LbOptions };

/** Resolves when `signal` aborts and everything that ran is stopped; rejects when it cannot run here. */
export const runLb = async (o: LbOptions, signal: AbortSignal): Promise<void> => (await import('./run.ts')).runLb(o, signal);

/** Takes a stopped balancer off this machine; what was removed. Errors: `agent/already-running`. */
export const removeLb = async (o: Pick<LbOptions, 'socket' | 'bpffs' | 'stateDir' | 'devices'>): Promise<readonly string[]> =>
  (await import('./run.ts')).removeLb(o);
