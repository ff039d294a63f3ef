// Numbers by lot that are the same for the same seed. For suites of random rows and packets.

export interface Dice {
  below(n: number): number;
  of<T>(all: readonly T[]): T;
  /** True once in `n` times. */
  once(n: number): boolean;
  /** Some of these, in their order. */
  some<T>(all: readonly T[]): T[];
}

export function createDice(seed: number): Dice {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const below = (n: number): number => Math.floor(next() * n);
  return {
    below,
    of: (all) => all[below(all.length)]!,
    once: (n) => below(n) === 0,
    some: (all) => all.filter(() => next() < 0.4),
  };
}
