// Lets changes of policy objects and CIDR groups through that every gate is content with, and rolls the others back, one by one. Called by the loop.
import type { Compiled, Compiler } from '../compiler.ts';
import type { Unit } from '../units.ts';
import type { Breach, Gate, Refusal } from './gate.ts';

export interface Decision {
  readonly compiled: Compiled;
  /** By key of the unit. */
  readonly refusals: ReadonlyMap<string, Refusal>;
  /** Nodes that cannot take the state; nobody's change is to blame. */
  readonly heldBack: ReadonlySet<string>;
  /** What is wrong all the same. */
  readonly breaches: readonly Breach[];
}

export interface Gatekeeper {
  /** `first` is staged. `retry`: what was refused before is tried again. */
  decide(first: Compiled, retry: boolean): Decision;
  /** Units that are refused now. */
  refusals(): ReadonlyMap<string, Refusal>;
}

export interface GatekeeperDeps {
  readonly compiler: Pick<Compiler, 'again' | 'units'>;
  readonly stage: (compiled: Compiled) => void;
  readonly gates: readonly Gate[];
  /** A gate that cannot answer (then with an error) stops nobody: nothing would go through any more. */
  readonly onAnswer: (gate: string, error: unknown) => void;
}

/** A batch is not cut into pieces without end: what is left after so many compiles is judged as a whole. */
const ATTEMPTS_MAX = 256;

type Weights = ReadonlyMap<string, number>;

const weightsOf = (breaches: readonly Breach[]): Weights => new Map(breaches.map((b) => [b.key, b.weight]));
const firstWorse = (breaches: readonly Breach[], than: Weights): Breach | undefined =>
  breaches.find((b) => b.weight > (than.get(b.key) ?? 0));

const createdMs = (u: Unit): number => (u.wanted ?? u.admitted)?.createdMs ?? 0;
const byAge = (a: Unit, b: Unit): number => createdMs(a) - createdMs(b) || (a.key < b.key ? -1 : 1);

/** One decision: the state in use, and what is wrong with it. */
interface Trial {
  compiled: Compiled;
  breaches: readonly Breach[];
  /** How bad the state without the rest of the batch is: no unit may make it worse. */
  floor: Weights;
  attempts: number;
  /** The last choice of versions is not compiled yet. */
  stale: boolean;
}

export function createGatekeeper(d: GatekeeperDeps): Gatekeeper {
  const { units } = d.compiler;
  let refused = new Map<string, Refusal>();
  /** Before the first decision nothing is enforced: that state is no measure for what may be broken. */
  let begun = false;

  const check = (compiled: Compiled): readonly Breach[] =>
    d.gates.flatMap((g) => {
      try {
        const breaches = g.check(compiled);
        d.onAnswer(g.name, undefined);
        return breaches;
      } catch (error) {
        d.onAnswer(g.name, error);
        return [];
      }
    });
  const use = (t: Trial, list: readonly Unit[], which: 'wanted' | 'admitted'): void => {
    for (const u of list) if (units.use(u.key, which)) t.stale = true;
  };
  const evaluate = (t: Trial): void => {
    t.compiled = d.compiler.again();
    d.stage(t.compiled);
    t.breaches = check(t.compiled);
    t.attempts += 1;
    t.stale = false;
  };
  const accept = (t: Trial, list: readonly Unit[]): void => {
    t.floor = weightsOf(t.breaches);
    for (const u of list) refused.delete(u.key);
  };
  const refuse = (t: Trial, list: readonly Unit[], b: Breach): void => {
    use(t, list, 'admitted');
    for (const u of list) refused.set(u.key, b.refusal);
  };
  /** What blocks the list as a whole. Until something is enforced, a list that leaves anything broken is looked at one by one. */
  const obstacle = (t: Trial, list: readonly Unit[]): Breach | undefined =>
    firstWorse(t.breaches, t.floor) ?? (begun || list.length === 1 ? undefined : t.breaches.find((b) => !b.grows));

  const attempt = (t: Trial, list: readonly Unit[]): void => {
    if (list.length === 0) return;
    use(t, list, 'wanted');
    evaluate(t);
    const why = obstacle(t, list);
    if (why === undefined) accept(t, list);
    else split(t, list, why);
  };
  /** The list is in use and does not pass. */
  const split = (t: Trial, list: readonly Unit[], why: Breach): void => {
    const worse = firstWorse(t.breaches, t.floor);
    if (list.length === 1 || t.attempts > ATTEMPTS_MAX) {
      if (worse === undefined) accept(t, list);
      else refuse(t, list, why);
      return;
    }
    use(t, list, 'admitted');
    const half = list.length >> 1;
    attempt(t, list.slice(0, half));
    attempt(t, list.slice(half));
  };

  const judge = (t: Trial, retry: boolean): void => {
    const open = [...units.open()].sort(byAge);
    const fresh = open.filter((u) => units.used(u.key) === u.wanted);
    const waiting = open.filter((u) => units.used(u.key) !== u.wanted);
    for (const u of fresh) refused.delete(u.key);
    if (t.breaches.length === 0 || fresh.length === 0) accept(t, fresh);
    else {
      const whole = t.breaches;
      use(t, fresh, 'admitted');
      evaluate(t);
      t.floor = weightsOf(t.breaches);
      const why = firstWorse(whole, t.floor) ?? (begun || fresh.length === 1 ? undefined : whole.find((b) => !b.grows));
      if (why !== undefined && fresh.length === 1) refuse(t, fresh, why);
      else if (why !== undefined) split(t, fresh, why);
      else {
        use(t, fresh, 'wanted');
        evaluate(t);
        accept(t, fresh);
      }
    }
    if (retry) attempt(t, waiting);
    if (t.stale) evaluate(t);
  };

  return {
    refusals: () => refused,
    decide(first, retry) {
      refused = new Map(refused);
      const t: Trial = { compiled: first, breaches: check(first), floor: new Map(), attempts: 0, stale: false };
      judge(t, retry);
      begun = true;
      units.admit();
      const still = new Set(units.open().map((u) => u.key));
      for (const key of refused.keys()) if (!still.has(key)) refused.delete(key);
      const heldBack = new Set(t.breaches.flatMap((b) => b.node ?? []));
      return { compiled: t.compiled, refusals: refused, heldBack, breaches: t.breaches };
    },
  };
}
