/** The real programs, started, stopped and killed: nothing of a killed one reaches an etcd any more. */
import type { Disk, DiskError } from "../../src/disk/door.ts";
import { type DiskOperation, faultyDisk } from "../../src/disk/faulty.ts";
import { MemoryDisk } from "../../src/disk/memory.ts";
import type { MemoryKernel } from "../../src/kernel/memory.ts";
import { MemoryNetwork } from "../../src/kernel/memory-network.ts";
import { MemorySockets } from "../../src/kernel/memory-sockets.ts";
import { type ConnectEtcd, type KvClient, KvError } from "../../src/kv/client.ts";
import { Mirror } from "../../src/mirror/mirror.ts";
import type { MirrorLimits, NewBreaker } from "../../src/mirror/remote.ts";
import type { MirrorStatus, PeersStatus } from "../../src/model/status.ts";
import { MemoryDialer } from "../../src/probe/memory-dialer.ts";
import { Agent } from "../../src/programs/agent/agent.ts";
import { agentSettings } from "../../src/programs/agent/settings.ts";
import { Breaker } from "../../src/runtime/breaker.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import type { Random } from "../../src/runtime/random.ts";
import { readSettings } from "../../src/runtime/settings.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { lateTxns, type Warp } from "./doors.ts";
import { GRADES_INTERVAL_MS, LEASE_TTL_SECONDS, LIMITS, TIMEOUT_MS } from "./limits.ts";
import type { Link } from "./link.ts";
import type { SimCluster } from "./sim-cluster.ts";
import { Suspension } from "./suspension.ts";

/** How often holds are noted. */
export const HOLDS_INTERVAL_MS = 500;
const DIRECTORY = "/etc/mesh";

export interface DiskFault {
  readonly operation: DiskOperation;
  readonly code: DiskError["code"];
}

/** What mutants change. */
export interface Warps {
  /** The etcds as a mirror sees them; new ones for each process. */
  readonly mirror: () => { readonly local: Warp; readonly remote: Warp };
  /** The local etcd as the agent sees it. */
  readonly agent: () => Warp;
  readonly limits: Partial<MirrorLimits>;
  readonly disk: (disk: Disk) => Disk;
  readonly breaker: NewBreaker | undefined;
}

export interface World {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly clusters: ReadonlyMap<string, SimCluster>;
  readonly warps: Warps;
  /** The way from the mirrors of one cluster to another's etcd. */
  readonly link: (local: string, remote: string) => Link;
  /** A connection was asked for. */
  readonly dialled: (local: MirrorProcess, remote: string) => void;
}

abstract class SimProcess {
  readonly #clients: KvClient[] = [];
  protected readonly world: World;
  readonly own: SimCluster;
  #life: AbortController | undefined;
  #ended: Promise<void> = Promise.resolve();
  startedMs = 0;

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
    this.startedMs = this.world.clock.nowMs();
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
  readonly #disk = new MemoryDisk();
  #mirror: Mirror | undefined;
  #suspension = new Suspension();
  /** Share of its transactions that are late now. */
  lateShare = 0;
  onLate: () => void = () => {};
  /** `<remote> <kind>` -> when it was seen held last. */
  readonly #heldMs = new Map<string, number>();
  /** Key -> when it was seen refused or parked last. */
  readonly #setAsideMs = new Map<string, number>();
  /** What is wrong with its directory. */
  #diskFault: DiskFault | undefined;

  constructor(world: World, own: SimCluster) {
    super(world, own);
    this.#disk.makeDirectory(DIRECTORY);
    this.configureAll();
  }

  get #files(): readonly string[] {
    return [...this.world.clusters.keys()].filter((name) => this.#configured.has(name));
  }

  readonly #configured = new Set<string>();

  configure(name: string): void {
    this.#configured.add(name);
    this.own.files.returned(name, this.world.clock.nowMs());
    this.#disk.put(`${DIRECTORY}/${name}`, `endpoints:\n- http://${name}:2379\n`);
  }

  configureAll(): void {
    for (const name of this.world.clusters.keys()) this.configure(name);
  }

  /** One file goes; its remote may be drained when others stay. */
  unconfigure(name: string): void {
    this.#configured.delete(name);
    this.#disk.remove(`${DIRECTORY}/${name}`);
    const others = this.#files.filter((other) => other !== this.own.name);
    if (others.length > 0) this.own.files.removed(name, this.world.clock.nowMs());
  }

  /** All files go at once. */
  unconfigureAll(): void {
    this.#configured.clear();
    for (const name of this.world.clusters.keys()) this.#disk.remove(`${DIRECTORY}/${name}`);
  }

  /** The directory itself is gone, as before it is mounted. */
  unmount(): void {
    this.#disk.removeDirectory(DIRECTORY);
  }

  breakDisk(fault: DiskFault | undefined): void {
    this.#diskFault = fault;
  }

  /** As SIGSTOP does. */
  stop(): void {
    this.#suspension.stop();
  }

  /** As SIGCONT does. */
  continue(): void {
    this.#suspension.resume();
  }

