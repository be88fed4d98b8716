/** Settings of the exporter: its flags. */
import { commonSettings, writerSettings } from "../../access/settings.ts";
import { isV4, parseCidr } from "../../model/address.ts";
import {
  checkedText,
  count,
  durationMs,
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
  manifests: text.describe("Directory of Kubernetes YAML: Namespace, Node, Service, Pod and network policies."),
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
  leaseTtlSeconds: ttlSeconds.default(15).describe("Lease of the leader's lock: the longest time without a leader."),
  heartbeatIntervalMs: durationMs.default(60_000).describe("Time between two heartbeats."),
  heartbeatLeaseTtlSeconds: ttlSeconds.default(180).describe("Lease of the heartbeat key; at least two intervals."),
  auditIntervalMs: durationMs.default(300_000).describe("Time between two comparisons with what the local etcd holds."),
  pageSize: count.default(1_000).describe("Keys per page of a listing."),
});

export type ExporterSettings = SettingsOf<typeof exporterSettings>;

/** What one setting alone cannot say. Throws a UserError. */
export function checkTogether(settings: ExporterSettings): void {
  checkHeartbeat(settings);
  if (settings.dockerSocket !== undefined && settings.dockerNode === undefined) {
    throw new UserError("--docker-socket needs --docker-node: the name of the Node manifest that containers run on");
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
