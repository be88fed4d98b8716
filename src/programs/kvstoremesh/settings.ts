/** Settings of the mirror: its flags. */
import { commonSettings } from "../../access/settings.ts";
import { count, durationMs, type SettingsOf, settingsSchema, text, ttlSeconds } from "../../runtime/settings.ts";

export const mirrorSettings = settingsSchema({
  ...commonSettings,
  configDir: text.describe("Folder of the remotes: one file each in Cilium's etcd client YAML, named as the cluster."),
  configIntervalMs: durationMs.default(1_000).describe("How often that folder is read."),
  leaseTtlSeconds: ttlSeconds.default(15).describe("Lease of the leader's lock, the only lease that it holds."),
  pageSize: count.default(1_000).describe("Keys per page of a listing."),
  maxConcurrentLists: count.default(4).describe("Remotes that are listed at the same time."),
  maxRemoteKeys: count
    .default(500_000)
    .describe("Keys of one remote; with more it is refused, and what is cached of it stays."),
  maxRemoteBytes: count.default(256 * 1024 * 1024).describe("Bytes of keys and values of one remote, likewise."),
  progressIntervalMs: durationMs.default(5_000).describe("How often a watch is asked for a proof that it lives."),
  progressTimeoutMs: durationMs.default(15_000).describe("Silence after which a watch counts as dead."),
  suspectAfterMs: durationMs.default(30_000).describe("Age at which a remote's state is called suspect."),
  staleAfterMs: durationMs.default(300_000).describe("Age at which a remote's state is called stale."),
  heartbeatTimeoutMs: durationMs
    .default(180_000)
    .describe("Silence of a remote's heartbeat after which its state is suspect although its etcd answers."),
  breakerFailures: count.default(3).describe("Failed tries after which the breaker of a remote opens."),
  retryCapMs: durationMs
    .default(2_000)
    .describe("Longest wait before trying again where no breaker paces it: the local etcd, a watch that had lasted."),
});

export type MirrorSettings = SettingsOf<typeof mirrorSettings>;
