/** An ingest over a local etcd in memory, on a virtual clock, and what exporters and mirrors would write there. */
import type { Disk } from "../../src/disk/door.ts";
import { Ingest } from "../../src/ingest/ingest.ts";
import type { KvClient } from "../../src/kv/client.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import type { Cluster } from "../../src/model/cluster.ts";
import type { NamedPort, Node } from "../../src/model/resource.ts";
import { encodeTime } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import type { SourceKind } from "../../src/tables/tables-view.ts";
import { encodeClusterConfig } from "../../src/wire/cluster-config.ts";
import { CLUSTER_LABEL_KEY, encodeIdentity, KUBERNETES_SOURCE } from "../../src/wire/identity.ts";
import { encodeIp } from "../../src/wire/ip.ts";
import {
  canaryKey,
  clusterConfigKey,
  ENDPOINTS_PREFIX,
  LOCAL_IDENTITIES_PREFIX,
  LOCAL_IPS_PREFIX,
  LOCAL_SERVICES_PREFIX,
  localCanary,
  localServiceKey,
  POLICIES_PREFIX,
} from "../../src/wire/keys.ts";
import { encodeLocalService } from "../../src/wire/local-service.ts";
import { encodeNode } from "../../src/wire/node.ts";
import { cacheKey, type ResourceKind, resource, stateKey } from "../../src/wire/resources.ts";
import { encodeService } from "../../src/wire/service.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { OSAKA, OWN, VIRGINIA } from "../tables/world.ts";

const http = [{ name: "http", protocol: "TCP" as const, port: 80 }];
const LOCAL_PREFIXES = [
  LOCAL_SERVICES_PREFIX,
  POLICIES_PREFIX,
  LOCAL_IPS_PREFIX,
  LOCAL_IDENTITIES_PREFIX,
  ENDPOINTS_PREFIX,
];
/** What a change takes to get into the tables. */
export const SETTLE_MS = 300;
const FIRST_WRITTEN_MS = Date.parse("2026-01-01T00:00:00Z");
/** When canaries are written again by those who compared everything anew. */
export const LATER_MS = FIRST_WRITTEN_MS + 3_600_000;

export function ipValue({ id }: Cluster, address: string, namedPorts: readonly NamedPort[] = []): Uint8Array {
  const pod = { namespace: "shop", podName: "web", serviceAccount: "", namedPorts };
  return encodeIp({ ...pod, address, hostAddress: "", identity: id * 65536 + 300 });
}

export function identityValue(cluster: Cluster, app: string): Uint8Array {
  const label = (key: string, value: string) => ({ source: KUBERNETES_SOURCE, key, value });
  return encodeIdentity([label("app", app), label(CLUSTER_LABEL_KEY, cluster.name)]);
}

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

  canaries({ name }: Cluster, writtenMs = FIRST_WRITTEN_MS): void {
    for (const key of this.canaryKeys(name)) this.put(key, encodeTime(writtenMs));
  }

  /** The lock of a leader that rewrote it so often; undefined: of one who waits, or is Cilium's. */
  lock(prefix: string, lease: string, number?: number): void {
    this.put(`${prefix}/${lease}`, new TextEncoder().encode(number === undefined ? "" : `${number}`));
  }

  canaryKeys(cluster: string): readonly string[] {
    const kinds = ["services", "nodes", "identities", "ip"] as const;
    if (cluster !== this.#own.name) return kinds.map((kind) => canaryKey(cluster, resource(kind).cacheCanary));
    const state = kinds.map((kind) => canaryKey(cluster, resource(kind).stateCanary));
    return [...state, ...LOCAL_PREFIXES.map((prefix) => localCanary(cluster, prefix))];
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

  ip(cluster: Cluster, address: string): void {
    this.put(this.keyOf(cluster, "ip", address), ipValue(cluster, address));
  }

  node(cluster: Cluster, node: Node): void {
    this.put(this.keyOf(cluster, "nodes", node.name), encodeNode(node));
  }

  /** One label besides the cluster's. */
  identity(cluster: Cluster, id: number, app: string): void {
    this.put(this.keyOf(cluster, "identities", String(id)), identityValue(cluster, app));
  }

  /** A NetworkPolicy of namespace shop. */
  policy(name: string, spec: object = { podSelector: {} }): void {
    const document = {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { namespace: "shop", name },
      spec,
    };
    const value = new TextEncoder().encode(JSON.stringify({ source: "shop.yaml:1", document }));
    this.put(`${POLICIES_PREFIX}NetworkPolicy/shop/${name}`, value);
  }

  keyOf({ name: cluster }: Cluster, kind: ResourceKind, suffix: string): string {
    return cluster === this.#own.name ? stateKey(kind, cluster, suffix) : cacheKey(kind, cluster, suffix);
  }

  /** Everything: config, one service, one IP, canaries. */
  cluster(cluster: Cluster, subnet: string, writtenMs = FIRST_WRITTEN_MS): void {
    this.config(cluster);
    this.service(cluster, "web", `${subnet}.1`);
    this.ip(cluster, `${subnet}.1`);
    this.canaries(cluster, writtenMs);
  }
}

export interface Stage {
  readonly tables: AgentTables;
  readonly ingest: Ingest;
  /** How often the tables were said to have changed. */
  readonly changes: () => number;
  stop(): Promise<void>;
}

/** A local etcd with a service and an address of each of three clusters, and an ingest that has listed it. */
export async function followed(prepare: (local: LocalEtcd) => void = () => undefined) {
  const local = new LocalEtcd(OWN);
  local.cluster(OWN, "10.2.0");
  local.cluster(OSAKA, "10.1.0");
  local.cluster(VIRGINIA, "10.3.0");
  prepare(local);
  const running = stage(local, OWN);
  await local.clock.advance(SETTLE_MS);
  return { local, ...running };
}

/** Whether a compile would take what is not there for gone. */
export function isSynced(tables: AgentTables, kind: SourceKind, { id }: Cluster): boolean {
  tables.takeChanges();
  return tables.isSynced(kind, id);
}

/** Within that time an ingest that did not list does. */
export const AUDIT_MS = 60_000;

/** @param disk where what the etcd says is written down; absent: nowhere. */
export function stage(
  local: LocalEtcd,
  own: Cluster,
  maxParked = 100,
  kv: KvClient = local.etcd.client(),
  disk?: Disk,
): Stage {
  const over = new AbortController();
  const tables = new AgentTables(own);
  let changes = 0;
  const ingest = new Ingest({
    kv,
    tables,
    maxParked,
    recheckIntervalMs: 30_000,
    restoredConfirmMs: 60_000,
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
    ...(disk && {
      written: { disk, directory: "/d", cluster: own.name, node: "n1", saveIntervalMs: 1_000, auditMs: AUDIT_MS },
    }),
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
