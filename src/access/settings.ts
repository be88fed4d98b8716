/** Settings that every program has: who the cluster is, how to reach its etcd, where to serve. */
import { parseCidr } from "../model/address.ts";
import { clusterNameFault, MAX_CLUSTER_ID } from "../model/cluster.ts";
import { checkedText, durationMs, listenAddress, logLevel, text, wholeNumber } from "../runtime/settings.ts";

function cidrFault(text: string): string | undefined {
  const bad = text.split(",").find((part) => parseCidr(part) === undefined);
  return bad === undefined ? undefined : `${JSON.stringify(bad)} is no CIDR, such as 10.96.0.0/12`;
}

/** CIDRs, separated by commas. */
export const cidrList = checkedText(cidrFault).transform((text) => text.split(","));

export const commonSettings = {
  cluster: checkedText(clusterNameFault).describe("Name of the own cluster."),
  clusterId: wholeNumber(1, MAX_CLUSTER_ID).describe("Id of the own cluster, unique in the mesh."),
  etcdConfig: text.describe("File that says how to reach the local etcd, in Cilium's etcd client YAML."),
  runDir: text.default("/run/bulkhead").describe("Folder of the admin sockets."),
  listen: listenAddress.optional().describe("Address of /healthz, /readyz and /metrics; none when absent."),
  logLevel: logLevel.default("info").describe("Least level that is logged."),
  etcdTimeoutMs: durationMs.default(5_000).describe("Deadline of one etcd call."),
  etcdKeepaliveMs: durationMs.default(10_000).describe("Idle time after which an etcd connection is probed."),
  etcdKeepaliveTimeoutMs: durationMs
    .default(5_000)
    .describe("Wait for the answer to such a probe before the connection counts as dead."),
  backoffBaseMs: durationMs.default(200).describe("Shortest wait before trying again (decorrelated jitter)."),
  backoffCapMs: durationMs.default(30_000).describe("Longest wait before trying again."),
} as const;

/** Settings of programs that write into the local etcd. */
export const writerSettings = {
  maxTxnsInFlight: wholeNumber(2, 1_000)
    .default(16)
    .describe("Write transactions on their way at once; what a listing brings has fewer while the local etcd is slow."),
} as const;
