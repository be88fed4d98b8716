/** Every etcd key and prefix, and their way back. Cilium's schema below `cilium/`, our own below `bulkhead/v1/`. */

/** Rewritten by the exporter; the only leased key besides the leader keys. */
export const HEARTBEAT_KEY = "cilium/.heartbeat";
export const CLUSTER_CONFIG_PREFIX = "cilium/cluster-config/";
/** Canaries: `cilium/synced/<cluster>/<prefix>` says that everything below `<prefix>` was written once. */
export const SYNCED_PREFIX = "cilium/synced/";
export const STATE_PREFIX = "cilium/state/";
export const CACHE_PREFIX = "cilium/cache/";

/** Lock prefixes: leader keys are `<prefix>/<lease id in hex>`. */
export const KVSTOREMESH_LOCK_PREFIX = "cilium/kvstoremesh-lock";
export const EXPORTER_LOCK_PREFIX = "bulkhead/v1/locks/exporter";

export const LOCAL_SERVICES_PREFIX = "bulkhead/v1/services/";
const LOCAL_SERVICES_CANARY = "bulkhead/v1/services";

/** Policies of the own cluster: `<kind>/[<namespace>/]<name>`. */
export const POLICIES_PREFIX = "bulkhead/v1/policies/";
/** Pods of the own cluster that other clusters must not see, as in `cilium/state/ip` and `cilium/state/identities`. */
export const LOCAL_IPS_PREFIX = "bulkhead/v1/ip/";
export const LOCAL_IDENTITIES_PREFIX = "bulkhead/v1/identities/";
/** What agents need of single pods beyond their addresses: `<namespace>/<pod>`. */
export const ENDPOINTS_PREFIX = "bulkhead/v1/endpoints/";

/** What the mirror remembers of a remote: how far it followed it, and which withdrawals of it an operator refused to believe. */
export function checkpointKey(cluster: string): string {
  return `bulkhead/v1/checkpoints/${cluster}`;
}

export function holdsKey(cluster: string): string {
  return `bulkhead/v1/holds/${cluster}`;
}

/** What the mirror tells the nodes of its cluster: how fresh each remote is, which they follow, and more of each, which they read when asked. */
export const PEERS_PREFIX = "bulkhead/v1/peers/";
export const PEER_GRADES_KEY = `${PEERS_PREFIX}grades`;
export const PEER_DETAIL_PREFIX = `${PEERS_PREFIX}detail/`;

export function peerDetailKey(cluster: string): string {
  return `${PEER_DETAIL_PREFIX}${cluster}`;
}

const STATE_BULKHEAD = `${STATE_PREFIX}bulkhead/v1`;
const CACHE_BULKHEAD = `${CACHE_PREFIX}bulkhead/v1`;
export const CACHED_DRAINS_PREFIX = `${CACHE_BULKHEAD}/`;

/** Stands while traffic leaves a cluster, or has left; in its own etcd, and in those of its mirrors. */
export function drainKey(cluster: string): string {
  return `${STATE_BULKHEAD}/${cluster}/drain`;
}

export function cachedDrainKey(cluster: string): string {
  return `${CACHED_DRAINS_PREFIX}${cluster}/drain`;
}

/** The cluster of a `cilium/cache/bulkhead/v1/<cluster>/drain` key, or undefined when the key is not of that form. */
export function clusterOfCachedDrainKey(key: string): string | undefined {
  const [, cluster] =
    /^([^/]+)\/drain$/.exec(key.startsWith(CACHED_DRAINS_PREFIX) ? key.slice(CACHED_DRAINS_PREFIX.length) : "") ?? [];
  return cluster;
}

/** Says that no marker means no drain: to the own cluster's agents, and of another cluster, whether it knows of drains or not. */
export function drainCanary(own: string): string {
  return canaryKey(own, STATE_BULKHEAD);
}

export function cachedDrainCanary(cluster: string): string {
  return canaryKey(cluster, CACHE_BULKHEAD);
}

/** Canary of one of our own prefixes. */
export function localCanary(own: string, prefix: string): string {
  return canaryKey(own, prefix.replace(/\/$/, ""));
}

export function clusterConfigKey(cluster: string): string {
  return `${CLUSTER_CONFIG_PREFIX}${cluster}`;
}

/** `prefix` without trailing slash, such as `cilium/state/ip/v1`. */
export function canaryKey(cluster: string, prefix: string): string {
  return `${SYNCED_PREFIX}${cluster}/${prefix}`;
}

export function canaryPrefix(cluster: string): string {
  return `${SYNCED_PREFIX}${cluster}/`;
}

export function localServiceKey(namespace: string, name: string): string {
  return `${LOCAL_SERVICES_PREFIX}${namespace}/${name}`;
}

export function localServicesCanary(own: string): string {
  return canaryKey(own, LOCAL_SERVICES_CANARY);
}

/** The cluster of a `cilium/cluster-config/<cluster>` key, or undefined when the key is not of that form. */
export function clusterOfConfigKey(key: string): string | undefined {
  if (!key.startsWith(CLUSTER_CONFIG_PREFIX)) return undefined;
  const cluster = key.slice(CLUSTER_CONFIG_PREFIX.length);
  return cluster === "" || cluster.includes("/") ? undefined : cluster;
}

/** The parts of a canary key, or undefined when the key is not of that form. */
export function parseCanaryKey(key: string): { readonly cluster: string; readonly prefix: string } | undefined {
  if (!key.startsWith(SYNCED_PREFIX)) return undefined;
  const slash = key.indexOf("/", SYNCED_PREFIX.length);
  if (slash <= SYNCED_PREFIX.length || slash === key.length - 1) return undefined;
  return { cluster: key.slice(SYNCED_PREFIX.length, slash), prefix: key.slice(slash + 1) };
}
