/** A remote cluster on a real etcd: what an exporter would write, by a hand of the test. */
import type { KvClient, Operation } from "../../src/kv/client.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { RESOURCES, type ResourceKind } from "../../src/wire/resources.ts";
import { FakeCluster } from "../../test/mirror/fake-cluster.ts";
import { TestEtcd, type TestEtcdOptions } from "../../test/support/etcd.ts";

const OPERATIONS = 100;

export class RealCluster extends FakeCluster {
  readonly server: TestEtcd;
  /** Key -> value: all that the cluster says of itself and wants to keep saying. */
  readonly wanted = new Map<string, Uint8Array>();
  #queued = new Map<string, Operation>();
  #client: KvClient;

  private constructor(name: string, id: number, server: TestEtcd) {
    super(name, id, systemClock);
    this.server = server;
    this.#client = server.connect();
  }

  static async start(name: string, id: number, options: TestEtcdOptions = {}): Promise<RealCluster> {
    return new RealCluster(name, id, await TestEtcd.start(options));
  }

  /** One with this many pods, that says it is complete. */
  static async populated(name: string, id: number, pods: number, options: TestEtcdOptions = {}): Promise<RealCluster> {
    const cluster = await RealCluster.start(name, id, options);
    cluster.populate(pods);
    cluster.announce();
    await cluster.flush();
    return cluster;
  }

  get kv(): KvClient {
    return this.#client;
  }

  override put(key: string, value: Uint8Array | string): void {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    this.wanted.set(key, bytes);
    this.#queued.set(key, { put: { key, value: bytes } });
  }

  override remove(key: string): void {
    this.wanted.delete(key);
    this.#queued.set(key, { delete: { key } });
  }

  /** Writes what was said since the last time. */
  async flush(): Promise<void> {
    const operations = [...this.#queued.values()];
    this.#queued = new Map();
    for (let from = 0; from < operations.length; from += OPERATIONS) {
      await this.#client.txn({ operations: operations.slice(from, from + OPERATIONS) });
    }
  }

  /** Writes everything again, as an exporter does that found its etcd empty: canaries last. */
  async refill(): Promise<void> {
    for (const [key, value] of this.wanted)
      if (!key.startsWith("cilium/synced/")) this.#queued.set(key, { put: { key, value } });
    await this.flush();
    this.announce();
    await this.flush();
  }

  async revision(): Promise<number> {
    return (await this.#client.range({ key: "none" })).revision;
  }

  /** Mirrored keys as the cache should hold them: cache key -> value. */
  truth(): ReadonlyMap<string, Uint8Array> {
    const truth = new Map<string, Uint8Array>();
    for (const { kind, statePrefix } of RESOURCES) this.#collect(kind, statePrefix(this.name), truth);
    return truth;
  }

  #collect(kind: ResourceKind, prefix: string, into: Map<string, Uint8Array>): void {
    const cachePrefix = RESOURCES.find((row) => row.kind === kind)?.cachePrefix(this.name) ?? "";
    for (const [key, value] of this.wanted) {
      if (key.startsWith(prefix)) into.set(cachePrefix + key.slice(prefix.length), value);
    }
  }

  async end(): Promise<void> {
    this.#client.close();
    await this.server.end();
  }
}
