/** Metrics (prom-client): a registry per program, so that tests and simulations never share one. */
import {
  collectDefaultMetrics,
  Counter as PromCounter,
  Gauge as PromGauge,
  Histogram as PromHistogram,
  Registry,
} from "prom-client";

/** Upper bounds of durations in seconds, for histograms. */
export const DURATION_BUCKETS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

export type Labels = Readonly<Record<string, string | number>>;

export interface Counter {
  add(count?: number, labels?: Labels): void;
}

export interface Gauge {
  set(value: number, labels?: Labels): void;
  /** Forgets all that was set: what is not set again is not exposed any more. */
  clear(): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

export class Metrics {
  readonly #registry = new Registry();
  readonly #known = new Map<string, unknown>();

  /** Adds the process's own: CPU, memory, event loop lag. */
  collectProcess(): void {
    collectDefaultMetrics({ register: this.#registry });
  }

  /** Asking twice for one name gives the same metric. */
  counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    return this.#once(name, () => {
      const counter = new PromCounter({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
      return { add: (count = 1, labels = {}) => counter.inc({ ...labels }, count) };
    });
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    return this.#once(name, () => {
      const gauge = new PromGauge({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
      return { set: (value, labels = {}) => gauge.set({ ...labels }, value), clear: () => gauge.reset() };
    });
  }

  histogram(name: string, help: string, buckets: readonly number[], labelNames: readonly string[] = []): Histogram {
    return this.#once(name, () => {
      const histogram = new PromHistogram({
        name,
        help,
        buckets: [...buckets],
        labelNames: [...labelNames],
        registers: [this.#registry],
      });
      return { observe: (value, labels = {}) => histogram.observe({ ...labels }, value) };
    });
  }

  /** The Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #once<M>(name: string, create: () => M): M {
    const known = this.#known.get(name) as M | undefined;
    if (known !== undefined) return known;
    const metric = create();
    this.#known.set(name, metric);
    return metric;
  }
}
