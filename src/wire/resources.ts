/** The declaration table of what clusters exchange: one row per kind. How it flows is written elsewhere, once. */
import type { Cluster } from "../model/cluster.ts";
import type { ClusterConfig, ClusterService, Identity, IpEntry, Judged, Node } from "../model/resource.ts";
import { decodeIdentity } from "./identity.ts";
import { decodeIp } from "./ip.ts";
import { CACHE_PREFIX, STATE_PREFIX } from "./keys.ts";
import { decodeNode } from "./node.ts";
import { judging, limitBytes } from "./refusal.ts";
import { decodeService } from "./service.ts";

/** What each kind decodes to. */
export interface ResourceValues {
  readonly nodes: Node;
  readonly identities: Identity;
  readonly ip: IpEntry;
  readonly services: ClusterService;
}

export type ResourceKind = keyof ResourceValues;
export type ResourceValue = ResourceValues[ResourceKind];

export interface Resource<K extends ResourceKind = ResourceKind> {
  readonly kind: K;
  /** Prefix in the cluster's own etcd, with trailing slash. */
  readonly statePrefix: (cluster: string) => string;
  /** Prefix in the etcd of those who mirror it, with trailing slash. */
  readonly cachePrefix: (cluster: string) => string;
  /** Canary names for `canaryKey`. */
  readonly stateCanary: string;
  readonly cacheCanary: string;
  /** Longest value accepted, in bytes. */
  readonly maxBytes: number;
  readonly offers: (config: ClusterConfig) => boolean;
  readonly decode: (cluster: Cluster, suffix: string, value: Uint8Array) => ResourceValues[K];
}

const KIB = 1024;

/** `below` and `cacheTail` differ because state keys of identities and IPs do not carry the cluster's name. */
function row<K extends ResourceKind>(
  kind: K,
  below: (cluster: string) => string,
  cacheTail: string,
  maxBytes: number,
  decode: Resource<K>["decode"],
): Resource<K> {
  return {
    kind,
    statePrefix: (cluster) => `${STATE_PREFIX}${kind}/v1/${below(cluster)}/`,
    cachePrefix: (cluster) => `${CACHE_PREFIX}${kind}/v1/${cluster}/${cacheTail}`,
    stateCanary: `${STATE_PREFIX}${kind}/v1`,
    cacheCanary: `${CACHE_PREFIX}${kind}/v1`,
    maxBytes,
    offers: (config) => kind !== "services" || config.endpointSlicesExportMode !== "endpointslices-only",
    decode,
  };
}

const TABLE: { readonly [K in ResourceKind]: Resource<K> } = {
  nodes: row("nodes", (cluster) => cluster, "", 64 * KIB, decodeNode),
  identities: row("identities", () => "id", "id/", 32 * KIB, decodeIdentity),
  ip: row("ip", () => "default", "", 8 * KIB, decodeIp),
  services: row("services", (cluster) => cluster, "", 1024 * KIB, decodeService),
};

/** In the order in which they are best mirrored: owners before what they own. */
export const RESOURCES: readonly Resource[] = [TABLE.nodes, TABLE.identities, TABLE.ip, TABLE.services];

/** Cilium's agents wait for these canaries too. Nothing is mirrored below them yet, so they are written at once. */
export const DISABLED_CACHE_CANARIES: readonly string[] = [
  `${CACHE_PREFIX}endpointslices/v1`,
  `${CACHE_PREFIX}serviceexports/v1`,
];

/** The canary that every exporter writes although it exports nothing below it. */
export const DISABLED_STATE_CANARIES: readonly string[] = [`${STATE_PREFIX}serviceexports/v1`];

export function resource<K extends ResourceKind>(kind: K): Resource<K> {
  return TABLE[kind];
}

/** The key in the cluster's own etcd. `suffix` is what follows the prefix, such as `billing/ledger`. */
export function stateKey(kind: ResourceKind, cluster: string, suffix: string): string {
  return resource(kind).statePrefix(cluster) + suffix;
}

/** The key in the etcd of those who mirror the cluster. */
export function cacheKey(kind: ResourceKind, cluster: string, suffix: string): string {
  return resource(kind).cachePrefix(cluster) + suffix;
}

export interface CacheKey {
  readonly kind: ResourceKind;
  readonly cluster: string;
  readonly suffix: string;
}

/** The parts of a `cilium/cache/` key of a known kind, or undefined. */
export function parseCacheKey(key: string): CacheKey | undefined {
  for (const { kind, cacheCanary, cachePrefix } of RESOURCES) {
    if (!key.startsWith(`${cacheCanary}/`)) continue;
    const start = cacheCanary.length + 1;
    const cluster = key.slice(start, Math.max(start, key.indexOf("/", start)));
    const prefix = cachePrefix(cluster);
    if (cluster === "" || !key.startsWith(prefix) || key.length === prefix.length) return undefined;
    return { kind, cluster, suffix: key.slice(prefix.length) };
  }
  return undefined;
}

/**
 * Judges what a cluster says: bytes become a model value or a rejection, never a throw.
 * `cluster` is whom we believe to be talking to; `suffix` is the key below the watched prefix, in its state or its cache form.
 */
export function judge<K extends ResourceKind>(
  kind: K,
  cluster: Cluster,
  suffix: string,
  value: Uint8Array,
): Judged<ResourceValues[K]> {
  const { decode, maxBytes } = resource(kind);
  return judging(stateKey(kind, cluster.name, suffix), () => {
    limitBytes(value, maxBytes);
    return decode(cluster, suffix, value);
  });
}
