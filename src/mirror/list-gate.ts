/**
 * How many remotes may be listed at once: a full list is the one thing that is dear to both sides. First come, first served. A list
 * that takes long goes on, but not at the expense of others: its place is given to the next one.
 */
import type { Clock } from "../runtime/clock.ts";
import type { Gauge } from "../runtime/metrics.ts";

/** Longest time for which a list keeps others waiting. */
export const MAX_HOLD_MS = 10_000;

export class ListGate {
  readonly #maxConcurrent: number;
  readonly #clock: Clock;
  readonly #gauge: Gauge;
  readonly #waiting: (() => void)[] = [];
  /** Places taken; slow lists run without one. */
  #taken = 0;
  #running = 0;

  constructor(maxConcurrent: number, clock: Clock, gauge: Gauge) {
    this.#maxConcurrent = maxConcurrent;
    this.#clock = clock;
    this.#gauge = gauge;
  }

  /** Resolves to how to leave, which may be done more than once. */
  async enter(): Promise<() => void> {
    if (this.#taken < this.#maxConcurrent) this.#taken++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    let held = true;
    const pass = (): void => {
      if (held) this.#next();
      held = false;
    };
    const timer = this.#clock.after(MAX_HOLD_MS, pass);
    this.#gauge.set(++this.#running);
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      timer.cancel();
      pass();
      this.#gauge.set(--this.#running);
    };
  }

  /** The place is handed on, not given back: nobody can jump the queue. */
  #next(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#taken--;
  }
}
