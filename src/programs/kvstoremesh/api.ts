/** What the mirror tells the tools of its machine: which routes, in which shape. */

import type { Mirror } from "../../mirror/mirror.ts";
import type { EventsStatus } from "../../model/event.ts";
import type { ClusterConfig } from "../../model/resource.ts";
import type { CertificateStatus, HoldStatus, MirrorStatus, RemoteStatus } from "../../model/status.ts";
import { PAGE_PATH } from "../../page/feed.ts";
import {
  type RemoteCluster,
  type RemoteClusterConfig,
  type RemoteClusterSynced,
  remoteClusters,
} from "../../report/remote-clusters.ts";
import {
  flag,
  listOf,
  mapOf,
  maybe,
  number,
  record,
  type Schema,
  text,
  unknown,
  whole,
  word,
  yes,
} from "../../runtime/schema.ts";
import type { RouteDoc, RouteDocs } from "../../serve/openapi.ts";
import type { Answer, StaticFile } from "../../serve/routes.ts";

const CLUSTER_PATH = "/v1/cluster";

const clusterConfig: Schema<ClusterConfig> = record({
  id: whole,
  syncedCanaries: flag,
  cached: flag,
  maxConnectedClusters: whole,
  serviceExportsEnabled: maybe(flag),
  endpointSlicesExportMode: text,
});

const hold: Schema<HoldStatus> = record({
  kind: text,
  state: word("held", "discarded"),
  keys: whole,
  withdrawals: whole,
  ageMs: number,
  confirmsInMs: maybe(number),
  example: text,
});

const remote: Schema<RemoteStatus> = record({
  name: text,
  clusterId: maybe(whole),
  configured: flag,
  config: maybe(clusterConfig),
  etcdClusterId: maybe(text),
  phase: word("idle", "connecting", "handshake", "listing", "reconciling", "watching", "refused", "draining"),
  connected: flag,
  heartbeatSilent: flag,
  synced: flag,
  readKinds: mapOf(flag),
  syncedKinds: mapOf(flag),
  entries: mapOf(whole),
  ageMs: maybe(number),
  grade: word("fresh", "suspect", "stale", "unproven"),
  breaker: word("closed", "half-open", "open"),
  failures: whole,
  losses: whole,
  lastLossAt: maybe(text),
  lastFailureAt: maybe(text),
  rejected: whole,
  rejectedKinds: mapOf(whole),
  parked: whole,
  holds: listOf(hold),
  audited: flag,
  lastError: maybe(text),
});

const events: Schema<EventsStatus> = record({
  connected: flag,
  emitted: whole,
  sent: whole,
  lost: whole,
  waiting: whole,
  error: maybe(text),
});

const certificate: Schema<CertificateStatus> = record({ file: text, until: text, leftMs: number });

const status: Schema<MirrorStatus> = record({
  program: word("kvstoremesh"),
  cluster: text,
  pid: whole,
  uptimeMs: number,
  leader: flag,
  queued: whole,
  problems: listOf(text),
  events: maybe(events),
  certificate: maybe(certificate),
  remotes: listOf(remote),
});

const remoteClusterConfig: Schema<RemoteClusterConfig> = record({
  "cluster-id": whole,
  "endpoint-slices-export-mode": maybe(text),
  kvstoremesh: maybe(yes),
  required: yes,
  retrieved: yes,
  "service-exports-enabled": maybe(flag),
  "sync-canaries": maybe(yes),
});

const remoteClusterSynced: Schema<RemoteClusterSynced> = record({
  "endpoint-slices": maybe(flag),
  endpoints: maybe(yes),
  identities: maybe(yes),
  nodes: maybe(yes),
  "service-exports": maybe(flag),
  services: maybe(yes),
});

const remoteCluster: Schema<RemoteCluster> = record({
  config: maybe(remoteClusterConfig),
  connected: maybe(yes),
  "last-failure": maybe(text),
  name: text,
  "num-endpoint-slices": maybe(whole),
  "num-endpoints": maybe(whole),
  "num-failures": maybe(whole),
  "num-identities": maybe(whole),
  "num-nodes": maybe(whole),
  "num-service-exports": maybe(whole),
  "num-shared-services": maybe(whole),
  ready: maybe(yes),
  status: text,
  synced: remoteClusterSynced,
});

/** What the API answers beside what every program does. */
export function apiAnswers(mirror: Pick<Mirror, "status">): ReadonlyMap<string, Answer> {
  return new Map([[CLUSTER_PATH, () => remoteClusters(mirror.status().remotes)]]);
}

/** Of what a browser loads; PAGE_PATH is told in events, whose shapes are the page's own and may change with it. */
export function pageDocs(files: ReadonlyMap<string, StaticFile>): RouteDocs {
  const loaded = [...files].map(([path, { type }]): [string, RouteDoc] => {
    return [`GET ${path}`, { summary: path === "/" ? "The status page." : "Of the status page.", answer: text, type }];
  });
  const told = { summary: "What the status page shows, as events.", answer: unknown, type: "text/event-stream" };
  return new Map<string, RouteDoc>([...loaded, [`GET ${PAGE_PATH}`, told]]);
}

export const API_DOCS: RouteDocs = new Map([
  ["GET /v1/status", { summary: "All that this mirror says of itself.", answer: status }],
  [`GET ${CLUSTER_PATH}`, { summary: "Its remotes in the words of Cilium's API.", answer: listOf(remoteCluster) }],
]);
