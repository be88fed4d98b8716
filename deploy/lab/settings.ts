/** The settings with which the lab runs Bulkhead's programs: everything happens some ten times faster than it would in earnest. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { flagOf } from "../../src/runtime/settings.ts";
import { etcdFile, type Role } from "./credentials.ts";
import { natsUrl } from "./nats.ts";
import type { ClusterPlan, LabPlan, NodePlan } from "./plan.ts";

type Settings = Readonly<Record<string, string | number>>;

export const OBJECTS = fileURLToPath(new URL("../../build/bpf", import.meta.url));
/** Probes and metrics, on the loopback of the node's namespace. */
export const PORTS = { exporter: 9880, kvstoremesh: 9881, agent: 9882, drilld: 9883 } as const;

/** The API and the status page of a kvstoremesh, likewise. */
export const PAGE_PORT = 9889;
const STANDBY = { listen: "127.0.0.1:9884", apiListen: "127.0.0.1:9885" };

const QUICK_ETCD = { etcdTimeoutMs: 1_000, etcdKeepaliveMs: 1_000, etcdKeepaliveTimeoutMs: 1_000 };
const QUICK_CALLS = {
  backoffCapMs: 2_000,
  natsTimeoutMs: 1_000,
  eventsIntervalMs: 250,
};
const QUICK_WATCHES = { progressIntervalMs: 500, progressTimeoutMs: 2_000 };
const QUICK_PROBES = {
  probeIntervalMs: 500,
  probeJitterMs: 100,
  probeTimeoutMs: 1_000,
  probeSelfWindowMs: 5_000,
};
const QUICK_LEASES = { leaseTtlSeconds: 2 };

/** @param role who asks the cluster's etcd; absent: it does not. */
function common(lab: LabPlan, cluster: ClusterPlan, program: keyof typeof PORTS, role?: Role): Settings {
  const etcd = role === undefined ? {} : { clusterId: cluster.id, etcdConfig: etcdFile(cluster, role), ...QUICK_ETCD };
  return {
    cluster: cluster.name,
    runDir: lab.runDirectory,
    listen: `127.0.0.1:${PORTS[program]}`,
    natsUrl: natsUrl(lab),
    ...QUICK_CALLS,
    ...etcd,
  };
}

export function exporterSettings(lab: LabPlan, cluster: ClusterPlan): Settings {
  return {
    ...common(lab, cluster, "exporter", "exporter"),
    manifests: cluster.manifests,
    manifestIntervalMs: 200,
    heartbeatIntervalMs: 1_000,
    heartbeatLeaseTtlSeconds: 3,
    ...QUICK_LEASES,
  };
}

export function mirrorSettings(lab: LabPlan, cluster: ClusterPlan): Settings {
  return {
    ...common(lab, cluster, "kvstoremesh", "mirror"),
    configDir: cluster.remotes,
    configIntervalMs: 200,
    apiListen: `127.0.0.1:${PAGE_PORT}`,
    pageIntervalMs: 1_000,
    suspectAfterMs: 3_000,
    staleAfterMs: 15_000,
    ...QUICK_WATCHES,
    ...QUICK_LEASES,
  };
}

/** Of a second mirror: its socket is not the first one's. */
export function standbySettings(lab: LabPlan, cluster: ClusterPlan): Settings {
  return { ...mirrorSettings(lab, cluster), runDir: join(lab.runDirectory, "standby"), ...STANDBY };
}

export function drilldSettings(lab: LabPlan, cluster: ClusterPlan, dataDirectory: string): Settings {
  return {
    ...common(lab, cluster, "drilld"),
    allowList: allowListFile(cluster),
    stateDir: join(dataDirectory, `${cluster.name}.drilld`),
  };
}

export function allowListFile(cluster: ClusterPlan): string {
  return join(cluster.directory, "drills.json");
}

export function agentSettings(lab: LabPlan, cluster: ClusterPlan, node: NodePlan): Settings {
  return {
    ...common(lab, cluster, "agent", "agent"),
    node: node.name,
    cgroup: node.cgroup,
    bpfDir: node.bpfDirectory,
    snapshotDir: join(cluster.directory, "snapshots"),
    snapshotIntervalMs: 1_000,
    driftIntervalMs: 5_000,
    objects: OBJECTS,
    endpointDevices: "pod*",
    ...QUICK_WATCHES,
    ...QUICK_PROBES,
  };
}

/** `{ runDir: "/x" }` as `--run-dir /x`. */
export function flags(settings: Settings): readonly string[] {
  return Object.entries(settings).flatMap(([setting, value]) => [flagOf(setting), String(value)]);
}
