// What a backend is good for: one enum, a pure function of what is known of it now. There is no memory: whatever it was before, the same
// conditions make the same state, so that nothing can be stuck in one. Called by the compile.
export const backendStates = ['active', 'terminating-serving', 'terminating', 'not-ready', 'quarantined', 'maintenance'] as const;
export type BackendState = (typeof backendStates)[number];

export interface BackendFacts {
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** 0 takes it out without an error. */
  readonly weight?: number | undefined;
  /** A health check failed. */
  readonly quarantined?: boolean | undefined;
}

/** Ready wins over terminating: that is how `publishNotReadyAddresses` reaches the slices. */
export function backendState(f: BackendFacts): BackendState {
  if (f.weight === 0) return 'maintenance';
  const state = f.ready ? 'active' : f.terminating ? (f.serving ? 'terminating-serving' : 'terminating') : 'not-ready';
  return f.quarantined === true && (state === 'active' || state === 'terminating-serving') ? 'quarantined' : state;
}

/** Smaller is better; one address in two slices counts with its better state. */
export const stateRank = (s: BackendState): number => backendStates.indexOf(s);

/** Nobody is given these any more; whoever has one keeps it until he or it is gone. */
export const isDraining = (s: BackendState): boolean => s === 'terminating-serving' || s === 'terminating' || s === 'maintenance';

/** New flows: the active ones; if there is none, those that leave but still serve. */
export function selectServing<T extends { readonly state: BackendState }>(backends: readonly T[]): T[] {
  const active = backends.filter((b) => b.state === 'active');
  return active.length > 0 ? active : backends.filter((b) => b.state === 'terminating-serving');
}
