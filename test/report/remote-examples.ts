/** Remotes for the tests of what is said of them. */
import type { RemoteStatus } from "../../src/model/status.ts";

const BASE_KINDS = { nodes: true, identities: true, ip: true, services: true };

/** Everything is well. */
export const followed: RemoteStatus = {
  name: "osaka",
  clusterId: 2,
  configured: true,
  config: {
    id: 2,
    syncedCanaries: true,
    cached: false,
    maxConnectedClusters: 255,
    serviceExportsEnabled: true,
    endpointSlicesExportMode: "services-and-endpointslices",
  },
  etcdClusterId: "9f3ac1d02b7e4455",
  phase: "watching",
  connected: true,
  heartbeatSilent: false,
  synced: true,
  readKinds: { ...BASE_KINDS, endpointslices: true, serviceexports: true },
  syncedKinds: { ...BASE_KINDS, endpointslices: true, serviceexports: true },
  entries: { nodes: 3, identities: 40, ip: 5_003, services: 301, endpointslices: 12, serviceexports: 7 },
  ageMs: 420,
  grade: "fresh",
  breaker: "closed",
  failures: 0,
  losses: 0,
  rejected: 0,
  rejectedKinds: {},
  parked: 0,
  holds: [],
  audited: true,
};

/** It was followed before, and then its etcd went. */
export const lost: RemoteStatus = {
  name: "virginia",
  clusterId: 3,
  configured: true,
  config: { id: 3, syncedCanaries: true, cached: true, maxConnectedClusters: 0, endpointSlicesExportMode: "" },
  etcdClusterId: "7",
  phase: "connecting",
  connected: false,
  heartbeatSilent: false,
  synced: true,
  readKinds: { ...BASE_KINDS, endpointslices: true, serviceexports: true },
  syncedKinds: { ...BASE_KINDS, endpointslices: true, serviceexports: true },
  entries: { nodes: 2, identities: 9, ip: 20, services: 4, endpointslices: 0, serviceexports: 0 },
  ageMs: 42_100,
  grade: "suspect",
  breaker: "open",
  failures: 3,
  losses: 2,
  lastLossAt: "2026-11-22T17:50:34.786Z",
  lastFailureAt: "2026-11-22T17:51:02.005Z",
  rejected: 2,
  rejectedKinds: { ip: 2 },
  parked: 1,
  holds: [],
  audited: false,
  lastError: "connect refused\u001b[2J",
};

/** Never reached. */
export const unreached: RemoteStatus = {
  name: "bergen",
  configured: true,
  phase: "connecting",
  connected: false,
  heartbeatSilent: false,
  synced: false,
  readKinds: {},
  syncedKinds: {},
  entries: {},
  grade: "unproven",
  breaker: "closed",
  failures: 0,
  losses: 0,
  rejected: 0,
  rejectedKinds: {},
  parked: 0,
  holds: [],
  audited: false,
};

/** A listing is under way: connected, and nothing of it is in the cache yet. */
const { ageMs: _, ...neverProven } = followed;
export const listing: RemoteStatus = {
  ...neverProven,
  name: "kyoto",
  phase: "reconciling",
  synced: false,
  syncedKinds: {
    ...followed.syncedKinds,
    nodes: false,
    identities: false,
    ip: false,
    services: false,
    endpointslices: false,
    serviceexports: false,
  },
  entries: { nodes: 1 },
  grade: "unproven",
};
