/** What an exporter says of itself: the cluster config, and the canaries of what it has written completely. Pure. */
import { type Cluster, MAX_CLUSTER_ID } from "../model/cluster.ts";
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
import { DISABLED_STATE_CANARIES, RESOURCES } from "../wire/resources.ts";

/** Value of `cilium/cluster-config/<own>`: canaries can be waited for; neither service exports nor endpoint slices. */
export function clusterConfig(cluster: Cluster): Uint8Array {
  return encodeClusterConfig({
    id: cluster.id,
    syncedCanaries: true,
    cached: false,
    maxConnectedClusters: MAX_CLUSTER_ID,
    serviceExportsEnabled: false,
    endpointSlicesExportMode: "",
  });
}

/** Prefixes of our own, which only the agents of this cluster read. */
const LOCAL_PREFIXES = [
  LOCAL_SERVICES_PREFIX,
  LOCAL_IDENTITIES_PREFIX,
  LOCAL_IPS_PREFIX,
  ENDPOINTS_PREFIX,
  POLICIES_PREFIX,
];

/** Canary keys of all that an exporter writes, and of what every exporter must announce although it writes none of it. */
export function canaryKeys(cluster: string): readonly string[] {
  const prefixes = [...RESOURCES.map(({ stateCanary }) => stateCanary), ...DISABLED_STATE_CANARIES];
  const local = LOCAL_PREFIXES.map((prefix) => localCanary(cluster, prefix));
  return [...prefixes.map((prefix) => canaryKey(cluster, prefix)), ...local];
}
