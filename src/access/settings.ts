/** Settings that every program has: who the cluster is, how to reach its etcd, where to serve. */

import { busServersFault } from "../bus/client.ts";
import { parseCidr } from "../model/address.ts";
import { clusterNameFault, MAX_CLUSTER_ID } from "../model/cluster.ts";
import { checkedText, count, durationMs, listenAddress, logLevel, text, wholeNumber } from "../runtime/settings.ts";

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
  certificatesIntervalMs: durationMs
    .default(10_000)
    .describe("How often certificate files are read: new ones are taken, and those that end soon are told."),
  backoffBaseMs: durationMs.default(200).describe("Shortest wait before trying again (decorrelated jitter)."),
  backoffCapMs: durationMs.default(30_000).describe("Longest wait before trying again."),
  natsUrl: checkedText(busServersFault)
    .optional()
    .describe(
      "NATS servers that events are told to, `nats://HOST:PORT` or `tls://HOST:PORT`, separated by commas; none when absent.",
    ),
  natsCaFile: text.optional().describe("PEM of who signed the servers' certificates; the system's when absent."),
  natsCertFile: text.optional().describe("PEM of the own certificate, for servers that ask for one."),
  natsKeyFile: text.optional().describe("PEM of its key."),
  natsUser: text.optional().describe("User at the servers."),
  natsPasswordFile: text.optional().describe("File of that user's password."),
  natsCredsFile: text.optional().describe("Credentials file of NATS (a JWT and its seed), instead of a user."),
  natsTimeoutMs: durationMs.default(5_000).describe("Deadline of one call to NATS."),
  natsPingIntervalMs: durationMs.default(10_000).describe("Time between two probes of a NATS connection."),
  eventsIntervalMs: durationMs
    .default(1_000)
    .describe("How often a program looks for what changed: what comes and goes in between is no event."),
  eventsMaxWaiting: count.default(10_000).describe("Events that wait for NATS; beyond it some are lost, and counted."),
  eventsMaxWaitingBytes: count.default(8 * 1024 * 1024).describe("Bytes of such events, likewise."),
  eventsStreamMaxBytes: count
    .default(256 * 1024 * 1024)
    .describe("Size of the stream in NATS; beyond it the oldest events go. The same for every program."),
  eventsStreamMaxAgeMs: durationMs.default(604_800_000).describe("Age at which events go, likewise."),
  eventsDuplicateWindowMs: durationMs
    .default(3_600_000)
    .describe("How long NATS knows an event again; longer than NATS is ever away. At most the age."),
} as const;

/** Settings of programs that write into the local etcd. */
export const writerSettings = {
  maxTxnsInFlight: wholeNumber(2, 1_000)
    .default(16)
    .describe("Write transactions on their way at once; what a listing brings has fewer while the local etcd is slow."),
} as const;
