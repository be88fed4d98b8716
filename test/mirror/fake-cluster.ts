/** A cluster as others see it: an etcd in memory and a hand that writes what an exporter would. */
import type { Operation } from "../../src/kv/client.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import { type Cluster, identityRange } from "../../src/model/cluster.ts";
import type { ClusterConfig } from "../../src/model/resource.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import { encodeClusterConfig } from "../../src/wire/cluster-config.ts";
import { CLUSTER_LABEL_KEY, encodeIdentity } from "../../src/wire/identity.ts";
import { encodeIp } from "../../src/wire/ip.ts";
import { canaryKey, clusterConfigKey, HEARTBEAT_KEY } from "../../src/wire/keys.ts";
import { encodeNode } from "../../src/wire/node.ts";
import { RESOURCES, type ResourceKind, stateKey } from "../../src/wire/resources.ts";
import { encodeService } from "../../src/wire/service.ts";

const encoder = new TextEncoder();

export class FakeCluster implements Cluster {
  readonly name: string;
  readonly id: number;
  readonly etcd: MemoryEtcd;

  constructor(name: string, id: number, clock: Clock, etcd?: MemoryEtcd) {
    this.name = name;
    this.id = id;
    this.etcd = etcd ?? new MemoryEtcd({ clock, clusterId: BigInt(0x1000 + id) });
  }

  put(key: string, value: Uint8Array | string): void {
    this.#edit({ put: { key, value: typeof value === "string" ? encoder.encode(value) : value } });
  }

  remove(key: string): void {
    this.#edit({ delete: { key } });
  }

  #edit(operation: Operation): void {
    this.etcd.edit({ operations: [operation] });
  }

  /** Config, and everything that says "this is all there is". */
  announce(canaries: readonly ResourceKind[] = RESOURCES.map(({ kind }) => kind)): void {
    this.putConfig(this.id);
    for (const { kind, stateCanary } of RESOURCES) {
      if (canaries.includes(kind)) this.put(canaryKey(this.name, stateCanary), "2026-01-01T00:00:00Z");
    }
    this.beat();
  }

  putConfig(id: number, said: Partial<ClusterConfig> = {}): void {
    const config = {
      id,
      syncedCanaries: true,
      cached: false,
      maxConnectedClusters: 255,
      serviceExportsEnabled: false,
      endpointSlicesExportMode: "",
      ...said,
    };
    this.put(clusterConfigKey(this.name), encodeClusterConfig(config));
  }

  beat(): void {
    this.put(HEARTBEAT_KEY, "2026-01-01T00:00:00Z");
  }

  /** The `number`th pod of this cluster: an address below 10.<id>.0.0. */
  address(number: number): string {
    return `10.${this.id}.${number >> 8}.${number & 0xff}`;
  }

  identity(number: number): number {
    return identityRange(this.id).first + number;
  }

  ipKey(number: number): string {
    return stateKey("ip", this.name, this.address(number));
  }

  putIp(number: number, podName = `pod-${number}`, hostAddress = ""): void {
    const entry = {
      address: this.address(number),
      hostAddress,
      identity: this.identity(0),
      namespace: "shop",
      podName,
      serviceAccount: "default",
      namedPorts: [],
    };
    this.put(this.ipKey(number), encodeIp(entry));
  }

  putIdentity(number: number): void {
    const labels = [
      { source: "k8s", key: "app", value: `a${number}` },
      { source: "k8s", key: CLUSTER_LABEL_KEY, value: this.name },
    ];
    this.put(stateKey("identities", this.name, `${this.identity(number)}`), encodeIdentity(labels));
  }

  nodeKey(name: string): string {
    return stateKey("nodes", this.name, name);
  }

  putNode(name: string, address = `10.${this.id}.255.1`): void {
    const node = {
      cluster: this.name,
      clusterId: this.id,
      name,
      addresses: [{ type: "InternalIP", address }],
      podCidrs: [`10.${this.id}.0.0/16`],
      reservedAddresses: [],
      labels: new Map<string, string>(),
    };
    this.put(this.nodeKey(name), encodeNode(node));
  }

  serviceKey(name: string): string {
    return stateKey("services", this.name, `shop/${name}`);
  }

  putService(name: string, backends: readonly number[]): void {
    const port = { name: "http", protocol: "TCP", port: 8080 } as const;
    const service = {
      cluster: this.name,
      clusterId: this.id,
      namespace: "shop",
      name,
      frontends: new Map([[`10.100.${this.id}.1`, [{ ...port, port: 80 }]]]),
      backends: new Map(backends.map((number) => [this.address(number), [port]])),
      shared: true,
      labels: new Map<string, string>(),
      selector: new Map<string, string>(),
    };
    this.put(this.serviceKey(name), encodeService(service));
  }

  /** A little of everything. */
  populate(pods: number): void {
    this.putNode("node-1");
    this.putIdentity(0);
    for (let number = 1; number <= pods; number++) this.putIp(number);
    this.putService("cart", [1, 2]);
  }
}
