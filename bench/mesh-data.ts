/** What large remotes hold, as their exporters would write it. Always the same bytes. */
import type { KeyValue } from "../src/kv/client.ts";
import { type Cluster, identityRange } from "../src/model/cluster.ts";
import { encodeClusterConfig } from "../src/wire/cluster-config.ts";
import { CLUSTER_LABEL_KEY, encodeIdentity } from "../src/wire/identity.ts";
import { encodeIp } from "../src/wire/ip.ts";
import { canaryKey, clusterConfigKey, HEARTBEAT_KEY } from "../src/wire/keys.ts";
import { encodeNode } from "../src/wire/node.ts";
import { cacheKey, RESOURCES, type ResourceKind, stateKey } from "../src/wire/resources.ts";
import { encodeService } from "../src/wire/service.ts";

export const OWN = { name: "amsterdam", id: 1 } as const;
/** A cluster of one shape, and where its addresses begin. */
export interface RemoteShape {
  readonly name: string;
  readonly id: number;
  readonly pods: number;
  readonly podsPerNode: number;
  readonly podsPerIdentity: number;
  /** 0: no services. */
  readonly podsPerService: number;
  /** Nodes of other clusters before it: each has 256 addresses. */
  readonly nodesBefore: number;
}

export const REMOTE = { name: "osaka", id: 2 } as const;
const PER_REMOTE = { podsPerNode: 100, podsPerIdentity: 20, podsPerService: 100, nodesBefore: 0 } as const;
const WRITTEN_AT = "2026-01-01T00:00:00Z";
const encoder = new TextEncoder();

export type Pair = Pick<KeyValue, "key" | "value">;

/** A key of the remote, and what it is called in the cache of others. */
export interface Entry extends Pair {
  readonly cacheKey: string;
}

function entry({ name }: RemoteShape, kind: ResourceKind, suffix: string, value: Uint8Array): Entry {
  return { key: stateKey(kind, name, suffix), cacheKey: cacheKey(kind, name, suffix), value };
}

const nodeBlock = (shape: RemoteShape, node: number): string => {
  const block = shape.nodesBefore + node;
  return `10.${16 + (block >> 8)}.${block & 0xff}`;
};
const nodeAddress = (shape: RemoteShape, node: number): string => {
  const host = shape.nodesBefore + node;
  return `172.20.${host >> 8}.${host & 0xff}`;
};

function podAddress(shape: RemoteShape, pod: number): string {
  return `${nodeBlock(shape, Math.floor(pod / shape.podsPerNode))}.${1 + (pod % shape.podsPerNode)}`;
}

const identityOf = (shape: RemoteShape, number: number): number => identityRange(shape.id).first + number;

/** @param podName what is changed about it */
export function podEntryOf(shape: RemoteShape, pod: number, podName = `checkout-${pod}`): Entry {
  const address = podAddress(shape, pod);
  const value = encodeIp({
    address,
    hostAddress: nodeAddress(shape, Math.floor(pod / shape.podsPerNode)),
    identity: identityOf(shape, Math.floor(pod / shape.podsPerIdentity)),
    namespace: "shop",
    podName,
    serviceAccount: "checkout-service-account",
    namedPorts: [
      { name: "http", protocol: "TCP", port: 8080 },
      { name: "metrics", protocol: "TCP", port: 9090 },
    ],
  });
  return entry(shape, "ip", address, value);
}

function nodeEntry(shape: RemoteShape, node: number): Entry {
  const name = `node-${node}`;
  const value = encodeNode({
    cluster: shape.name,
    clusterId: shape.id,
    name,
    addresses: [{ type: "InternalIP", address: nodeAddress(shape, node) }],
    podCidrs: [`${nodeBlock(shape, node)}.0/24`],
    reservedAddresses: [],
    labels: new Map([["topology.kubernetes.io/zone", `zone-${node % 3}`]]),
  });
  return entry(shape, "nodes", name, value);
}

function identityEntry(shape: RemoteShape, number: number): Entry {
  const value = encodeIdentity([
    { source: "k8s", key: "app", value: `checkout-${number}` },
    { source: "k8s", key: CLUSTER_LABEL_KEY, value: shape.name },
    { source: "k8s", key: "io.kubernetes.pod.namespace", value: "shop" },
  ]);
  return entry(shape, "identities", String(identityOf(shape, number)), value);
}

function serviceEntry(shape: RemoteShape, number: number): Entry {
  const http = { name: "http", protocol: "TCP", port: 8080 } as const;
  const pods = [number * shape.podsPerService, number * shape.podsPerService + 1];
  const value = encodeService({
    cluster: shape.name,
    clusterId: shape.id,
    namespace: "shop",
    name: `checkout-${number}`,
    frontends: new Map([[`10.100.${number >> 8}.${number & 0xff}`, [{ ...http, port: 80 }]]]),
    backends: new Map(pods.map((pod) => [podAddress(shape, pod), [http]])),
    shared: true,
    labels: new Map(),
    selector: new Map([["app", `checkout-${number}`]]),
  });
  return entry(shape, "services", `shop/checkout-${number}`, value);
}

/** All keys but the canaries and the config. */
export function entriesOfRemote(shape: RemoteShape): readonly Entry[] {
  const many = (share: number, one: (shape: RemoteShape, number: number) => Entry): readonly Entry[] =>
    share === 0 ? [] : Array.from({ length: Math.ceil(shape.pods / share) }, (_, number) => one(shape, number));
  return [
    ...many(shape.podsPerNode, nodeEntry),
    ...many(shape.podsPerIdentity, identityEntry),
    ...many(1, podEntryOf),
    ...many(shape.podsPerService, serviceEntry),
  ];
}

/** Those of `REMOTE`: for each 1,000 pods 10 nodes, 50 identities and 10 services. */
export function entriesOf(pods: number): readonly Entry[] {
  return entriesOfRemote({ ...REMOTE, ...PER_REMOTE, pods });
}

export function podEntry(pod: number, podName?: string): Entry {
  return podEntryOf({ ...REMOTE, ...PER_REMOTE, pods: 0 }, pod, podName);
}

/**
 * What says that this is all: config, canaries, heartbeat.
 * @param cached the keys stand below `cilium/cache/`, as an etcd has them that mirrors the cluster
 */
export function announcement({ name, id }: Cluster = REMOTE, cached = false): readonly Pair[] {
  const config = encodeClusterConfig({
    ...{ id, cached },
    syncedCanaries: true,
    maxConnectedClusters: 255,
    serviceExportsEnabled: false,
    endpointSlicesExportMode: "",
  });
  const written = encoder.encode(WRITTEN_AT);
  const canaries = RESOURCES.map(({ stateCanary, cacheCanary }) => {
    return { key: canaryKey(name, cached ? cacheCanary : stateCanary), value: written };
  });
  return [...canaries, { key: HEARTBEAT_KEY, value: written }, { key: clusterConfigKey(name), value: config }];
}
