/** Probes the data paths of one node again and again, and says what to make of each remote. No packet waits for it. */
import { type HealthStatus, isDemoted, type RemoteHealth } from "../model/health.ts";
import type { PeersStatus } from "../model/status.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import type { TablesView } from "../tables/tables-view.ts";
import { DIAL_OUTCOMES, type Dialer, type DialOutcome } from "./dialer.ts";
import { PathStates } from "./path-states.ts";
import { type ProbedCluster, TargetChoice, type TargetKey } from "./targets.ts";
import { controlPlaneOf, decide } from "./two-signals.ts";

export interface ProbesOptions {
  readonly view: TablesView;
  readonly node: string;
  readonly dialer: Dialer;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  /** Targets in all; 0: nothing is probed. */
  readonly probeTargets: number;
  /** Between two rounds, and up to `probeJitterMs` more. */
  readonly probeIntervalMs: number;
  readonly probeJitterMs: number;
  readonly probeTimeoutMs: number;
  /** Connections that are tried at one time. */
  readonly probeConcurrency: number;
  readonly probeFailures: number;
  readonly probeSuccesses: number;
  readonly probeSelfWindowMs: number;
  /** Told after each round. */
  readonly probed: () => void;
}

export class Probes {
  readonly #options: ProbesOptions;
  readonly #states: PathStates;
  readonly #choice: TargetChoice;
  #clusters: readonly ProbedCluster[] = [];

  constructor(options: ProbesOptions) {
    this.#options = options;
    const { probeFailures: failures, probeSuccesses: successes, probeSelfWindowMs: selfWindowMs } = options;
    this.#choice = new TargetChoice(options.view, options.node, options.probeTargets);
    this.#states = new PathStates({ failures, successes, selfWindowMs });
  }

  /** Resolves when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, probeTargets, probeIntervalMs, probeJitterMs } = this.#options;
    if (probeTargets === 0) return;
    while (!signal.aborted) {
      await sleep(clock, probeIntervalMs + random.next() * probeJitterMs, signal);
      await this.#round(signal);
    }
  }

  /** @param peers what the mirror says now. */
  status({ remotes }: PeersStatus): HealthStatus {
    const { suspectsItself } = this.#states;
    const grades = new Map(remotes.map(({ cluster, grade }) => [cluster, grade]));
    const nowMs = this.#options.clock.nowMs();
    return {
      suspectsItself,
      remotes: this.#clusters.map(({ name: cluster, id: clusterId, targets }): RemoteHealth => {
        const path = this.#states.get(cluster) ?? { dataPath: "unknown", sinceMs: nowMs, answered: 0 };
        const { dataPath, sinceMs, answered } = path;
        const controlPlane = controlPlaneOf(grades.get(cluster) ?? "unknown");
        const decision = decide(controlPlane, dataPath, suspectsItself);
        const probed = { targets: targets.size, answered };
        return { cluster, clusterId, dataPath, sinceMs: nowMs - sinceMs, ...probed, controlPlane, decision };
      }),
    };
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { clock, probed } = this.#options;
    const clusters = this.#choice.choose((cluster, key) => this.#states.isProved(cluster, key));
    const outcomes = await this.#dialAll(clusters, signal);
    if (signal.aborted) return;
    this.#clusters = clusters;
    this.#states.round(
      new Map(
        clusters.map(({ name, targets }) => {
          return [name, new Map([...targets.keys()].map((key) => [key, answers(outcomes.get(key))]))];
        }),
      ),
      clock.nowMs(),
    );
    for (const cluster of clusters) {
      const { name, targets } = cluster;
      const silent = [...targets.keys()].filter((key) => outcomes.get(key) === "silent");
      this.#choice.passOver(
        cluster,
        silent.filter((key) => !this.#states.isProved(name, key)),
      );
    }
    this.#count(clusters, outcomes);
    probed();
  }

  async #dialAll(clusters: readonly ProbedCluster[], signal: AbortSignal) {
    const { dialer, probeTimeoutMs, probeConcurrency } = this.#options;
    const waiting = new Map(clusters.flatMap(({ targets }) => [...targets])).entries();
    const outcomes = new Map<TargetKey, DialOutcome>();
    const work = async (): Promise<void> => {
      for (const [key, target] of waiting) outcomes.set(key, await dialer.dial(target, probeTimeoutMs, signal));
    };
    await Promise.all(Array.from({ length: probeConcurrency }, work));
    return outcomes;
  }

  #count(clusters: readonly ProbedCluster[], outcomes: ReadonlyMap<TargetKey, DialOutcome>): void {
    const total = this.#options.metrics.counter("bulkhead_probes_total", "TCP probes of remotes.", [
      "remote",
      "outcome",
    ]);
    for (const { name: remote, targets } of clusters) {
      const found = [...targets.keys()].map((key) => outcomes.get(key));
      for (const outcome of DIAL_OUTCOMES) {
        const count = found.filter((one) => one === outcome).length;
        if (count > 0) total.add(count, { remote, outcome });
      }
    }
  }
}

function answers(outcome: DialOutcome | undefined): boolean | undefined {
  if (outcome === undefined || outcome === "untried") return undefined;
  return outcome !== "silent";
}

/** What becomes of services: cluster id to why its backends serve only where there are no others. */
export function demotionsOf({ remotes }: HealthStatus): ReadonlyMap<number, string> {
  const demoted = remotes.filter(({ decision }) => isDemoted(decision));
  return new Map(
    demoted.map(({ cluster, clusterId, decision }) => {
      const dead = `data path to ${cluster} is dead`;
      return [clusterId, decision === "demote" ? `demoted: ${dead}` : `taken out: its etcd is silent and the ${dead}`];
    }),
  );
}
