/** The real programs, started and killed: nothing of a killed one reaches an etcd any more. */
import { MemoryDisk } from "../../src/disk/memory.ts";
import type { MemoryKernel } from "../../src/kernel/memory.ts";
import { MemoryNetwork } from "../../src/kernel/memory-network.ts";
import { type ConnectEtcd, type KvClient, KvError } from "../../src/kv/client.ts";
import { Mirror } from "../../src/mirror/mirror.ts";
import type { MirrorLimits } from "../../src/mirror/remote.ts";
import { Agent } from "../../src/programs/agent/agent.ts";
import { agentSettings } from "../../src/programs/agent/settings.ts";
import { Breaker } from "../../src/runtime/breaker.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import type { Random } from "../../src/runtime/random.ts";
import { readSettings } from "../../src/runtime/settings.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { lateTxns, type Warp } from "./doors.ts";
import type { SimCluster } from "./sim-cluster.ts";

const DIRECTORY = "/etc/mesh";
const TIMEOUT_MS = 1_000;
export const LEASE_TTL_SECONDS = 4;

const LIMITS: MirrorLimits = {
  pageSize: 5,
  maxConcurrentLists: 2,
  maxRemoteKeys: 10_000,
  maxRemoteBytes: 16 * 1024 * 1024,
  progressIntervalMs: 1_000,
  progressTimeoutMs: 3_000,
  suspectAfterMs: 5_000,
  staleAfterMs: 60_000,
  guardWindowMs: 10_000,
  guardMinWithdrawals: 50,
  guardPercent: 20,
  holdConfirmMs: 20_000,
  auditIntervalMs: 10_000,
  checkpointIntervalMs: 1_000,
  drainGraceMs: 5_000,
  unreadyAfterMs: 30_000,
  heartbeatTimeoutMs: 60_000,
  backoff: { baseMs: 100, capMs: 1_000 },
  redial: { baseMs: 100, capMs: 5_000 },
};

export interface Warps {
  /** The local etcd as mirrors see it. A new one for each process. */
  readonly mirrorLocal: () => Warp;
  readonly mirrorRemote: () => Warp;
  /** The local etcd as the agent sees it. */
  readonly agent: () => Warp;
}

export interface World {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly clusters: ReadonlyMap<string, SimCluster>;
  readonly warps: Warps;
  /** Share of the mirrors' transactions that are late now. */
  lateShare: number;
}

abstract class SimProcess {
  readonly #clients: KvClient[] = [];
  protected readonly world: World;
  protected readonly own: SimCluster;
  #life: AbortController | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(world: World, own: SimCluster) {
    this.world = world;
    this.own = own;
  }

  get alive(): boolean {
    return this.#life !== undefined;
  }

  start(): void {
    if (this.#life) return;
    this.#life = new AbortController();
    this.#ended = this.run(this.#life.signal);
  }

  /** As kill -9 does: no farewell reaches anyone. */
  kill(): void {
    for (const client of this.#clients.splice(0)) client.close();
    this.#life?.abort();
    this.#life = undefined;
  }

  /** Kills it and waits for the last of its promises. */
  async end(): Promise<void> {
    this.kill();
    await this.world.clock.settle(this.#ended);
  }

  protected client(cluster: SimCluster): KvClient {
    const client = cluster.etcd.client({ timeoutMs: TIMEOUT_MS });
    this.#clients.push(client);
    return client;
  }

  protected abstract run(signal: AbortSignal): Promise<void>;
}

export class MirrorProcess extends SimProcess {
  readonly disk = new MemoryDisk();
  mirror: Mirror | undefined;

  constructor(world: World, own: SimCluster) {
    super(world, own);
    this.disk.makeDirectory(DIRECTORY);
    for (const name of world.clusters.keys()) this.configure(name);
  }

  configure(name: string): void {
    this.disk.put(`${DIRECTORY}/${name}`, `endpoints:\n- http://${name}:2379\n`);
  }

  unconfigure(name: string): void {
    this.disk.remove(`${DIRECTORY}/${name}`);
  }

  protected run(signal: AbortSignal): Promise<void> {
    const { clock, random, warps } = this.world;
    const share = (): number => this.world.lateShare;
    const late = lateTxns(this.client(this.own), { clock, random, share, timeoutMs: TIMEOUT_MS });
    this.mirror = new Mirror({
      own: { name: this.own.name, id: this.own.id },
      ownCidrs: [],
      local: warps.mirrorLocal()(late),
      connect: this.#connect,
      disk: this.disk,
      configDirectory: DIRECTORY,
      configIntervalMs: 1_000,
      leaseTtlSeconds: LEASE_TTL_SECONDS,
      newBreaker: (name, action) => {
        const backoff = { baseMs: 500, capMs: 5_000 };
        return new Breaker({ name, clock, random, failureThreshold: 3, backoff }, action);
      },
      limits: LIMITS,
      timeouts: { timeoutMs: TIMEOUT_MS, keepaliveMs: 5_000, keepaliveTimeoutMs: 5_000 },
      clock,
      random,
      log: silentLogger,
      metrics: new Metrics(),
      signal,
    });
    return this.mirror.run();
  }

  readonly #connect: ConnectEtcd = ({ endpoints }) => {
    const remote = this.world.clusters.get(new URL(endpoints[0] ?? "").hostname);
    if (!remote) throw new KvError("unavailable", "no such host");
    return this.world.warps.mirrorRemote()(this.client(remote));
  };
}

export class AgentProcess extends SimProcess {
  readonly kernel: MemoryKernel;
  readonly pinDirectory: string;

  constructor(world: World, own: SimCluster, kernel: MemoryKernel) {
    super(world, own);
    this.kernel = kernel;
    this.pinDirectory = `/sys/fs/bpf/${own.name}`;
  }

  protected async run(signal: AbortSignal): Promise<void> {
    const { clock, random, warps } = this.world;
    const kv = warps.agent()(this.client(this.own));
    const flags = {
      cluster: this.own.name,
      "cluster-id": this.own.id,
      "etcd-config": "unused",
      node: "node-1",
      cgroup: "/sys/fs/cgroup",
      "bpf-dir": this.pinDirectory,
      "backoff-base-ms": 100,
      "backoff-cap-ms": 1_000,
      "network-interval-ms": 10_000,
    };
    const argv = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, `${value}`]);
    const settings = readSettings("agent", agentSettings, argv);
    const metrics = new Metrics();
    const network = new MemoryNetwork();
    network.set({ ownAddresses: [this.own.nodeAddress] });
    const agent = await Agent.start(
      settings,
      {
        ...{ kernel: this.kernel, network, kv, clock, random, log: silentLogger, metrics },
        bootWallMs: () => clock.wallMs() - clock.nowMs(),
      },
      signal,
    );
    await agent.run(signal);
  }
}
