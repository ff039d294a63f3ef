// Living things: start(signal), stop in reverse, report health.

export type Health = { readonly state: 'ok' } | { readonly state: 'degraded' | 'stopped'; readonly reason: string };

export interface Living {
  readonly name: string;
  /** Resolves when running; ends when `signal` aborts. */
  start(signal: AbortSignal): Promise<void>;
  health(): Health;
}

/** Yields the event loop; call inside long loops when `budgetMs` is used up. */
export function createYielder(budgetMs = 8): () => Promise<void> {
  let started = performance.now();
  return async () => {
    if (performance.now() - started < budgetMs) return;
    await new Promise<void>((r) => setImmediate(r));
    started = performance.now();
  };
}
