// One cell of the table of verdicts: who asks whom, how, and what should come of it.
import type { Actor } from './actors.ts';
import type { Question } from './prober.ts';

export type Protocol = Question['protocol'];
/** A number is the reason of the drop. 133: nobody allowed it. 181: a rule denied it. */
export type Verdict = 'pass' | number;

export interface Cell {
  readonly from: Actor;
  readonly to: Actor;
  readonly protocol: Protocol;
  readonly port: number;
  readonly family: 4 | 6;
}

export type Expect = (c: Cell) => Verdict;

export const ipOf = (a: Actor, family: 4 | 6): string => (family === 4 ? a.ipv4 : a.ipv6);
