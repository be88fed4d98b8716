/**
 * Three clusters, real mirrors and real agents, on one virtual clock: a seed decides what changes and what breaks. Invariants are
 * those of the mirror (docs/TESTING.md): checked at every accepted write, at every step, and after everything has healed.
 */
import { MemoryKernel } from "../../src/kernel/memory.ts";
import { RESERVED_IDENTITIES } from "../../src/model/identity.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { canaryKey } from "../../src/wire/keys.ts";
import { RESOURCES } from "../../src/wire/resources.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { sameClient } from "./doors.ts";
import { heal, type Stage, strike } from "./faults.ts";
import { type KernelView, viewKernel } from "./kernel-view.ts";
import { AgentProcess, MirrorProcess, type Warps, type World } from "./processes.ts";
import { AFFINITY, BACKEND_PORT, FRONTEND_PORT, SERVICES, SimCluster } from "./sim-cluster.ts";
import { Trace } from "./trace.ts";
import { Truth, textOf } from "./truth.ts";

export const NO_WARPS: Warps = {
  mirrorLocal: () => sameClient,
  mirrorRemote: () => sameClient,
  agent: () => sameClient,
};

export interface Outcome {
  readonly hash: string;
  readonly lines: number;
  readonly violations: readonly string[];
  /** Names of the faults that struck, and how often. */
  readonly faults: ReadonlyMap<string, number>;
  readonly virtualMs: number;
  readonly tail: readonly string[];
}

const NAMES = ["amsterdam", "osaka", "virginia"] as const;
/** The first cluster has two mirrors, so that leadership moves. */
const MIRRORS = ["amsterdam", "amsterdam", "osaka", "virginia"] as const;
const WARM_UP_MS = 10_000;
const STEPS = 50;
const LONGEST_STEP_MS = 3_000;
/** Everything must be right this long after everything works again. */
const HEAL_MS = 40_000;

export async function simulate(seed: number, warps: Warps = NO_WARPS): Promise<Outcome> {
  const clock = new VirtualClock();
  const restoreGlobals = clock.installGlobalTimers();
  try {
    return await new Simulation(seed, clock, warps).run();
  } finally {
    restoreGlobals();
  }
}

class Simulation {
  readonly #clock: VirtualClock;
  readonly #seed: number;
  readonly #stage: Stage;
  readonly #faults = new Map<string, number>();
  readonly #over = new AbortController();
  /** By cluster: what its node knew at the last look. */
  readonly #views = new Map<string, KernelView>();
  readonly #trace: Trace;

