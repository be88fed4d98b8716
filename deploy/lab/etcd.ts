/** One real etcd per cluster, in the first node's network, and a plain look into it with etcdctl: not with Bulkhead's own code. */
import { join } from "node:path";
import { command, inNetns } from "./command.ts";
import { etcdctlTlsFlags, etcdEndpoints, etcdTlsFlags } from "./credentials.ts";
import { type ClusterPlan, etcdNode } from "./plan.ts";

export const PEER_URL = "http://127.0.0.1:2380";
const CTL_TIMEOUT_MS = 15_000;

export interface StoredKey {
  readonly key: string;
  readonly value: string;
  readonly modRevision: number;
  /** "0": none. */
  readonly lease: string;
}

/** Short heartbeats make leases of one second possible; no fsync, as a lab's data need not outlive the machine. */
export function etcdArgv(cluster: ClusterPlan, dataDirectory: string): readonly string[] {
  const { local, mesh } = etcdEndpoints(cluster);
  return [
    "etcd",
    ...[
      "--name",
      cluster.name,
      "--data-dir",
      join(dataDirectory, cluster.name),
      "--logger",
      "zap",
      "--log-level",
      "warn",
    ],
    ...["--listen-client-urls", `${mesh},${local}`, "--advertise-client-urls", mesh, ...etcdTlsFlags(cluster)],
    ...["--listen-peer-urls", PEER_URL, "--initial-advertise-peer-urls", PEER_URL],
    ...["--initial-cluster", `${cluster.name}=${PEER_URL}`, "--unsafe-no-fsync"],
    ...["--heartbeat-interval", "10", "--election-timeout", "100", "--grpc-keepalive-min-time", "100ms"],
  ];
}

/** What programs read to reach this cluster's etcd: Cilium's etcd client file. */
export function etcdClientFile(cluster: ClusterPlan): string {
  return `# How to reach the etcd of ${cluster.name}, in Cilium's format.\nendpoints:\n  - ${etcdEndpoints(cluster).mesh}\n`;
}

/** etcdctl on the node of the cluster's etcd, as one who may do everything. */
export function etcdctlArgv(cluster: ClusterPlan, args: readonly string[]): readonly string[] {
  const where = ["--endpoints", etcdEndpoints(cluster).local, ...etcdctlTlsFlags(cluster)];
  return inNetns(etcdNode(cluster).netns, ["etcdctl", ...where, ...args]);
}

/** Standard output of etcdctl against the cluster's etcd. */
export async function etcdctl(cluster: ClusterPlan, args: readonly string[]): Promise<string> {
  return await command(etcdctlArgv(cluster, ["--command-timeout=10s", ...args]), {
    env: { ETCDCTL_API: "3" },
    timeoutMs: CTL_TIMEOUT_MS,
  });
}

export async function etcdAnswers(cluster: ClusterPlan): Promise<boolean> {
  try {
    await etcdctl(cluster, ["--dial-timeout=300ms", "--command-timeout=1s", "get", "health"]);
    return true;
  } catch {
    return false;
  }
}

interface Kv {
  readonly key: string;
  readonly value?: string;
  readonly mod_revision: number;
  readonly lease?: number | string;
}

const text = (base64: string): string => Buffer.from(base64, "base64").toString("utf8");

/** JSON of etcdctl holds lease ids above 2^53: they are read as text. */
export function parseKeys(json: string): readonly StoredKey[] {
  const quoted = json.replace(/"lease":(-?\d+)/g, '"lease":"$1"');
  const { kvs = [] } = JSON.parse(quoted) as { readonly kvs?: readonly Kv[] };
  return kvs.map((kv) => ({
    key: text(kv.key),
    value: text(kv.value ?? ""),
    modRevision: kv.mod_revision,
    lease: String(kv.lease ?? "0"),
  }));
}

export async function keysBelow(cluster: ClusterPlan, prefix: string): Promise<readonly StoredKey[]> {
  return parseKeys(await etcdctl(cluster, ["get", "--prefix", prefix, "-w", "json"]));
}

/** Everything that `cluster` keeps of `remote`: mirrored values, canaries and config. */
export async function mirrorOf(cluster: ClusterPlan, remote: string): Promise<readonly StoredKey[]> {
  const parts = await Promise.all([
    keysBelow(cluster, "cilium/cache/"),
    keysBelow(cluster, `cilium/synced/${remote}/`),
    keysBelow(cluster, `cilium/cluster-config/${remote}`),
  ]);
  const [cache, synced, config] = parts;
  return [...(cache ?? []).filter((stored) => isOf(stored.key, remote)), ...(synced ?? []), ...(config ?? [])];
}

/** Whether a cache key (`cilium/cache/<kind>/v1/<cluster>/...`) belongs to the cluster. */
export function isOf(cacheKey: string, cluster: string): boolean {
  return cacheKey.split("/")[4] === cluster;
}

/** The longest time to live of any lease in this etcd, in seconds; 0 when it has none. */
export async function longestLeaseSeconds(cluster: ClusterPlan): Promise<number> {
  const listed = JSON.parse(quoteIds(await etcdctl(cluster, ["lease", "list", "-w", "json"]))) as {
    readonly leases?: readonly { readonly id: string }[];
  };
  const seconds = await Promise.all(
    (listed.leases ?? []).map(async ({ id }) => {
      const hex = BigInt(id).toString(16);
      const lease = await etcdctl(cluster, ["lease", "timetolive", hex, "-w", "json"]);
      return Number(/"granted-ttl":(\d+)/.exec(lease)?.[1] ?? 0);
    }),
  );
  return Math.max(0, ...seconds);
}

function quoteIds(json: string): string {
  return json.replace(/"id":(\d+)/g, '"id":"$1"');
}
