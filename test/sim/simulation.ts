/**
 * Three clusters, real mirrors and real agents, on one virtual clock: a seed decides what changes and what breaks. Invariants are
 * those of the mirror (docs/TESTING.md): checked at every accepted write, at every step, and after everything has healed.
 */
import { MemoryKernel } from "../../src/kernel/memory.ts";
import { every } from "../../src/runtime/clock.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { Bounds } from "./checks/bounds.ts";
import { Freshness } from "./checks/freshness.ts";
import { checkHonesty } from "./checks/honesty.ts";
import { Nodes } from "./checks/nodes.ts";
import { sameClient } from "./doors.ts";
import type { FaultRow } from "./faults/row.ts";
import { ROWS } from "./faults/table.ts";
import { Link } from "./link.ts";
import { keepChanging } from "./load.ts";
import { AgentProcess, HOLDS_INTERVAL_MS, MirrorProcess, type Warps, type World } from "./processes.ts";
import { draw, Schedule } from "./schedule.ts";
import { SimCluster } from "./sim-cluster.ts";
import { skewed } from "./skew.ts";
import type { Stage } from "./stage.ts";
import { Trace } from "./trace.ts";
import { Truth } from "./truth.ts";

export const NO_WARPS: Warps = {
  mirror: () => ({ local: sameClient, remote: sameClient }),
  agent: () => sameClient,
  limits: {},
  disk: (disk) => disk,
  breaker: undefined,
};

export interface Outcome {
  readonly hash: string;
  readonly lines: number;
  readonly violations: readonly string[];
  /** Ids of the faults that showed themselves, and how often. */
  readonly faults: ReadonlyMap<string, number>;
  /** Changes between clusters at which nothing was wrong: what I8 was judged by. */
  readonly samples: number;
  readonly virtualMs: number;
  readonly tail: readonly string[];
}

export interface SimulationOptions {
  readonly warps?: Warps;
  /** What faults are drawn from. */
  readonly rows?: readonly FaultRow[];
  /** Ends with a violation like this: for those who only want to know whether there is one. */
  readonly stopAt?: RegExp;
  /** Told every line of the trace. */
  readonly onLine?: (line: string) => void;
}

const NAMES = ["amsterdam", "osaka", "virginia"] as const;
/** The first cluster has two mirrors, so that leadership moves. */
const MIRRORS = ["amsterdam", "amsterdam", "osaka", "virginia"] as const;
const WARM_UP_MS = 8_000;
const STORY_MS = 45_000;
/** Faults begin within this part of the story. */
const BEGIN_WITHIN_MS = 38_000;
const LONGEST_STEP_MS = 3_000;
/** Everything must be right this long after everything works again: a hold, a listing, an audit, the pauses between. */
const HEAL_MS = 45_000;

export async function simulate(seed: number, options: SimulationOptions = {}): Promise<Outcome> {
  const clock = new VirtualClock();
  const restoreGlobals = clock.installGlobalTimers();
  try {
    return await new Simulation(seed, clock, options).run();
  } finally {
    restoreGlobals();
  }
}

class Simulation {
  readonly #clock: VirtualClock;
  readonly #seed: number;
  readonly #options: SimulationOptions;
  readonly #stage: Stage;
  readonly #bounds = new Bounds(() => this.#stage);
  readonly #freshness = new Freshness(() => this.#stage);
  readonly #nodes: Nodes;
  readonly #over = new AbortController();
  readonly #trace: Trace;

