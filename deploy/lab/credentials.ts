/**
 * A lab with `--secure`: certificates for every program, rights in every etcd, and clusters that are joined, all by the commands that an
 * operator has. Whether a lab is secured is told by the folder of its certificates.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BULKHEAD, command, inNetns } from "./command.ts";
import { type ClusterPlan, ETCD_PORT, etcdNode, type LabPlan } from "./plan.ts";

/** As `bulkhead pki issue` names its files. */
export type Role = "exporter" | "mirror" | "agent" | "drilld" | "root";
const ISSUED = ["etcd", "exporter", "mirror", "agent", "remote", "drilld", "root"];
const JOIN_TIMEOUT_MS = 60_000;

export function isSecured({ credentials }: ClusterPlan): boolean {
  return existsSync(credentials);
}

/** Where this cluster's etcd is asked, from its own node and from others. */
export function etcdEndpoints(cluster: ClusterPlan): { readonly local: string; readonly mesh: string } {
  const scheme = isSecured(cluster) ? "https" : "http";
  const [address] = etcdNode(cluster).addresses;
  return { local: `${scheme}://127.0.0.1:${ETCD_PORT}`, mesh: `${scheme}://${address}:${ETCD_PORT}` };
}

/** What this role reads to reach the etcd of its cluster. */
export function etcdFile(cluster: ClusterPlan, role: Role): string {
  return isSecured(cluster) ? join(cluster.credentials, `${role}.yaml`) : cluster.etcdConfig;
}

/** Flags of an etcd to which a client is who its certificate says. */
export function etcdTlsFlags(cluster: ClusterPlan): readonly string[] {
  if (!isSecured(cluster)) return [];
  const [ca, cert, key] = filesOf(cluster, "etcd");
  return ["--client-cert-auth", "--trusted-ca-file", ca, "--cert-file", cert, "--key-file", key];
}

/** Of etcdctl, as root. */
export function etcdctlTlsFlags(cluster: ClusterPlan): readonly string[] {
  if (!isSecured(cluster)) return [];
  const [ca, cert, key] = filesOf(cluster, "root");
  return ["--cacert", ca, "--cert", cert, "--key", key];
}

function filesOf({ credentials }: ClusterPlan, role: string): readonly [ca: string, cert: string, key: string] {
  return [join(credentials, "ca.crt"), join(credentials, `${role}.crt`), join(credentials, `${role}.key`)];
}

/** Before anything is started. */
export async function issueCertificates({ clusters, pki }: LabPlan): Promise<void> {
  await bulkhead(["pki", "init", pki]);
  for (const cluster of clusters) {
    const endpoint = `https://${etcdNode(cluster).addresses[0]}:${ETCD_PORT}`;
    await bulkhead([
      "pki",
      "issue",
      pki,
      cluster.name,
      "--endpoint",
      endpoint,
      "--name",
      "127.0.0.1",
      "--role",
      ...ISSUED,
    ]);
  }
}

/** In etcds that run, before any program of the mesh does. */
export async function giveRights(clusters: readonly ClusterPlan[]): Promise<void> {
  await Promise.all(
    clusters.map((cluster) => {
      const peers = clusters.filter((peer) => peer !== cluster).flatMap(({ name }) => ["--peer", name]);
      const init = ["etcd", "init", "--cluster", cluster.name, ...peers, "--etcd-config", etcdFile(cluster, "root")];
      return bulkhead(init, cluster);
    }),
  );
}

/** Clusters whose exporters have written, each with each. */
export async function joinClusters(clusters: readonly ClusterPlan[]): Promise<void> {
  for (const [index, left] of clusters.entries()) {
    for (const right of clusters.slice(index + 1)) {
      const folders = [left, right].flatMap(({ name, remotes }) => ["--config-dir", `${name}=${remotes}`]);
      await bulkhead(["connect", left.credentials, right.credentials, ...folders], left);
    }
  }
}

/** @param from the cluster in whose first node it runs; absent: outside of the lab. */
async function bulkhead(words: readonly string[], from?: ClusterPlan): Promise<void> {
  const argv = [...BULKHEAD, ...words];
  await command(from === undefined ? argv : inNetns(etcdNode(from).netns, argv), { timeoutMs: JOIN_TIMEOUT_MS });
}
