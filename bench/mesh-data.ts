/** What a large remote holds, as its exporter would write it: for each 1,000 pods 10 nodes, 50 identities and 10 services. Always the same bytes. */
import type { KeyValue } from "../src/kv/client.ts";
import { identityRange } from "../src/model/cluster.ts";
import { encodeClusterConfig } from "../src/wire/cluster-config.ts";
import { CLUSTER_LABEL_KEY, encodeIdentity } from "../src/wire/identity.ts";
import { encodeIp } from "../src/wire/ip.ts";
import { canaryKey, clusterConfigKey, HEARTBEAT_KEY } from "../src/wire/keys.ts";
import { encodeNode } from "../src/wire/node.ts";
import { cacheKey, RESOURCES, type ResourceKind, stateKey } from "../src/wire/resources.ts";
import { encodeService } from "../src/wire/service.ts";

export const OWN = { name: "amsterdam", id: 1 } as const;
export const REMOTE = { name: "osaka", id: 2 } as const;
const PODS_PER_NODE = 100;
const PODS_PER_IDENTITY = 20;
const PODS_PER_SERVICE = 100;
const WRITTEN_AT = "2026-01-01T00:00:00Z";
const encoder = new TextEncoder();

export type Pair = Pick<KeyValue, "key" | "value">;

/** A key of the remote, and what it is called in the cache of others. */
export interface Entry extends Pair {
  readonly cacheKey: string;
}

function entry(kind: ResourceKind, suffix: string, value: Uint8Array): Entry {
  return { key: stateKey(kind, REMOTE.name, suffix), cacheKey: cacheKey(kind, REMOTE.name, suffix), value };
}

const nodeBlock = (node: number): string => `10.${16 + (node >> 8)}.${node & 0xff}`;
const nodeAddress = (node: number): string => `172.20.${node >> 8}.${node & 0xff}`;

function podAddress(pod: number): string {
  return `${nodeBlock(Math.floor(pod / PODS_PER_NODE))}.${1 + (pod % PODS_PER_NODE)}`;
}

const identityOf = (number: number): number => identityRange(REMOTE.id).first + number;

/** @param podName what is changed about it */
export function podEntry(pod: number, podName = `checkout-${pod}`): Entry {
  const address = podAddress(pod);
  const value = encodeIp({
    address,
    hostAddress: nodeAddress(Math.floor(pod / PODS_PER_NODE)),
    identity: identityOf(Math.floor(pod / PODS_PER_IDENTITY)),
    namespace: "shop",
    podName,
    serviceAccount: "checkout-service-account",
    namedPorts: [
      { name: "http", protocol: "TCP", port: 8080 },
      { name: "metrics", protocol: "TCP", port: 9090 },
    ],
  });
  return entry("ip", address, value);
}

function nodeEntry(node: number): Entry {
  const name = `node-${node}`;
  const value = encodeNode({
    cluster: REMOTE.name,
    clusterId: REMOTE.id,
    name,
    addresses: [{ type: "InternalIP", address: nodeAddress(node) }],
    podCidrs: [`${nodeBlock(node)}.0/24`],
    reservedAddresses: [],
    labels: new Map([["topology.kubernetes.io/zone", `zone-${node % 3}`]]),
  });
  return entry("nodes", name, value);
}

function identityEntry(number: number): Entry {
  const value = encodeIdentity([
    { source: "k8s", key: "app", value: `checkout-${number}` },
    { source: "k8s", key: CLUSTER_LABEL_KEY, value: REMOTE.name },
    { source: "k8s", key: "io.kubernetes.pod.namespace", value: "shop" },
  ]);
  return entry("identities", String(identityOf(number)), value);
}

function serviceEntry(number: number): Entry {
  const http = { name: "http", protocol: "TCP", port: 8080 } as const;
  const pods = [number * PODS_PER_SERVICE, number * PODS_PER_SERVICE + 1];
  const value = encodeService({
    cluster: REMOTE.name,
    clusterId: REMOTE.id,
    namespace: "shop",
    name: `checkout-${number}`,
    frontends: new Map([[`10.100.${number >> 8}.${number & 0xff}`, [{ ...http, port: 80 }]]]),
    backends: new Map(pods.map((pod) => [podAddress(pod), [http]])),
    shared: true,
    labels: new Map(),
    selector: new Map([["app", `checkout-${number}`]]),
  });
  return entry("services", `shop/checkout-${number}`, value);
}

/** All keys but the canaries and the config. */
export function entriesOf(pods: number): readonly Entry[] {
  const many = (share: number, one: (number: number) => Entry): readonly Entry[] =>
    Array.from({ length: Math.ceil(pods / share) }, (_, number) => one(number));
  return [
    ...many(PODS_PER_NODE, nodeEntry),
    ...many(PODS_PER_IDENTITY, identityEntry),
    ...many(1, podEntry),
    ...many(PODS_PER_SERVICE, serviceEntry),
  ];
}

/** What says that this is all: config, canaries, heartbeat. */
export function announcement(): readonly Pair[] {
  const config = encodeClusterConfig({
    id: REMOTE.id,
    syncedCanaries: true,
    cached: false,
    maxConnectedClusters: 255,
    serviceExportsEnabled: false,
    endpointSlicesExportMode: "",
  });
  const written = encoder.encode(WRITTEN_AT);
  const canaries = RESOURCES.map(({ stateCanary }) => ({ key: canaryKey(REMOTE.name, stateCanary), value: written }));
  return [...canaries, { key: HEARTBEAT_KEY, value: written }, { key: clusterConfigKey(REMOTE.name), value: config }];
}
