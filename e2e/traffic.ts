/** Connections that never pause while something else goes on, counted phase by phase. */
import { waitFor } from "../deploy/lab/lab.ts";
import type { PodRecord } from "../deploy/lab/state.ts";
import { askClient } from "../deploy/lab/workload/ask.ts";
import type { JobResult, Target } from "../deploy/lab/workload/jobs.ts";

/** Of one burst: short, so that what failed is known to within half a second. */
const CALLS = 250;
const CONCURRENCY = 2;
/** Bursts of one source at a time: while one begins, the other goes on. */
const CHAINS = 2;
const WITHIN_MS = 300_000;

/** Sums over some results. */
export type Counted = Pick<JobResult, "calls" | "answers" | "failures" | "unstarted"> & { readonly maxMs: number };

/** One pod's connections to one service, on and on. */
export interface Source {
  /** Resolves when the last of them is over. */
  stop(): Promise<void>;
}

export class Traffic {
  readonly #flights = new Set<Promise<void>>();
  #results: JobResult[] = [];
  #made = 0;
  #error: unknown;

  /** Calls so far. */
  get made(): number {
    return this.#made;
  }

  start(pod: PodRecord, target: Target): Source {
    let isStopped = false;
    const chain = async (): Promise<void> => {
      while (!isStopped && this.#error === undefined) await this.#burst(pod, target);
    };
    const chains = Array.from({ length: CHAINS }, chain);
    return {
      stop: async () => {
        isStopped = true;
        await Promise.all(chains);
      },
    };
  }

  /** Waits for this many calls in all. Rejects when a client fails as such. */
  async until(made: number): Promise<void> {
    await waitFor(
      `${made} connections`,
      WITHIN_MS,
      () => {
        if (this.#error !== undefined) throw this.#error;
        return this.#made >= made || undefined;
      },
      () => `(${this.#made} were made)`,
    );
  }

  /** What was counted since the last time, once every connection that has begun is over. */
  async turn(): Promise<Counted> {
    await Promise.all(this.#flights);
    const results = this.#results;
    this.#results = [];
    return together(results);
  }

  async #burst(pod: PodRecord, target: Target): Promise<void> {
    const job = { kind: "burst", target, count: CALLS, concurrency: CONCURRENCY } as const;
    const flight = askClient(pod.controlSocket, job).then(
      (result) => {
        this.#results.push(result);
        this.#made += result.calls;
      },
      (error: unknown) => {
        this.#error ??= error;
      },
    );
    this.#flights.add(flight);
    await flight;
    this.#flights.delete(flight);
  }
}

function together(results: readonly JobResult[]): Counted {
  const sums = (all: readonly Readonly<Record<string, number>>[]): Record<string, number> => {
    const sum: Record<string, number> = {};
    for (const counts of all) for (const [name, count] of Object.entries(counts)) sum[name] = (sum[name] ?? 0) + count;
    return sum;
  };
  return {
    calls: results.reduce((sum, { calls }) => sum + calls, 0),
    unstarted: results.reduce((sum, { unstarted }) => sum + unstarted, 0),
    answers: sums(results.map(({ answers }) => answers)),
    failures: sums(results.map(({ failures }) => failures)),
    maxMs: Math.max(0, ...results.map(({ latencyMs }) => latencyMs.max)),
  };
}
