/** An ingest over a local etcd in memory, on a virtual clock, and what exporters and mirrors would write there. */
import { Ingest } from "../../src/ingest/ingest.ts";
import type { KvClient } from "../../src/kv/client.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import type { Cluster } from "../../src/model/cluster.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { encodeClusterConfig } from "../../src/wire/cluster-config.ts";
import { encodeIp } from "../../src/wire/ip.ts";
import { canaryKey, clusterConfigKey, localServiceKey, localServicesCanary } from "../../src/wire/keys.ts";
import { encodeLocalService } from "../../src/wire/local-service.ts";
import { cacheKey, resource, stateKey } from "../../src/wire/resources.ts";
import { encodeService } from "../../src/wire/service.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const http = [{ name: "http", protocol: "TCP" as const, port: 80 }];
const now = new TextEncoder().encode("2026-01-01T00:00:00Z");

/** Writes of an exporter and a mirror, straight into a local etcd of `own`. */
export class LocalEtcd {
  readonly clock: VirtualClock;
  readonly etcd: MemoryEtcd;
  readonly #own: Cluster;

  constructor(own: Cluster) {
    this.clock = new VirtualClock();
    this.etcd = new MemoryEtcd({ clock: this.clock });
    this.#own = own;
  }

  put(key: string, value: Uint8Array): void {
    this.etcd.edit({ operations: [{ put: { key, value } }] });
  }

  delete(key: string): void {
    this.etcd.edit({ operations: [{ delete: { key } }] });
  }

  config({ name, id }: Cluster): void {
    const config = { id, syncedCanaries: true, cached: true, maxConnectedClusters: 255, endpointSlicesExportMode: "" };
    this.put(clusterConfigKey(name), encodeClusterConfig(config));
  }

  canaries({ name }: Cluster): void {
    for (const key of this.canaryKeys(name)) this.put(key, now);
  }

  canaryKeys(cluster: string): readonly string[] {
    if (cluster === this.#own.name)
      return [localServicesCanary(cluster), canaryKey(cluster, resource("ip").stateCanary)];
    return (["services", "ip"] as const).map((kind) => canaryKey(cluster, resource(kind).cacheCanary));
  }

  /** The service `shop/<name>` of `cluster`, with one backend. */
  service(cluster: Cluster, name: string, backend: string): void {
    const backends = new Map([[backend, http]]);
    const said = { namespace: "shop", name, frontends: new Map([["10.9.0.1", http]]), backends, shared: true };
    const remote = { ...said, cluster: cluster.name, clusterId: cluster.id, labels: new Map(), selector: new Map() };
    const isOwn = cluster.name === this.#own.name;
    const value = isOwn ? encodeLocalService({ ...said, global: true, affinity: "none" }) : encodeService(remote);
    this.put(this.serviceKey(cluster, name), value);
  }

  serviceKey({ name: cluster }: Cluster, name: string): string {
    return cluster === this.#own.name ? localServiceKey("shop", name) : cacheKey("services", cluster, `shop/${name}`);
  }

  ip({ name: cluster, id }: Cluster, address: string): void {
    const value = encodeIp({
      ...{ address, hostAddress: "", identity: id * 65536 + 300, namespace: "shop" },
      ...{ podName: "web", serviceAccount: "", namedPorts: [] },
    });
    this.put(cluster === this.#own.name ? stateKey("ip", cluster, address) : cacheKey("ip", cluster, address), value);
  }

  /** Everything: config, one service, one IP, canaries. */
  cluster(cluster: Cluster, subnet: string): void {
    this.config(cluster);
    this.service(cluster, "web", `${subnet}.1`);
    this.ip(cluster, `${subnet}.1`);
    this.canaries(cluster);
  }
}

export interface Stage {
  readonly tables: AgentTables;
  readonly ingest: Ingest;
  /** How often the tables were said to have changed. */
  readonly changes: () => number;
  stop(): Promise<void>;
}

export function stage(local: LocalEtcd, own: Cluster, maxParked = 100, kv: KvClient = local.etcd.client()): Stage {
  const over = new AbortController();
  const tables = new AgentTables(own);
  let changes = 0;
  const ingest = new Ingest({
    kv,
    tables,
    maxParked,
    clock: local.clock,
    random: seededRandom(7),
    log: silentLogger,
    metrics: new Metrics(),
    signal: over.signal,
    pageSize: 3,
    progressIntervalMs: 100,
    progressTimeoutMs: 500,
    backoff: { baseMs: 50, capMs: 500 },
    changed: () => changes++,
  });
  const running = ingest.run();
  return {
    tables,
    ingest,
    changes: () => changes,
    async stop() {
      over.abort();
      await local.clock.settle(running);
    },
  };
}