  constructor(seed: number, clock: VirtualClock, options: SimulationOptions) {
    this.#seed = seed;
    this.#clock = clock;
    this.#options = options;
    this.#trace = new Trace(clock, options.onLine);
    const clusters = this.#newClusters();
    const byName = new Map(clusters.map((cluster) => [cluster.name, cluster]));
    const world = this.#newWorld(byName);
    const clusterOf = (name: string): SimCluster => byName.get(name) as SimCluster;
    this.#stage = {
      world,
      clusters,
      trace: this.#trace,
      mirrors: MIRRORS.map((name) => new MirrorProcess(world, clusterOf(name))),
      agents: clusters.map((cluster) => new AgentProcess(world, cluster, new MemoryKernel())),
    };
    this.#nodes = new Nodes(this.#stage);
  }

  #newClusters(): readonly SimCluster[] {
    const clock = this.#clock;
    const truths = new Map(NAMES.map((name) => [name as string, new Truth(name, clock)]));
    const ids = new Map(NAMES.map((name, index) => [name as string, index + 1]));
    const clusters: SimCluster[] = [];
    const lag = (local: string, remote: string, saidMs: number): void => {
      const of = (name: string): SimCluster => clusters.find((one) => one.name === name) as SimCluster;
      this.#bounds.lag(of(local), of(remote), saidMs);
    };
    for (const [cluster, truth] of truths) {
      const id = ids.get(cluster) ?? 0;
      const graded = (): void => this.#freshness.noteProofs();
      const common = { clock: skewed(clock, id), trace: this.#trace, truths, ids, graded };
      clusters.push(
        new SimCluster({ ...common, cluster, id, lag: (remote, saidMs) => lag(cluster, remote, saidMs) }, truth),
      );
    }
    return clusters;
  }

  #newWorld(clusters: ReadonlyMap<string, SimCluster>): World {
    const clock = this.#clock;
    const random = seededRandom(this.#seed + 1_000_003);
    const links = new Map<string, Link>();
    const link = (local: string, remote: string): Link => {
      const name = `${local} ${remote}`;
      const found = links.get(name) ?? new Link(clock, random);
      links.set(name, found);
      return found;
    };
    const dialled: World["dialled"] = (mirror, remote) => this.#bounds.dialled(mirror, remote);
    return { clock, random, clusters, warps: this.#options.warps ?? NO_WARPS, link, dialled };
  }

  async run(): Promise<Outcome> {
    const { clusters, mirrors, agents } = this.#stage;
    const random = seededRandom(this.#seed);
    for (const cluster of clusters) cluster.begin(this.#over.signal);
    for (const process of [...mirrors, ...agents]) process.start();
    every(this.#clock, HOLDS_INTERVAL_MS, this.#over.signal, () => {
      for (const mirror of mirrors) mirror.noteSilence();
      this.#freshness.look();
    });
    await this.#clock.advance(WARM_UP_MS);
    await this.#look();
    const { rows } = this.#options;
    const schedule = new Schedule(this.#stage, draw(this.#seed + 2_000_003, rows ?? ROWS, BEGIN_WITHIN_MS));
    const changing = new AbortController();
    keepChanging(this.#stage, seededRandom(this.#seed + 3_000_017), changing.signal);
    const endMs = this.#clock.nowMs() + STORY_MS;
    while (this.#clock.nowMs() < endMs && !this.#mayStop) {
      await this.#clock.advance(random.next() * LONGEST_STEP_MS);
      await this.#look();
    }
    changing.abort();
    schedule.heal();
    if (!this.#mayStop) await this.#heal();
    await this.#wind();
    return {
      hash: this.#trace.digest(),
      lines: this.#trace.lines,
      violations: this.#trace.violations,
      faults: schedule.struck,
      samples: this.#bounds.samples,
      virtualMs: this.#clock.nowMs(),
      tail: this.#trace.tail(),
    };
  }

  get #mayStop(): boolean {
    const { stopAt } = this.#options;
    return stopAt !== undefined && this.#trace.violations.some((line) => stopAt.test(line));
  }

  async #heal(): Promise<void> {
    await this.#clock.advance(HEAL_MS);
    await this.#look();
    this.#nodes.checkEnd();
    this.#freshness.checkEnd();
    this.#bounds.checkLags();
  }

  async #wind(): Promise<void> {
    this.#over.abort();
    for (const process of [...this.#stage.mirrors, ...this.#stage.agents]) await process.end();
    await this.#clock.advance(10_000);
    if (this.#clock.pending > 0) this.#trace.violate("leak", `${this.#clock.pending} timers are left`);
  }

  async #look(): Promise<void> {
    await this.#nodes.look();
    checkHonesty(this.#stage);
    this.#bounds.checkQueues();
  }
}