  constructor(seed: number, clock: VirtualClock, warps: Warps) {
    this.#seed = seed;
    this.#clock = clock;
    const trace = new Trace(clock);
    this.#trace = trace;
    const truths = new Map<string, Truth>();
    const clusters = NAMES.map((name, index) => new SimCluster(name, index + 1, clock, trace, truths, new Truth(name)));
    const byName = new Map(clusters.map((cluster) => [cluster.name, cluster]));
    const world: World = { clock, random: seededRandom(seed + 1_000_003), clusters: byName, warps, lateShare: 0 };
    const clusterOf = (name: string): SimCluster => byName.get(name) as SimCluster;
    this.#stage = {
      world,
      clusters,
      trace,
      mirrors: MIRRORS.map((name) => new MirrorProcess(world, clusterOf(name))),
      agents: clusters.map((cluster) => new AgentProcess(world, cluster, new MemoryKernel())),
    };
  }

  async run(): Promise<Outcome> {
    const { clusters, mirrors, agents } = this.#stage;
    const random = seededRandom(this.#seed);
    for (const cluster of clusters) cluster.begin(this.#clock, this.#over.signal);
    for (const process of [...mirrors, ...agents]) process.start();
    await this.#clock.advance(WARM_UP_MS);
    await this.#look();
    for (let step = 0; step < STEPS; step++) {
      const name = strike(this.#stage, random);
      this.#faults.set(name, (this.#faults.get(name) ?? 0) + 1);
      await this.#clock.advance(random.next() * LONGEST_STEP_MS);
      await this.#look();
    }
    heal(this.#stage);
    await this.#clock.advance(HEAL_MS);
    await this.#look();
    this.#checkEnd();
    await this.#wind();
    return {
      hash: this.#trace.digest(),
      lines: this.#trace.lines,
      violations: this.#trace.violations,
      faults: this.#faults,
      virtualMs: this.#clock.nowMs(),
      tail: this.#trace.tail(),
    };
  }

  async #wind(): Promise<void> {
    this.#over.abort();
    for (const process of [...this.#stage.mirrors, ...this.#stage.agents]) await process.end();
    await this.#clock.advance(10_000);
    if (this.#clock.pending > 0) this.#trace.violate("leak", `${this.#clock.pending} timers are left`);
  }

  /** The maps of every node: nothing vanishes that its cluster did not withdraw, no slot leads nowhere. */
  async #look(): Promise<void> {
    for (const agent of this.#stage.agents) {
      const name = agent.pinDirectory.split("/").at(-1) ?? "";
      const view = await viewKernel(agent.kernel, agent.pinDirectory);
      const before = this.#views.get(name);
      this.#views.set(name, view);
      this.#trace.note(`${name} maps ${JSON.stringify([[...view.ipcache], [...view.services]])}`);
      for (const slot of view.dangling) this.#trace.violate("P01", `${name}: ${slot} leads nowhere`);
      if (before) this.#compare(name, before, view);
    }
  }

  #compare(name: string, before: KernelView, view: KernelView): void {
    for (const address of before.ipcache.keys()) {
      if (view.ipcache.has(address)) continue;
      const owner = this.#stage.clusters.find(({ id }) => address.startsWith(`10.${id}.`));
      // A cache that was lost has no last good value of what its owner now says wrongly.
      if (owner?.spokeNonsenseOf(address)) continue;
      if (!owner?.truth.withdrawnAfter(`ip ${address}`, 0)) {
        this.#trace.violate("I2", `${name}: ${address} left the ipcache though nobody withdrew it`);
      }
    }
    for (const frontend of before.services.keys()) {
      if (!view.services.has(frontend)) this.#trace.violate("I2", `${name}: frontend ${frontend} vanished`);
    }
  }

  #checkEnd(): void {
    const { clusters } = this.#stage;
    for (const local of clusters) {
      for (const remote of clusters) if (remote !== local) this.#checkCache(local, remote);
      this.#checkMaps(local);
    }
  }

  #checkCache(local: SimCluster, remote: SimCluster): void {
    const cached = new Map<string, string>();
    for (const { key, value, leaseId } of local.etcd.entries("cilium/cache/")) {
      const parsed = Truth.nameOfCacheKey(key);
      if (parsed?.cluster === remote.name) cached.set(parsed.name, textOf(value));
      if (leaseId !== 0n) this.#trace.violate("lease", `${local.name}: ${key} hangs on a lease`);
    }
    this.#same("I1", `cache of ${remote.name} at ${local.name}`, remote.truth.now(), cached);
    const synced = new Set(local.etcd.entries("cilium/synced/").map(({ key }) => key));
    for (const { cacheCanary } of RESOURCES) {
      const key = canaryKey(remote.name, cacheCanary);
      if (!synced.has(key)) this.#trace.violate("I1", `${local.name}: no canary ${key}`);
    }
  }

  #checkMaps(local: SimCluster): void {
    const view = this.#views.get(local.name);
    if (!view) return;
    const ipcache = new Map<string, string>();
    for (const cluster of this.#stage.clusters) {
      for (const name of cluster.truth.now().keys()) {
        const [kind, suffix = ""] = name.split(" ");
        if (kind === "ip") ipcache.set(suffix, `${cluster.identity(0)}/${cluster.id}`);
        const node = cluster === local ? RESERVED_IDENTITIES.host : RESERVED_IDENTITIES["remote-node"];
        if (kind === "nodes") ipcache.set(cluster.nodeAddress, `${node}/${cluster.id}`);
      }
    }
    this.#same("I1", `ipcache at ${local.name}`, ipcache, view.ipcache);
    const services = new Map(
      SERVICES.map((service) => [
        `${local.frontend(service)}:${FRONTEND_PORT}`,
        this.#backendsOf(local, service).join(" "),
      ]),
    );
    const programmed = new Map([...view.services].map(([frontend, backends]) => [frontend, backends.join(" ")]));
    this.#same("I1", `services at ${local.name}`, services, programmed);
  }

  /** What a client of `local` should reach: all clusters, or its own while it has some. */
  #backendsOf(local: SimCluster, service: (typeof SERVICES)[number]): readonly string[] {
    const of = (cluster: SimCluster): readonly string[] =>
      (cluster.pods.get(service) ?? []).map((number) => `${cluster.address(number)}:${BACKEND_PORT}`);
    const own = of(local);
    const all = AFFINITY[service] === "local" && own.length > 0 ? own : this.#stage.clusters.flatMap(of);
    return [...all].sort();
  }

  #same(
    invariant: string,
    what: string,
    expected: ReadonlyMap<string, string>,
    actual: ReadonlyMap<string, string>,
  ): void {
    for (const [key, value] of expected) {
      if (actual.get(key) === value) continue;
      const seen = actual.has(key) ? actual.get(key) : "nothing";
      this.#trace.violate(invariant, `${what}: ${key} should be ${value}, is ${seen}`);
    }
    for (const key of actual.keys())
      if (!expected.has(key)) this.#trace.violate(invariant, `${what}: ${key} is a ghost`);
  }
}
