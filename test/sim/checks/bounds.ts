/** I7 and I8: nothing grows with what goes wrong, and what goes wrong at one cluster is not felt at another. */
import type { MirrorProcess } from "../processes.ts";
import type { SimCluster } from "../sim-cluster.ts";
import type { Stage } from "../stage.ts";

/** Writes queued beside one per key: config, canaries, records. */
const QUEUE_SLACK = 100;
const DIAL_WINDOW_MS = 30_000;
/** Tries at one remote in that time: pauses grow to 5 s, but configuration and etcds come and go. */
const MOST_DIALS = 80;
/** How long a change may take between two clusters at which nothing is wrong. */
const LAG_P99_MS = 500;
const LEAST_SAMPLES = 20;
/** What went wrong at a cluster is felt there for so long after: breakers, redials, audits, leases. */
export const AFTERMATH_MS = 15_000;

export class Bounds {
  readonly #stage: () => Stage;
  readonly #dials = new Map<string, number[]>();
  readonly #lags: number[] = [];

  constructor(stage: () => Stage) {
    this.#stage = stage;
  }

  dialled(mirror: MirrorProcess, remote: string): void {
    const { world, trace, mirrors } = this.#stage();
    const nowMs = world.clock.nowMs();
    const name = `mirror ${mirrors.indexOf(mirror)} to ${remote}`;
    const dials = (this.#dials.get(name) ?? []).filter((atMs) => atMs > nowMs - DIAL_WINDOW_MS);
    this.#dials.set(name, [...dials, nowMs]);
    if (dials.length === MOST_DIALS) trace.violate("I7", `${name}: ${MOST_DIALS} tries in ${DIAL_WINDOW_MS} ms`);
  }

  /** A value came from one cluster's etcd to another's. */
  lag(local: SimCluster, remote: SimCluster, saidMs: number): void {
    const { world } = this.#stage();
    // Who says that others' addresses are its own refuses them for a while after.
    if (local.selfHarm || isTroubled(local, saidMs) || isTroubled(remote, saidMs)) return;
    this.#lags.push(world.clock.nowMs() - saidMs);
  }

  /** How many changes went between clusters at which nothing was wrong. */
  get samples(): number {
    return this.#lags.length;
  }

  checkQueues(): void {
    const { mirrors, clusters, trace } = this.#stage();
    const names = clusters.reduce((sum, { truth }) => sum + [...truth.names()].length, 0);
    for (const [index, mirror] of mirrors.entries()) {
      const queued = mirror.status()?.queued ?? 0;
      if (queued > 2 * names + QUEUE_SLACK) trace.violate("I7", `mirror ${index} has ${queued} writes queued`);
    }
  }

  checkLags(): void {
    if (this.#lags.length < LEAST_SAMPLES) return;
    const sorted = [...this.#lags].sort((left, right) => left - right);
    const p99 = sorted[Math.floor(sorted.length * 0.99)] ?? 0;
    if (p99 > LAG_P99_MS)
      this.#stage().trace.violate("I8", `p99 of the lag where nothing is wrong is ${Math.round(p99)} ms`);
  }
}

function isTroubled(cluster: SimCluster, sinceMs: number): boolean {
  return cluster.troubles.size > 0 || cluster.troubledUntilMs + AFTERMATH_MS >= sinceMs;
}
