// The mesh that every case runs in: three clusters, both address families; amsterdam is ours and ams-1 is the node we stand on.
import type { Node, Pod, World } from "../reference/world.ts";

type PodText = Partial<Pick<Pod, "serviceAccount" | "namedPorts" | "audit" | "unlabelled" | "node">>;

const NAMESPACES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  demo: { team: "mesh", env: "prod" },
  shop: { team: "shop", env: "prod" },
  tools: { env: "dev" },
};

const FIRST_NODES: Readonly<Record<string, string>> = { amsterdam: "ams-1", osaka: "osa-1", virginia: "vir-1" };

/** @param where `cluster:namespace/name`. */
function pod(where: string, addresses: readonly string[], labels: Record<string, string>, more: PodText = {}): Pod {
  const [cluster = "", path = ""] = where.split(":");
  const [namespace = "", name = ""] = path.split("/");
  return {
    cluster,
    namespace,
    name,
    addresses,
    labels,
    node: FIRST_NODES[cluster] ?? "",
    serviceAccount: "default",
    namespaceLabels: NAMESPACES[namespace] ?? {},
    namedPorts: [],
    ...more,
  };
}

const port = (name: string, number: number, protocol = "TCP") => ({ name, port: number, protocol });
const web = { app: "frontend", tier: "web" };
const database = { app: "ledger", tier: "db" };
const ledgerPorts = [port("sql", 5432), port("metrics", 9100), port("dns", 53, "UDP"), port("sig", 3868, "SCTP")];

const PODS: readonly Pod[] = [
  pod("amsterdam:demo/frontend", ["10.1.0.11", "fd00:1::11"], web, {
    serviceAccount: "frontend",
    namedPorts: [port("http", 8080)],
  }),
  pod("amsterdam:demo/ledger", ["10.1.0.12", "fd00:1::12"], database, {
    serviceAccount: "ledger",
    namedPorts: ledgerPorts,
  }),
  // The same identity elsewhere, with another number behind one of the names.
  pod("amsterdam:demo/ledger-2", ["10.1.1.12", "fd00:1:0:1::12"], database, {
    serviceAccount: "ledger",
    namedPorts: [port("sql", 5433)],
    node: "ams-2",
  }),
  pod("amsterdam:demo/batch", ["10.1.0.13", "fd00:1::13"], { app: "batch", tier: "job", region: "eu" }),
  pod("amsterdam:demo/plain", ["10.1.0.14", "fd00:1::14"], {}),
  pod("amsterdam:demo/watched", ["10.1.0.15", "fd00:1::15"], { app: "watched" }, { audit: true }),
  pod("amsterdam:shop/frontend", ["10.1.0.21", "fd00:1::21"], web, {
    serviceAccount: "frontend",
    namedPorts: [port("http", 8081)],
  }),
  pod("amsterdam:shop/forger", ["10.1.0.22", "fd00:1::22"], {
    app: "forger",
    "io.cilium.k8s.policy.cluster": "osaka",
    "io.cilium.k8s.policy.serviceaccount": "ledger",
    "io.cilium.k8s.namespace.labels.team": "mesh",
    "io.kubernetes.pod.namespace": "demo",
  }),
  pod("amsterdam:tools/probe", ["10.1.0.31", "fd00:1::31"], { app: "probe" }),
  pod("amsterdam:demo/ghost", ["10.1.1.99", "fd00:1:0:1::99"], {}, { node: "ams-2", unlabelled: true }),
  pod("osaka:demo/frontend", ["10.2.0.11", "fd00:2::11"], web, {
    serviceAccount: "frontend",
    namedPorts: [port("http", 8082)],
  }),
  pod("osaka:demo/ledger", ["10.2.0.12", "fd00:2::12"], database, {
    serviceAccount: "ledger",
    namedPorts: [port("sql", 6432)],
  }),
  pod("osaka:shop/frontend", ["10.2.0.21", "fd00:2::21"], web),
  pod("virginia:demo/frontend", ["10.3.0.11", "fd00:3::11"], web, { serviceAccount: "frontend" }),
  // Pods that say that they have others' addresses: one of our pods', our node's, osaka's frontend's.
  pod("osaka:demo/thief", ["10.1.0.13", "fd00:1::13"], { app: "thief" }),
  pod("osaka:demo/host-thief", ["192.168.1.1", "fd01:1::1"], { app: "thief" }),
  pod("virginia:demo/thief", ["10.2.0.11", "fd00:2::11"], { app: "thief" }),
  pod("virginia:tools/probe", ["10.3.0.31", "fd00:3::31"], { app: "probe" }),
];

const NODES: readonly Node[] = [
  {
    cluster: "amsterdam",
    name: "ams-1",
    addresses: ["192.168.1.1", "fd01:1::1"],
    podCidrs: ["10.1.0.0/24", "fd00:1::/64"],
    health: ["10.1.0.240", "fd00:1::f0"],
    ingress: ["10.1.0.241", "fd00:1::f1"],
  },
  {
    cluster: "amsterdam",
    name: "ams-2",
    addresses: ["192.168.1.2", "fd01:1::2"],
    podCidrs: ["10.1.1.0/24", "fd00:1:0:1::/64"],
  },
  {
    cluster: "osaka",
    name: "osa-1",
    addresses: ["192.168.2.1", "fd01:2::1"],
    podCidrs: ["10.2.0.0/24", "fd00:2::/64"],
  },
  {
    cluster: "virginia",
    name: "vir-1",
    addresses: ["192.168.3.1", "fd01:3::1"],
    podCidrs: ["10.3.0.0/24", "fd00:3::/64"],
  },
];

/** Names for addresses that are no pod's: v4, v6. */
export const PLACES: Readonly<Record<string, readonly [v4: string, v6: string]>> = {
  host: ["192.168.1.1", "fd01:1::1"],
  "remote-node": ["192.168.1.2", "fd01:1::2"],
  "osaka-node": ["192.168.2.1", "fd01:2::1"],
  health: ["10.1.0.240", "fd00:1::f0"],
  ingress: ["10.1.0.241", "fd00:1::f1"],
  world: ["203.0.113.7", "2001:db8::7"],
  /** In pod CIDRs, and no pod. */
  unknown: ["10.1.1.77", "fd00:1:0:1::77"],
  "osaka-unknown": ["10.2.0.77", "fd00:2::77"],
  stranger: ["10.1.0.250", "fd00:1::250"],
};

export const MESH: World = {
  own: "amsterdam",
  thisNode: "ams-1",
  defaultLocalCluster: true,
  unknownEndpoints: "deny",
  clusters: [
    { name: "amsterdam", id: 1 },
    { name: "osaka", id: 2 },
    { name: "virginia", id: 3 },
  ],
  pods: PODS,
  nodes: NODES,
  lies: [
    { cluster: "osaka", address: "203.0.113.50" },
    { cluster: "osaka", address: "10.1.0.14" },
    { cluster: "virginia", podCidr: "10.1.0.0/16" },
    { cluster: "virginia", podCidr: "0.0.0.0/1" },
    { cluster: "virginia", podCidr: "2000::/12" },
  ],
  strangers: [PLACES["stranger"] ?? []],
  policies: [],
};
