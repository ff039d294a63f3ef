// What a change must pass before it is a revision. Called by the gatekeeper; one file a gate.
import type { Compiled } from '../compiler.ts';

/** Reasons in the status of a refused object. */
export type RefusalReason = 'CapacityExceeded' | 'BreaksInvariant' | 'CutsOffNode';

export interface Refusal {
  readonly reason: RefusalReason;
  readonly message: string;
}

export interface Breach {
  /** Equal for the same trouble in two states. */
  readonly key: string;
  /** Of two states the one with less is better. */
  readonly weight: number;
  readonly refusal: Refusal;
  /** More objects can only make it worse, never better. */
  readonly grows: boolean;
  /** This node cannot take the state at all. */
  readonly node?: string | undefined;
}

export interface Gate {
  readonly name: string;
  /** Everything that is wrong with a state. The dispatcher has staged it. */
  check(compiled: Compiled): readonly Breach[];
}
