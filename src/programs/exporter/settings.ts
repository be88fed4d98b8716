/** Settings of the exporter: its flags. */
import { commonSettings, writerSettings } from "../../access/settings.ts";
import { count, durationMs, type SettingsOf, settingsSchema, text, ttlSeconds } from "../../runtime/settings.ts";
import { UserError } from "../../runtime/user-error.ts";

export const exporterSettings = settingsSchema({
  ...commonSettings,
  ...writerSettings,
  manifests: text.describe("Directory of Kubernetes YAML: Namespace, Node, Service, Pod and network policies."),
  manifestIntervalMs: durationMs.default(1_000).describe("Time between two readings of the directory."),
  leaseTtlSeconds: ttlSeconds.default(15).describe("Lease of the leader's lock: the longest time without a leader."),
  heartbeatIntervalMs: durationMs.default(60_000).describe("Time between two heartbeats."),
  heartbeatLeaseTtlSeconds: ttlSeconds.default(180).describe("Lease of the heartbeat key; at least two intervals."),
  auditIntervalMs: durationMs.default(300_000).describe("Time between two comparisons with what the local etcd holds."),
  pageSize: count.default(1_000).describe("Keys per page of a listing."),
});

export type ExporterSettings = SettingsOf<typeof exporterSettings>;

/** What one setting alone cannot say. Throws a UserError. */
export function checkTogether({ heartbeatIntervalMs, heartbeatLeaseTtlSeconds }: ExporterSettings): void {
  if (heartbeatLeaseTtlSeconds * 1000 >= 2 * heartbeatIntervalMs) return;
  const lease = `--heartbeat-lease-ttl-seconds ${heartbeatLeaseTtlSeconds}`;
  const needed = Math.ceil((2 * heartbeatIntervalMs) / 1000);
  throw new UserError(
    `${lease} is shorter than two heartbeats of --heartbeat-interval-ms ${heartbeatIntervalMs}; use at least ${needed}`,
  );
}
