/** What a large remote holds, as its exporter would write it: for each 1,000 pods 10 nodes, 50 identities and 10 services. Always the same bytes. */
import { FollowedKeys } from "../src/ingest/keys.ts";
import type { KeyValue } from "../src/kv/client.ts";
import { identityRange } from "../src/model/cluster.ts";
import { encodeClusterConfig } from "../src/wire/cluster-config.ts";
import { CLUSTER_LABEL_KEY, encodeIdentity } from "../src/wire/identity.ts";
import { encodeIp } from "../src/wire/ip.ts";
import { canaryKey, clusterConfigKey, HEARTBEAT_KEY, localServiceKey } from "../src/wire/keys.ts";
import { encodeLocalService } from "../src/wire/local-service.ts";
import { encodeNode } from "../src/wire/node.ts";
import { cacheKey, RESOURCES, type ResourceKind, stateKey } from "../src/wire/resources.ts";
import { encodeService } from "../src/wire/service.ts";

export const OWN = { name: "amsterdam", id: 1 } as const;
export const REMOTE = { name: "osaka", id: 2 } as const;
const PODS_PER_NODE = 100;
const PODS_PER_IDENTITY = 20;
const PODS_PER_SERVICE = 100;
/** Of those that one cluster has numbers for. */
const MOST_IDENTITIES = 60_000;
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

export function podAddress(pod: number): string {
  return `${nodeBlock(Math.floor(pod / PODS_PER_NODE))}.${1 + (pod % PODS_PER_NODE)}`;
}

export const identityOf = (number: number): number => identityRange(REMOTE.id).first + number;

export const podIdentity = (pod: number): number => identityOf(Math.floor(pod / PODS_PER_IDENTITY) % MOST_IDENTITIES);

/** What is changed about it. */
interface PodChange {
  readonly podName?: string;
  /** Its number within the remote. */
  readonly identity?: number;
}

export function podEntry(pod: number, { podName = `checkout-${pod}`, identity }: PodChange = {}): Entry {
  const address = podAddress(pod);
  const value = encodeIp({
    address,
    hostAddress: nodeAddress(Math.floor(pod / PODS_PER_NODE)),
    identity: identity === undefined ? podIdentity(pod) : identityOf(identity),
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

export const serviceAddress = (number: number): string => `10.100.${number >> 8}.${number & 0xff}`;

export function serviceEntry(number: number): Entry {
  const http = { name: "http", protocol: "TCP", port: 8080 } as const;
  const pods = [number * PODS_PER_SERVICE, number * PODS_PER_SERVICE + 1];
  const value = encodeService({
    cluster: REMOTE.name,
    clusterId: REMOTE.id,
    namespace: "shop",
    name: `checkout-${number}`,
    frontends: new Map([[serviceAddress(number), [{ ...http, port: 80 }]]]),
    backends: new Map(pods.map((pod) => [podAddress(pod), [http]])),
    shared: true,
    labels: new Map(),
    selector: new Map([["app", `checkout-${number}`]]),
  });
  return entry("services", `shop/checkout-${number}`, value);
}

/** All keys but the canaries and the config, one after the other: of millions nobody keeps a list. */
export function* entriesInTurn(pods: number, services = Math.ceil(pods / PODS_PER_SERVICE)): Generator<Entry> {
  for (let node = 0; node * PODS_PER_NODE < pods; node++) yield nodeEntry(node);
  const identities = Math.min(MOST_IDENTITIES, Math.ceil(pods / PODS_PER_IDENTITY));
  for (let number = 0; number < identities; number++) yield identityEntry(number);
  for (let pod = 0; pod < pods; pod++) yield podEntry(pod);
  for (let number = 0; number < services; number++) yield serviceEntry(number);
}

export function entriesOf(pods: number): readonly Entry[] {
  return [...entriesInTurn(pods)];
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

/** The service of that number in the own cluster, without backends there. */
export function ownServiceEntry(number: number): Pair {
  const [namespace, name] = ["shop", `checkout-${number}`];
  const http = { name: "http", protocol: "TCP", port: 80 } as const;
  const value = encodeLocalService({
    ...{ namespace, name, global: true, shared: true, affinity: "none", backends: new Map() },
    frontends: new Map([[serviceAddress(number), [http]]]),
  });
  return { key: localServiceKey(namespace, name), value };
}

/** What says, in the own cluster's etcd, that this is all of it and of what was mirrored. */
export function ownAnnouncement(): readonly Pair[] {
  const written = encoder.encode(WRITTEN_AT);
  const keys = new FollowedKeys(OWN.name);
  const canaries = [OWN.name, REMOTE.name].flatMap((cluster) => [
    keys.drainCanary(cluster),
    ...keys.kinds(cluster).flatMap((kind) => keys.canary(cluster, kind) ?? []),
  ]);
  const config = announcement().filter(({ key }) => key === clusterConfigKey(REMOTE.name));
  return [...canaries.map((key) => ({ key, value: written })), ...config];
}