  override kill(): void {
    super.kill();
    this.continue();
  }

  get isStopped(): boolean {
    return this.#suspension.stopped;
  }

  status(): Omit<MirrorStatus, "pid"> | undefined {
    return this.alive ? this.#mirror?.status() : undefined;
  }

  /** Notes what is held, refused or parked now; called often enough to miss none that lasts. */
  noteSilence(): void {
    const nowMs = this.world.clock.nowMs();
    for (const { name, holds } of this.status()?.remotes ?? []) {
      for (const { kind } of holds) this.#heldMs.set(`${name} ${kind}`, nowMs);
    }
    for (const { key } of this.#mirror?.setAside() ?? []) this.#setAsideMs.set(key, nowMs);
  }

  /** Whether a kind of a remote was held at some time since then. */
  wasHeld(remote: string, kind: string, sinceMs: number): boolean {
    return (this.#heldMs.get(`${remote} ${kind}`) ?? Number.NEGATIVE_INFINITY) >= sinceMs - HOLDS_INTERVAL_MS;
  }

  /** Keys at remotes, or of the cache, that were refused or parked at some time since then. */
  setAside(sinceMs: number): readonly string[] {
    return [...this.#setAsideMs].flatMap(([key, atMs]) => (atMs >= sinceMs - HOLDS_INTERVAL_MS ? key : []));
  }

  protected run(signal: AbortSignal): Promise<void> {
    const { random, warps } = this.world;
    const suspension = new Suspension();
    this.#suspension = suspension;
    const clock = suspension.clock(this.own.clock);
    const share = (): number => this.lateShare;
    const late = lateTxns(this.client(this.own), {
      ...{ clock: this.own.clock, random, share, timeoutMs: TIMEOUT_MS },
      onLate: () => this.onLate(),
    });
    const warp = warps.mirror();
    const disk = faultyDisk(this.#disk, (operation) =>
      this.#diskFault?.operation === operation ? this.#diskFault.code : undefined,
    );
    const connect: ConnectEtcd = ({ endpoints }) => {
      const name = new URL(endpoints[0] ?? "").hostname;
      const remote = this.world.clusters.get(name);
      if (!remote) throw new KvError("unavailable", "no such host");
      this.world.dialled(this, name);
      const door = this.world.link(this.own.name, name).door(this.client(remote));
      return warp.remote(suspension.client(door));
    };
    const mirror = new Mirror({
      own: { name: this.own.name, id: this.own.id },
      ownCidrs: [],
      local: warp.local(suspension.client(late)),
      connect,
      disk: warps.disk(disk),
      configDirectory: DIRECTORY,
      configIntervalMs: 1_000,
      leaseTtlSeconds: LEASE_TTL_SECONDS,
      gradesIntervalMs: GRADES_INTERVAL_MS,
      newBreaker:
        warps.breaker ??
        ((name, action) => {
          const backoff = { baseMs: 500, capMs: 5_000 };
          return new Breaker({ name, clock, random, failureThreshold: 3, backoff }, action);
        }),
      limits: { ...LIMITS, ...warps.limits },
      timeouts: { timeoutMs: TIMEOUT_MS, keepaliveMs: 5_000, keepaliveTimeoutMs: 5_000 },
      clock,
      random,
      log: silentLogger,
      metrics: new Metrics(),
      signal,
    });
    this.#mirror = mirror;
    return mirror.run();
  }
}

export class AgentProcess extends SimProcess {
  readonly kernel: MemoryKernel;
  readonly #disk = new MemoryDisk();
  readonly pinDirectory: string;
  #agent: Agent | undefined;

  constructor(world: World, own: SimCluster, kernel: MemoryKernel) {
    super(world, own);
    this.kernel = kernel;
    this.pinDirectory = `/sys/fs/bpf/${own.name}`;
  }

  /** What it says of the remotes. */
  peers(): PeersStatus | undefined {
    return this.alive ? this.#agent?.status().peers : undefined;
  }

  override kill(): void {
    super.kill();
    this.#agent = undefined;
  }

  protected async run(signal: AbortSignal): Promise<void> {
    const { random, warps } = this.world;
    const { clock } = this.own;
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
      "recheck-interval-ms": 1_000,
      "snapshot-interval-ms": 1_000,
      "restored-confirm-ms": LIMITS.holdConfirmMs,
      "probe-targets": 0,
    };
    const argv = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, `${value}`]);
    const settings = readSettings("agent", agentSettings, argv);
    this.#disk.makeDirectory(settings.snapshotDir);
    const metrics = new Metrics();
    const network = new MemoryNetwork();
    network.set({ ownAddresses: [this.own.nodeAddress] });
    const agent = await Agent.start(
      settings,
      {
        ...{ dialer: new MemoryDialer(clock), sockets: new MemorySockets() },
        ...{ kernel: this.kernel, disk: this.#disk, network, kv, clock, random, log: silentLogger, metrics },
        bootWallMs: () => clock.wallMs() - clock.nowMs(),
      },
      signal,
    );
    if (!signal.aborted) this.#agent = agent;
    await agent.run(signal);
  }
}
