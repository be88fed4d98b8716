/** One mirror under test: its local etcd, its remotes, its configuration directory, all on a virtual clock. */
import assert from "node:assert/strict";
import { afterEach, beforeEach } from "node:test";
import { MemoryDisk } from "../../src/disk/memory.ts";
import { type ConnectEtcd, type KeyValue, type KvClient, KvError } from "../../src/kv/client.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import { Mirror } from "../../src/mirror/mirror.ts";
import type { MirrorLimits, NewBreaker } from "../../src/mirror/remote.ts";
import type { RemoteStatus } from "../../src/model/status.ts";
import { Breaker } from "../../src/runtime/breaker.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { type Random, seededRandom } from "../../src/runtime/random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { FakeCluster } from "./fake-cluster.ts";

export const OWN = { name: "amsterdam", id: 1 } as const;
export const DIRECTORY = "/etc/mesh";
export const LEASE_TTL_SECONDS = 5;
export const GRADES_INTERVAL_MS = 3_000;
export const BREAKER_BACKOFF = { baseMs: 1_000, capMs: 30_000 };

export const LIMITS: MirrorLimits = {
  pageSize: 10,
  maxConcurrentLists: 2,
  maxTxnsInFlight: 16,
  maxRemoteKeys: 500,
  maxRemoteBytes: 1024 * 1024,
  progressIntervalMs: 500,
  progressTimeoutMs: 2_000,
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
  heartbeatTimeoutMs: 120_000,
  backoff: { baseMs: 100, capMs: 1_000 },
  redial: BREAKER_BACKOFF,
};

export class World {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly local: MemoryEtcd;
  readonly disk = new MemoryDisk();
  readonly remotes = new Map<string, FakeCluster>();
  /** Connections asked for, by remote. */
  readonly dialled = new Map<string, number>();
  mirror: Mirror;
  #running: Promise<void>;
  #life = new AbortController();

  constructor(clock = new VirtualClock(), newBreaker?: NewBreaker) {
    this.clock = clock;
    this.random = seededRandom(1);
    this.local = new MemoryEtcd({ clock });
    this.disk.makeDirectory(DIRECTORY);
    ({ mirror: this.mirror, running: this.#running } = this.#start(newBreaker));
  }

  #start(newBreaker: NewBreaker = this.breaker) {
    this.#life = new AbortController();
    const { clock, random } = this;
    const mirror = new Mirror({
      own: OWN,
      ownCidrs: ["10.100.1.0/24"],
      local: this.local.client({ timeoutMs: 1_000 }),
      connect: this.connect,
      disk: this.disk,
      configDirectory: DIRECTORY,
      configIntervalMs: 200,
      leaseTtlSeconds: LEASE_TTL_SECONDS,
      gradesIntervalMs: GRADES_INTERVAL_MS,
      newBreaker,
      limits: LIMITS,
      timeouts: { timeoutMs: 1_000, keepaliveMs: 5_000, keepaliveTimeoutMs: 5_000 },
      clock,
      random,
      log: silentLogger,
      metrics: new Metrics(),
      signal: this.#life.signal,
    });
    return { mirror, running: mirror.run() };
  }

  readonly breaker: NewBreaker = (name, action) => {
    const { clock, random } = this;
    return new Breaker({ name, clock, random, failureThreshold: 3, backoff: BREAKER_BACKOFF }, action);
  };

  /** Endpoints are `http://<cluster>:2379`. */
  readonly connect: ConnectEtcd = ({ endpoints, timeoutMs }): KvClient => {
    const name = new URL(endpoints[0] ?? "").hostname;
    this.dialled.set(name, (this.dialled.get(name) ?? 0) + 1);
    const remote = this.remotes.get(name);
    if (!remote) throw new KvError("unavailable", `nobody is at ${name}`);
    return remote.etcd.client({ timeoutMs });
  };

  /** A remote with some state, configured unless told otherwise. */
  addRemote(name: string, id: number, pods = 25, etcdId?: bigint): FakeCluster {
    const etcd = etcdId === undefined ? undefined : new MemoryEtcd({ clock: this.clock, clusterId: etcdId });
    const remote = new FakeCluster(name, id, this.clock, etcd);
    this.remotes.set(name, remote);
    remote.populate(pods);
    remote.announce();
    this.configure(name);
    return remote;
  }

  configure(name: string, text = `endpoints:\n- http://${name}:2379\n`): void {
    this.disk.put(`${DIRECTORY}/${name}`, text);
  }

  async restart(): Promise<void> {
    await this.kill();
    ({ mirror: this.mirror, running: this.#running } = this.#start());
  }

  /** Stops the mirror; nothing is left behind. */
  async kill(): Promise<void> {
    this.#life.abort();
    await this.clock.settle(this.#running);
  }

  async close(): Promise<void> {
    this.local.start();
    this.local.resume();
    await this.kill();
  }

  status(name: string): RemoteStatus {
    const status = this.mirror.status().remotes.find((remote) => remote.name === name);
    assert(status, `no status of ${name}`);
    return status;
  }

  cache(name: string): ReadonlyMap<string, KeyValue> {
    const entries = this.local.entries("cilium/cache/").filter(({ key }) => key.includes(`/v1/${name}/`));
    return new Map(entries.map((kv) => [kv.key.replace("/cache/", "/state/"), kv]));
  }

  /** State keys of the remote in the form of `cache`. */
  truth(name: string): ReadonlyMap<string, KeyValue> {
    const entries = this.remotes.get(name)?.etcd.entries("cilium/state/") ?? [];
    return new Map(
      entries.map((kv) => {
        const key = kv.key
          .replace("/ip/v1/default/", `/ip/v1/${name}/`)
          .replace("/identities/v1/id/", `/identities/v1/${name}/id/`);
        return [key, kv];
      }),
    );
  }

  assertMirrored(name: string): void {
    const plain = (kvs: ReadonlyMap<string, KeyValue>) =>
      [...kvs].map(([key, { value }]) => `${key}=${Buffer.from(value).toString("latin1")}`).sort();
    assert.deepEqual(plain(this.cache(name)), plain(this.truth(name)));
  }

  /** What the cache holds, revisions included: any write shows. */
  fingerprint(name: string): string {
    return JSON.stringify([...this.cache(name)].map(([key, kv]) => [key, kv.modRevision]));
  }
}

/** Gives every test of a file a world of its own. */
export function eachInItsOwnWorld(begin: (world: World, clock: VirtualClock) => void): void {
  let world: World;
  let restoreGlobals: () => void;
  beforeEach(() => {
    const clock = new VirtualClock();
    restoreGlobals = clock.installGlobalTimers();
    world = new World(clock);
    begin(world, clock);
  });
  afterEach(async () => {
    await world.close();
    restoreGlobals();
  });
}
