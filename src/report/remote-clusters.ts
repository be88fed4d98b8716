/** `GET /v1/cluster`: remotes in the words of Cilium's API, for its own tools. Zero and false members are left out, as Go does. */
import type { RemoteStatus } from "../model/status.ts";
import { type ResourceKind, resource } from "../wire/resources.ts";
import { duration, safeText } from "./text.ts";

/** Members in the order in which Cilium writes them: by name. */
export interface RemoteCluster {
  readonly config?: RemoteClusterConfig;
  readonly connected?: true;
  /** RFC 3339. */
  readonly "last-failure"?: string;
  readonly name: string;
  readonly "num-endpoint-slices"?: number;
  readonly "num-endpoints"?: number;
  /** Established connections that failed. */
  readonly "num-failures"?: number;
  readonly "num-identities"?: number;
  readonly "num-nodes"?: number;
  readonly "num-service-exports"?: number;
  readonly "num-shared-services"?: number;
  readonly ready?: true;
  readonly status: string;
  readonly synced: RemoteClusterSynced;
}

export interface RemoteClusterConfig {
  readonly "cluster-id": number;
  readonly "endpoint-slices-export-mode"?: string;
  readonly kvstoremesh?: true;
  readonly required: true;
  readonly retrieved: true;
  /** Absent: the remote does not know of them. */
  readonly "service-exports-enabled"?: boolean;
  readonly "sync-canaries"?: true;
}

/** `endpoint-slices` and `service-exports` are there, even when false, if the remote offers them. */
export interface RemoteClusterSynced {
  readonly "endpoint-slices"?: boolean;
  readonly endpoints?: true;
  readonly identities?: true;
  readonly nodes?: true;
  readonly "service-exports"?: boolean;
  readonly services?: true;
}

const when = (holds: boolean | undefined): true | undefined => holds || undefined;
const someOf = (count: number | undefined): number | undefined => count || undefined;

type Loose<T> = { readonly [K in keyof T]: T[K] | undefined };

/** Without the members that are undefined. */
function written<T extends object>(members: Loose<T>): T {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as T;
}

/** Proven lately, connected, and all of it in the cache: nothing less is called ready. */
function isReady({ connected, synced, phase, grade }: RemoteStatus): boolean {
  return connected && synced && phase === "watching" && grade === "fresh";
}

/** How the connection is, in the form of Cilium's etcd client. */
function connectionText({ connected, grade, ageMs, etcdClusterId, phase, breaker, lastError }: RemoteStatus): string {
  const age = ageMs === undefined ? "never proven" : `proven ${duration(ageMs)} ago`;
  if (!connected)
    return `not connected (${phase}, breaker ${breaker}), ${grade}, ${age}${lastError === undefined ? "" : `: ${lastError}`}`;
  const quorum = grade === "fresh" ? "true" : `${grade}, ${age}`;
  const endpoints = grade === "fresh" ? "1/1" : "0/1";
  const head = `etcd: ${endpoints} connected, leases=0, lock leases=0, has-quorum=${quorum}: endpoint status checks are disabled`;
  return `${head}, ID: ${etcdClusterId ?? "unknown"}${lastError === undefined ? "" : `: ${lastError}`}`;
}

function configOf({ config }: RemoteStatus): RemoteClusterConfig | undefined {
  if (config === undefined) return undefined;
  return written<RemoteClusterConfig>({
    "cluster-id": config.id,
    "endpoint-slices-export-mode": config.endpointSlicesExportMode || undefined,
    kvstoremesh: when(config.cached),
    required: true,
    retrieved: true,
    "service-exports-enabled": config.serviceExportsEnabled,
    "sync-canaries": when(config.syncedCanaries),
  });
}

function syncedOf({ config, syncedKinds }: RemoteStatus): RemoteClusterSynced {
  const offered = (kind: ResourceKind): boolean | undefined =>
    config && resource(kind).offers(config) ? syncedKinds[kind] === true : undefined;
  return written<RemoteClusterSynced>({
    "endpoint-slices": offered("endpointslices"),
    endpoints: when(syncedKinds["ip"]),
    identities: when(syncedKinds["identities"]),
    nodes: when(syncedKinds["nodes"]),
    "service-exports": offered("serviceexports"),
    services: when(syncedKinds["services"]),
  });
}

function remoteCluster(remote: RemoteStatus): RemoteCluster {
  const { entries, lastLossAt } = remote;
  return written<RemoteCluster>({
    config: configOf(remote),
    connected: when(remote.connected),
    "last-failure": lastLossAt,
    name: remote.name,
    "num-endpoint-slices": someOf(entries["endpointslices"]),
    "num-endpoints": someOf(entries["ip"]),
    "num-failures": someOf(remote.losses),
    "num-identities": someOf(entries["identities"]),
    "num-nodes": someOf(entries["nodes"]),
    "num-service-exports": someOf(entries["serviceexports"]),
    "num-shared-services": someOf(entries["services"]),
    ready: when(isReady(remote)),
    status: safeText(connectionText(remote)),
    synced: syncedOf(remote),
  });
}

/** In order of their names. */
export function remoteClusters(remotes: readonly RemoteStatus[]): readonly RemoteCluster[] {
  return remotes.map(remoteCluster).sort((left, right) => (left.name < right.name ? -1 : 1));
}
