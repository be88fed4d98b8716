/** Settings of the mirror: its flags. */
import { cidrList, commonSettings, writerSettings } from "../../access/settings.ts";
import {
  checkedText,
  count,
  durationMs,
  type SettingsOf,
  settingsSchema,
  text,
  ttlSeconds,
  wholeNumber,
} from "../../runtime/settings.ts";
import { loopbackFault } from "../../serve/loopback.ts";
import { MAX_INTERVAL_MS } from "../../wire/peers.ts";

/** Of `apiListen`: nobody is told. */
export const NO_API = "none";

export const mirrorSettings = settingsSchema({
  ...commonSettings,
  ...writerSettings,
  apiListen: checkedText((given) => (given === NO_API ? undefined : loopbackFault(given)))
    .default("127.0.0.1:9889")
    .describe(
      `Loopback address of the read-only API, Cilium's \`GET /v1/cluster\` in it, and of the status page; \`${NO_API}\`: neither.`,
    ),
  pageIntervalMs: durationMs
    .default(2_000)
    .describe("How often an open status page is told what is new; seldomer where asking the programs takes long."),
  pageMaxSubscribers: count.default(16).describe("Status pages that may be open at once; one more is refused."),
  configDir: text.describe("Folder of the remotes: one file each in Cilium's etcd client YAML, named as the cluster."),
  configIntervalMs: durationMs.default(1_000).describe("How often that folder is read."),
  ownCidrs: cidrList
    .optional()
    .describe(
      "Ranges of the own cluster that its nodes do not declare, such as that of services, separated by commas: no remote may claim them.",
    ),
  leaseTtlSeconds: ttlSeconds.default(15).describe("Lease of the leader's lock, the only lease that it holds."),
  pageSize: count.default(10_000).describe("Keys per page of a listing."),
  maxConcurrentLists: count.default(4).describe("Remotes that are listed at the same time."),
  maxRemoteKeys: count
    .default(500_000)
    .describe("Keys of one remote; with more it is refused, and what is cached of it stays."),
  maxRemoteBytes: count
    .default(256 * 1024 * 1024)
    .describe("Bytes of keys and values of one remote: where a listing exceeds them it ends, and nothing is deleted."),
  progressIntervalMs: durationMs.default(5_000).describe("How often a watch is asked for a proof that it lives."),
  progressTimeoutMs: durationMs.default(15_000).describe("Silence after which a watch counts as dead."),
  suspectAfterMs: durationMs.default(30_000).describe("Age at which a remote's state is called suspect."),
  staleAfterMs: durationMs.default(300_000).describe("Age at which a remote's state is called stale."),
  heartbeatTimeoutMs: durationMs
    .default(180_000)
    .describe("Silence of a remote's heartbeat after which its state is suspect although its etcd answers."),
  gradesIntervalMs: durationMs
    .max(MAX_INTERVAL_MS)
    .default(30_000)
    .describe(
      "How often the agents of the cluster are told how old each remote's state is, changed or not; after three of them without a word they take it as unknown.",
    ),
  guardWindowMs: durationMs.default(60_000).describe("Time over which withdrawals of a remote are added up."),
  guardMinWithdrawals: count
    .default(50)
    .describe(
      "Withdrawals of one kind (backends, addresses, identities, nodes) in that time that are always believed.",
    ),
  guardPercent: wholeNumber(1, 100)
    .default(20)
    .describe("Share of what is known of a kind, in percent, likewise: more than both is held."),
  holdConfirmMs: durationMs
    .default(600_000)
    .describe("Age at which a held withdrawal is believed if the remote, listed again, still lacks it."),
  auditIntervalMs: durationMs
    .default(300_000)
    .describe("How often, on average, what was watched is compared with the keys that a remote holds."),
  checkpointIntervalMs: durationMs
    .default(10_000)
    .describe("Least time between two records of how far a remote was followed."),
  drainGraceMs: durationMs
    .default(180_000)
    .describe("How long the state of a removed remote stays after its config, so that agents can let go of it."),
  unreadyAfterMs: durationMs
    .default(30_000)
    .describe("How long the local etcd may not answer, or refuse writes, before `/readyz` says no."),
  breakerFailures: count.default(3).describe("Failed tries after which the breaker of a remote opens."),
  retryCapMs: durationMs
    .default(2_000)
    .describe("Longest wait before trying again where no breaker paces it: the local etcd, a watch that had lasted."),
});

export type MirrorSettings = SettingsOf<typeof mirrorSettings>;
