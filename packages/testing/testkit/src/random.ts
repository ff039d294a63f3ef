// Seeded random numbers for simulations and benches. Not for secrets.

export interface SeededRandom {
  readonly seed: number;
  /** [0, 1) */
  next(): number;
  /** An integer from `first` to `last`, both included. */
  int(first: number, last: number): number;
  bool(probability?: number): boolean;
  pick<T>(list: readonly T[]): T;
  /** A fresh list in random order. */
  shuffle<T>(list: readonly T[]): T[];
}

/** Mulberry-style 32-bit generator: small, fast, the same on every machine. */
export function createRandom(seed: number): SeededRandom {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 0x1_0000_0000;
  };
  const int = (first: number, last: number): number => first + Math.floor(next() * (last - first + 1));
  return {
    seed,
    next,
    int,
    bool: (probability = 0.5) => next() < probability,
    pick: (list) => list[int(0, list.length - 1)]!,
    shuffle(list) {
      const out = [...list];
      for (let i = out.length - 1; i > 0; i--) {
        const j = int(0, i);
        [out[i], out[j]] = [out[j]!, out[i]!];
      }
      return out;
    },
  };
}

/** The seed of this run: `AXONEME_SEED` if set, else fresh. Print it, so that a failure can be repeated. */
export function runSeed(): number {
  const given = Number(process.env.AXONEME_SEED);
  return Number.isInteger(given) && given > 0 ? given : Math.floor(Math.random() * 0x7fff_ffff) + 1;
}
