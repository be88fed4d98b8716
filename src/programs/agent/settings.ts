/** Settings of the agent: its flags. */
import { commonSettings } from "../../access/settings.ts";
import { checkedText, count, durationMs, type SettingsOf, settingsSchema, text } from "../../runtime/settings.ts";

function nodeNameFault(name: string): string | undefined {
  if (/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name)) return undefined;
  return "must be a node name: 1 to 253 of lower-case letters, digits, '-' and '.'";
}

export const agentSettings = settingsSchema({
  ...commonSettings,
  node: checkedText(nodeNameFault).describe("Name of the node that the agent serves."),
  cgroup: text.describe("cgroup2 folder whose processes get service addresses translated."),
  bpfDir: text.describe("Folder on a bpffs for the pinned maps and links of this node."),
  objects: text.default("build/bpf").describe("Folder of the compiled BPF objects."),
  servicesMax: count.default(262_144).describe("Capacity of the services map: frontends plus the backends of each."),
  backendsMax: count.default(131_072).describe("Capacity of the backends map."),
  ipcacheMax: count.default(524_288).describe("Capacity of the ipcache map, in addresses."),
  settleMs: durationMs.default(5).describe("Wait for more changes before the maps are written."),
  readersMs: durationMs.default(10).describe("Wait for running programs before what they may have read is removed."),
  driftIntervalMs: durationMs
    .default(30_000)
    .describe("How often the maps and links are read and what somebody else changed is repaired."),
  countersIntervalMs: durationMs.default(5_000).describe("How often the programs' counters are read."),
  pageSize: count.default(5_000).describe("Keys per page of a listing."),
  progressIntervalMs: durationMs.default(1_000).describe("How often the local etcd is asked for a proof of freshness."),
  progressTimeoutMs: durationMs.default(5_000).describe("Silence after which the local etcd counts as lost."),
  maxParked: count.default(100_000).describe("Values kept of clusters whose config is not known yet."),
});

export type AgentSettings = SettingsOf<typeof agentSettings>;
