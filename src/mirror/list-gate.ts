/** How many remotes may be listed at once: a full list is the one thing that is dear to both sides. First come, first served. */
import type { Gauge } from "../runtime/metrics.ts";

export class ListGate {
  readonly #maxConcurrent: number;
  readonly #gauge: Gauge;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(maxConcurrent: number, gauge: Gauge) {
    this.#maxConcurrent = maxConcurrent;
    this.#gauge = gauge;
  }

  async run<T>(action: () => Promise<T>): Promise<T> {
    if (this.#running < this.#maxConcurrent) this.#running++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#gauge.set(this.#running);
    try {
      return await action();
    } finally {
      // The place is handed to the next one, not given back: nobody can jump the queue.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
      this.#gauge.set(this.#running);
    }
  }
}
