/** What an exporter says of itself: the cluster config, and the canaries of what it has written completely. Pure. */
import { type Cluster, MAX_CLUSTER_ID } from "../model/cluster.ts";
import type { ClusterConfig } from "../model/resource.ts";
import { encodeClusterConfig } from "../wire/cluster-config.ts";
import {
  canaryKey,
  ENDPOINTS_PREFIX,
  LOCAL_IDENTITIES_PREFIX,
  LOCAL_IPS_PREFIX,
  LOCAL_SERVICES_PREFIX,
  localCanary,
  POLICIES_PREFIX,
} from "../wire/keys.ts";
import { RESOURCES } from "../wire/resources.ts";

/** What an exporter offers: canaries can be waited for; the one of service exports is written in any case; no endpoint slices. */
function capabilities(serviceExports: boolean): Omit<ClusterConfig, "id"> {
  return {
    syncedCanaries: true,
    cached: false,
    maxConnectedClusters: MAX_CLUSTER_ID,
    serviceExportsEnabled: serviceExports,
    endpointSlicesExportMode: "",
  };
}

/** Value of `cilium/cluster-config/<own>`. */
export function clusterConfig({ id }: Cluster, serviceExports: boolean): Uint8Array {
  return encodeClusterConfig({ id, ...capabilities(serviceExports) });
}

/** Prefixes of our own, which only the agents of this cluster read. */
const LOCAL_PREFIXES = [
  LOCAL_SERVICES_PREFIX,
  LOCAL_IDENTITIES_PREFIX,
  LOCAL_IPS_PREFIX,
  ENDPOINTS_PREFIX,
  POLICIES_PREFIX,
];

/** Canary keys of all that an exporter offers. */
export function canaryKeys({ name: cluster, id }: Cluster): readonly string[] {
  const offered = RESOURCES.filter(({ offers }) => offers({ id, ...capabilities(false) }));
  const prefixes = offered.map(({ stateCanary }) => stateCanary);
  const local = LOCAL_PREFIXES.map((prefix) => localCanary(cluster, prefix));
  return [...prefixes.map((prefix) => canaryKey(cluster, prefix)), ...local];
}
