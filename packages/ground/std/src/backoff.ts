// Exponential backoff with full jitter, as a pure sequence.

export interface BackoffConfig {
  readonly baseMs: number;
  readonly maxMs: number;
  readonly factor?: number;
}

export interface Backoff {
  /** Delay before the next attempt, in milliseconds. */
  nextMs(): number;
  reset(): void;
}

export function createBackoff(c: BackoffConfig, random: () => number = Math.random): Backoff {
  let attempt = 0;
  return {
    nextMs() {
      const ceiling = Math.min(c.maxMs, c.baseMs * (c.factor ?? 2) ** attempt);
      attempt = Math.min(attempt + 1, 60);
      return Math.round(ceiling / 2 + random() * (ceiling / 2));
    },
    reset() {
      attempt = 0;
    },
  };
}
