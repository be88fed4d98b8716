/** Settings of the exporter: its flags. */
import { commonSettings, writerSettings } from "../../access/settings.ts";
import { isV4, parseCidr } from "../../model/address.ts";
import {
  checkedText,
  count,
  durationMs,
  oneOf,
  type SettingsOf,
  settingsSchema,
  text,
  ttlSeconds,
} from "../../runtime/settings.ts";
import { UserError } from "../../runtime/user-error.ts";

/** Addresses that a CIDR must have beside its first and last one. */
const HOST_BITS_MIN = 2;

function serviceCidrFault(text: string): string | undefined {
  const cidr = parseCidr(text);
  if (cidr !== undefined && cidr.bits + HOST_BITS_MIN <= (isV4(cidr.address) ? 32 : 128)) return undefined;
  return "must be a CIDR with room for at least two addresses, such as 10.96.0.0/16";
}

export const exporterSettings = settingsSchema({
  ...commonSettings,
  ...writerSettings,
  manifests: text
    .optional()
    .describe(
      "Directory of Kubernetes YAML: Namespace, Node, Service, Pod and network policies; may be absent with --kube-mode.",
    ),
  manifestIntervalMs: durationMs.default(1_000).describe("Time between two readings of the directory."),
  dockerSocket: text
    .optional()
    .describe("Unix socket of a Docker engine whose containers are pods beside the manifests; none when absent."),
  dockerNode: text.optional().describe("Name of the Node manifest that stands for the engine's host."),
  dockerLabel: text
    .optional()
    .describe(
      "Label of the containers that belong to this cluster, name=value; bulkhead.cluster=<cluster> when absent.",
    ),
  dockerServiceCidr: checkedText(serviceCidrFault)
    .optional()
    .describe("Where services of containers get their addresses, by name; none when absent."),
  dockerIntervalMs: durationMs.default(30_000).describe("Time between two lists of containers without an event."),
  dockerTimeoutMs: durationMs.default(5_000).describe("Longest wait for a list of containers."),
  kubeMode: oneOf(["native", "cilium"])
    .optional()
    .describe(
      "What to read of this cluster's API server (docs/KUBERNETES.md): native, pods and policies on any CNI; cilium, what a cluster that runs Cilium says of itself. Not read when absent.",
    ),
  kubeConfig: text
    .optional()
    .describe("Kubeconfig file; the service account of the pod that the exporter runs in when absent."),
  kubeContext: text.optional().describe("Context of the kubeconfig; its current one when absent."),
  kubeServices: oneOf(["global", "all"])
    .default("global")
    .describe(
      "Services that agents serve: those annotated as global, the others stay with kube-proxy; or all, where nobody else serves them.",
    ),
  kubeNamespaces: oneOf(["global", "local"])
    .default("global")
    .describe(
      "What a namespace is that does not say it: global, or local, as with Cilium's clustermesh-default-global-namespace=false. Nothing of a local one is exported.",
    ),
  kubeCiliumEndpoints: oneOf(["single", "slices"])
    .default("single")
    .describe(
      "With --kube-mode cilium: CiliumEndpoints, or the CiliumEndpointSlices into which Cilium's operator batches them.",
    ),
  kubeEvents: oneOf(["none", "warnings"])
    .default("none")
    .describe(
      "Events of Kubernetes at objects that somebody should mend: none, or warnings, for which the account must be let create events.",
    ),
  kubePageSize: count.default(250).describe("Objects per page of a list that the API server sends."),
  kubeProgressTimeoutMs: durationMs
    .default(180_000)
    .describe("Longest silence of the API server; it sends a bookmark every minute."),
  kubeWatchSeconds: count.default(300).describe("How long a watch is asked for, and up to twice that."),
  kubeSettleMs: durationMs.default(200).describe("Changes of the API server within that time are compiled together."),
  leaseTtlSeconds: ttlSeconds.default(15).describe("Lease of the leader's lock: the longest time without a leader."),
  heartbeatIntervalMs: durationMs.default(60_000).describe("Time between two heartbeats."),
  heartbeatLeaseTtlSeconds: ttlSeconds.default(180).describe("Lease of the heartbeat key; at least two intervals."),
  auditIntervalMs: durationMs.default(300_000).describe("Time between two comparisons with what the local etcd holds."),
  identityKeepMs: durationMs
    .default(1_800_000)
    .describe("How long an identity stays that no pod has; looked for at every comparison with the local etcd."),
  pageSize: count.default(1_000).describe("Keys per page of a listing."),
});

export type ExporterSettings = SettingsOf<typeof exporterSettings>;

/** What one setting alone cannot say. Throws a UserError. */
export function checkTogether(settings: ExporterSettings): void {
  checkHeartbeat(settings);
  checkSources(settings);
  if (settings.dockerSocket !== undefined && settings.dockerNode === undefined) {
    throw new UserError("--docker-socket needs --docker-node: the name of the Node manifest that containers run on");
  }
}

function checkSources({ manifests, dockerSocket, kubeMode, kubeConfig, kubeContext }: ExporterSettings): void {
  if (manifests === undefined && kubeMode === undefined) {
    throw new UserError(
      "--manifests is missing: name a directory of Kubernetes YAML, or read an API server, --kube-mode native",
    );
  }
  if (kubeMode === "cilium" && (manifests !== undefined || dockerSocket !== undefined)) {
    throw new UserError("--kube-mode cilium takes identities from Cilium: remove --manifests and --docker-socket");
  }
  if (kubeMode === undefined && kubeConfig !== undefined) {
    throw new UserError("--kube-config needs --kube-mode: what to read of the API server, such as native");
  }
  if (kubeConfig === undefined && kubeContext !== undefined) {
    throw new UserError("--kube-context needs --kube-config: the file that has the context");
  }
}

function checkHeartbeat({ heartbeatIntervalMs, heartbeatLeaseTtlSeconds }: ExporterSettings): void {
  if (heartbeatLeaseTtlSeconds * 1000 >= 2 * heartbeatIntervalMs) return;
  const lease = `--heartbeat-lease-ttl-seconds ${heartbeatLeaseTtlSeconds}`;
  const needed = Math.ceil((2 * heartbeatIntervalMs) / 1000);
  throw new UserError(
    `${lease} is shorter than two heartbeats of --heartbeat-interval-ms ${heartbeatIntervalMs}; use at least ${needed}`,
  );
}
