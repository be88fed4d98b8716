/** The declaration table of what clusters exchange: one row per kind. How it flows is written elsewhere, once. */
import type { Cluster } from "../model/cluster.ts";
import type {
  ClusterConfig,
  ClusterEndpointSlice,
  ClusterService,
  Identity,
  IpEntry,
  Judged,
  Node,
  ServiceExport,
} from "../model/resource.ts";
import { decodeEndpointSlice } from "./endpoint-slice.ts";
import { decodeIdentity } from "./identity.ts";
import { decodeIp } from "./ip.ts";
import { CACHE_PREFIX, STATE_PREFIX } from "./keys.ts";
import { decodeNode } from "./node.ts";
import { judging, limitBytes } from "./refusal.ts";
import { decodeService } from "./service.ts";
import { decodeServiceExport } from "./service-export.ts";

/** What each kind decodes to. */
export interface ResourceValues {
  readonly nodes: Node;
  readonly identities: Identity;
  readonly ip: IpEntry;
  readonly services: ClusterService;
  readonly endpointslices: ClusterEndpointSlice;
  readonly serviceexports: ServiceExport;
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
  /** Whether a cluster with this config publishes the kind at all. */
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
  offers: Resource<K>["offers"] = () => true,
): Resource<K> {
  return {
    kind,
    statePrefix: (cluster) => `${STATE_PREFIX}${kind}/v1/${below(cluster)}/`,
    cachePrefix: (cluster) => `${CACHE_PREFIX}${kind}/v1/${cluster}/${cacheTail}`,
    stateCanary: `${STATE_PREFIX}${kind}/v1`,
    cacheCanary: `${CACHE_PREFIX}${kind}/v1`,
    maxBytes,
    offers,
    decode,
  };
}

const ownName = (cluster: string): string => cluster;

const TABLE: { readonly [K in ResourceKind]: Resource<K> } = {
  nodes: row("nodes", ownName, "", 64 * KIB, decodeNode),
  identities: row("identities", () => "id", "id/", 32 * KIB, decodeIdentity),
  ip: row("ip", () => "default", "", 8 * KIB, decodeIp),
  services: row("services", ownName, "", 1024 * KIB, decodeService, ({ endpointSlicesExportMode }) => {
    return endpointSlicesExportMode !== "endpointslices-only";
  }),
  endpointslices: row("endpointslices", ownName, "", 256 * KIB, decodeEndpointSlice, ({ endpointSlicesExportMode }) => {
    return endpointSlicesExportMode !== "";
  }),
  // An exporter that says false knows of the kind: it writes its canary, and no keys.
  serviceexports: row("serviceexports", ownName, "", 1024 * KIB, decodeServiceExport, ({ serviceExportsEnabled }) => {
    return serviceExportsEnabled !== undefined;
  }),
};

/** In the order in which they are best mirrored: owners before what they own. */
export const RESOURCES: readonly Resource[] = [
  TABLE.nodes,
  TABLE.identities,
  TABLE.ip,
  TABLE.services,
  TABLE.endpointslices,
  TABLE.serviceexports,
];

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
