// Metrics facade on prom-client: names carry the prefix `axoneme_`, the registry belongs to the caller (no module state).
import { AppError } from '@axoneme/std';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type Labels = Readonly<Record<string, string>>;

export interface CounterMetric {
  add(amount: number, labels?: Labels): void;
}
export interface GaugeMetric {
  set(value: number, labels?: Labels): void;
  /** Forgets one series, e.g. of a node that is gone. */
  remove(labels: Labels): void;
}
export interface HistogramMetric {
  observe(value: number, labels?: Labels): void;
}

export interface MetricOptions {
  /** Without the prefix, unit at the end: `node_bytes_total`. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

export interface Metrics {
  counter(o: MetricOptions): CounterMetric;
  gauge(o: MetricOptions): GaugeMetric;
  histogram(o: MetricOptions & { readonly buckets: readonly number[] }): HistogramMetric;
  /** A gauge read when somebody asks: `read` returns one value, or one per label set. */
  observed(o: MetricOptions, read: () => number | Iterable<readonly [Labels, number]>): void;
  /** Prometheus text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** `process`: also export process and event loop metrics (memory, CPU, lag, GC). */
export function createMetrics(config: { readonly process?: boolean } = {}): Metrics {
  const registry = new Registry();
  if (config.process === true) collectDefaultMetrics({ register: registry, prefix: 'axoneme_' });
  const names = new Set<string>();
  const options = (o: MetricOptions): { name: string; help: string; labelNames: string[]; registers: Registry[] } => {
    const name = `axoneme_${o.name}`;
    if (names.has(name)) throw new AppError({ code: 'telemetry/duplicate-metric', message: `metric ${name} is registered twice` });
    names.add(name);
    return { name, help: o.help, labelNames: [...(o.labels ?? [])], registers: [registry] };
  };
  return {
    counter(o) {
      const c = new Counter(options(o));
      return { add: (amount, labels) => c.inc({ ...labels }, amount) };
    },
    gauge(o) {
      const g = new Gauge(options(o));
      return { set: (value, labels) => g.set({ ...labels }, value), remove: (labels) => g.remove({ ...labels }) };
    },
    histogram(o) {
      const h = new Histogram({ ...options(o), buckets: [...o.buckets] });
      return { observe: (value, labels) => h.observe({ ...labels }, value) };
    },
    observed(o, read) {
      new Gauge({
        ...options(o),
        collect() {
          this.reset();
          const values = read();
          if (typeof values === 'number') this.set(values);
          else for (const [labels, value] of values) this.set({ ...labels }, value);
        },
      });
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
