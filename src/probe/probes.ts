/** Probes the data paths of one node again and again, and says what to make of each remote. No packet waits for it. */
import { type Connections, type HealthStatus, isDemoted, type RemoteHealth } from "../model/health.ts";
import type { PeersStatus } from "../model/status.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import type { TablesView } from "../tables/tables-view.ts";
import { type Counts, type CountsByCluster, NO_COUNTS, since } from "./connections.ts";
import { DIAL_OUTCOMES, type Dialer, type DialOutcome } from "./dialer.ts";
import { PathStates } from "./path-states.ts";
import { type ProbedCluster, TargetChoice, type TargetKey } from "./targets.ts";
import { controlPlaneOf, decide } from "./two-signals.ts";
import { type Word, wordOf } from "./witnesses.ts";

/** Between two looks at what connections meet. */
const LOOK_MS = 1_000;
/** After a round that silent connections hastened and that found answers: those connections have some other fault. */
const NO_HASTE_MS = 60_000;
/** Of what connections met, how much the status tells. */
const TOLD_MS = 60_000;

export interface ProbesOptions {
  readonly view: TablesView;
  readonly node: string;
  readonly dialer: Dialer;
  /** What connections of workloads met, since whenever. */
  readonly connections: () => Promise<CountsByCluster>;
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
  /** When the last round had ended, at the last look, and at the ends of rounds within TOLD_MS. */
  #then: CountsByCluster = new Map();
  #lately: CountsByCluster = new Map();
  #told: readonly { readonly atMs: number; readonly counts: CountsByCluster }[] = [];
  #hasteFromMs = 0;

  constructor(options: ProbesOptions) {
    this.#options = options;
    const { probeFailures: failures, probeSuccesses: successes, probeSelfWindowMs: selfWindowMs } = options;
    this.#choice = new TargetChoice(options.view, options.node, options.probeTargets);
    this.#states = new PathStates({ failures, successes, selfWindowMs });
  }

  /** Resolves when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { random, probeTargets, probeIntervalMs, probeJitterMs } = this.#options;
    if (probeTargets === 0) return;
    await this.#begin();
    while (!signal.aborted) {
      const hastened = await this.#rest(probeIntervalMs + random.next() * probeJitterMs, signal);
      await this.#round(signal);
      if (hastened && !this.#isFailing()) this.#hasteFromMs = this.#options.clock.nowMs() + NO_HASTE_MS;
    }
  }

  /** What was counted before is no word on what is now. */
  async #begin(): Promise<void> {
    this.#then = await this.#options.connections();
    this.#lately = this.#then;
    this.#told = [{ atMs: this.#options.clock.nowMs(), counts: this.#then }];
  }

  /** Ends sooner, and answers true, when connections over a path that is alive meet silence: then it is asked at once. */
  async #rest(delayMs: number, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#options;
    for (let leftMs = delayMs; leftMs > 0 && !signal.aborted; leftMs -= LOOK_MS) {
      await sleep(clock, Math.min(leftMs, LOOK_MS), signal);
      const words = await this.#listen(this.#clusters);
      const silence = this.#clusters.some(({ name }) => {
        return words.get(name) === "silence" && this.#states.get(name)?.dataPath === "alive";
      });
      if (silence && clock.nowMs() >= this.#hasteFromMs) return true;
    }
    return false;
  }

  /** What connections say by now, by cluster. */
  async #listen(clusters: readonly ProbedCluster[]): Promise<ReadonlyMap<string, Word>> {
    const now = await this.#options.connections();
    const of = (counts: CountsByCluster, id: number): Counts => counts.get(id) ?? NO_COUNTS;
    const words = clusters.map(({ name, id }) => {
      return [name, wordOf(of(this.#then, id), of(this.#lately, id), of(now, id))] as const;
    });
    this.#lately = now;
    return new Map(words);
  }

  #isFailing(): boolean {
    return this.#clusters.some(({ name }) => {
      const path = this.#states.get(name);
      return path?.dataPath === "dead" || (path?.against ?? 0) > 0;
    });
  }

  /** Within the last minute, to the last round. */
  #connectionsTo(id: number): Connections {
    const first = this.#told[0]?.counts.get(id) ?? NO_COUNTS;
    const { silentAt: _, ...connections } = since(first, this.#told.at(-1)?.counts.get(id) ?? NO_COUNTS);
    return connections;
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
        const probed = { targets: targets.size, answered, connections: this.#connectionsTo(clusterId) };
        return { cluster, clusterId, dataPath, sinceMs: nowMs - sinceMs, ...probed, controlPlane, decision };
      }),
    };
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { clock, probed } = this.#options;
    const clusters = this.#choice.choose((cluster, key) => this.#states.isProved(cluster, key));
    await this.#listen(clusters);
    const outcomes = await this.#dialAll(clusters, signal);
    if (signal.aborted) return;
    const words = await this.#listen(clusters);
    this.#clusters = clusters;
    this.#then = this.#lately;
    const nowMs = clock.nowMs();
    const told = this.#told.filter(({ atMs }) => nowMs - atMs <= TOLD_MS);
    this.#told = [...told, { atMs: nowMs, counts: this.#then }];
    this.#states.round(
      new Map(
        clusters.map(({ name, targets }) => {
          return [name, new Map([...targets.keys()].map((key) => [key, answers(outcomes.get(key))]))];
        }),
      ),
      nowMs,
      words,
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
