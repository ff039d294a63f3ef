// A histogram of Prometheus text as counts, the difference of two, and quantiles of it. Called by the cluster bench.

/** Cumulative counts by upper bound, ascending, the last one +Inf. */
export type Histogram = readonly (readonly [bound: number, count: number])[];

export function parseHistogram(text: string, name: string, labels: Readonly<Record<string, string>>): Histogram {
  const sums = new Map<number, number>();
  for (const line of text.split('\n')) {
    const m = new RegExp(`^${name}_bucket\\{(.*)\\} (\\S+)$`).exec(line);
    if (m === null) continue;
    const found = new Map([...m[1]!.matchAll(/(\w+)="([^"]*)"/g)].map((x) => [x[1]!, x[2]!]));
    if (Object.entries(labels).some(([k, v]) => found.get(k) !== v)) continue;
    const bound = found.get('le') === '+Inf' ? Number.POSITIVE_INFINITY : Number(found.get('le'));
    sums.set(bound, (sums.get(bound) ?? 0) + Number(m[2]));
  }
  return [...sums].sort(([a], [b]) => a - b);
}

export function difference(after: Histogram, before: Histogram): Histogram {
  const old = new Map(before);
  return after.map(([bound, n]) => [bound, n - (old.get(bound) ?? 0)] as const);
}

export const countOf = (h: Histogram): number => h.at(-1)?.[1] ?? 0;

/** Linear inside a bucket, as Prometheus does it; the last finite bound for what lies above it. */
export function histogramQuantile(h: Histogram, share: number): number {
  const rank = share * countOf(h);
  let [lower, below] = [0, 0];
  for (const [bound, n] of h) {
    if (n >= rank && n > below)
      return bound === Number.POSITIVE_INFINITY ? lower : lower + ((bound - lower) * (rank - below)) / (n - below);
    [lower, below] = [bound, n];
  }
  return Number.NaN;
}
