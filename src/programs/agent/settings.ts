/** Settings of the agent: its flags. */
import { cidrList, commonSettings } from "../../access/settings.ts";
import { devicePatternsFault } from "../../endpoints/device-patterns.ts";
import { canonicalAddress } from "../../model/address.ts";
import {
  checkedText,
  count,
  durationMs,
  oneOf,
  type SettingsOf,
  settingsSchema,
  text,
  wholeNumber,
  yesNo,
} from "../../runtime/settings.ts";

function nodeNameFault(name: string): string | undefined {
  if (/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name)) return undefined;
  return "must be a node name: 1 to 253 of lower-case letters, digits, '-' and '.'";
}

function addressesFault(list: string): string | undefined {
  const bad = list.split(",").find((text) => canonicalAddress(text) !== text);
  return bad === undefined
    ? undefined
    : `${JSON.stringify(bad)} is no address as it is written in short, such as 10.0.0.1`;
}

function foldersFault(list: string): string | undefined {
  const bad = list.split(",").find((folder) => !folder.startsWith("/"));
  return bad === undefined
    ? undefined
    : `must be absolute folders, separated by commas; ${JSON.stringify(bad)} is none`;
}

export const agentSettings = settingsSchema({
  ...commonSettings,
  node: checkedText(nodeNameFault).describe("Name of the node that the agent serves."),
  cgroup: text.describe(
    "cgroup2 folder whose processes get service addresses translated; a relative one is below the mount of cgroup2.",
  ),
  bpfDir: text.describe("Folder on a bpffs for the pinned maps and links of this node."),
  objects: text.default("build/bpf").describe("Folder of the compiled BPF objects."),
  servicesMax: count.default(262_144).describe("Capacity of the services map: frontends plus the backends of each."),
  backendsMax: count.default(131_072).describe("Capacity of the backends map."),
  ipcacheMax: count.default(524_288).describe("Capacity of the ipcache map, in addresses."),
  ipcacheCidrsMax: count.default(65_536).describe("Capacity of the ipcache_cidrs map, in CIDRs."),
  endpointsMax: count.default(4_096).describe("Capacity of the endpoints map, in devices of workloads."),
  conntrackMax: count
    .default(262_144)
    .describe("Connections tracked at once; beyond it those unused longest are forgotten."),
  flowsMax: count
    .default(65_536)
    .describe("Flows counted in the kernel at once; beyond it those unused longest are forgotten."),
  flowsKept: wholeNumber(1, 1_000_000).default(4_096).describe("Reported flows kept in memory for `bulkhead flows`."),
  lbAlgorithm: oneOf(["random", "maglev"])
    .default("random")
    .describe("How a backend is chosen for services that do not say: at random, or from a Maglev table."),
  maglevTableSize: oneOf(["251", "509", "1021", "2039", "4093", "8191", "16381", "32749", "65521"])
    .transform(Number)
    .default(1021)
    .describe(
      "Slots of a Maglev table, each an entry of the services map; a hundred for each backend keep shares within a percent. The same on every node.",
    ),
  policyDefaultLocalCluster: yesNo
    .default(true)
    .describe("Whether a policy's peers that name no cluster are those of the own cluster only; else of all."),
  unknownEndpoints: oneOf(["deny", "allow"])
    .default("deny")
    .describe("What a workload may do that is not known yet, once some policy exists: nothing, or everything."),
  endpointDevices: checkedText(devicePatternsFault)
    .default("veth*,cali*,lxc*,eni*,pod*")
    .describe("Names of the workloads' devices on this node, with * for any characters, separated by commas."),
  endpointCidrs: cidrList
    .optional()
    .describe(
      "Ranges of this node's workloads, separated by commas: devices without an address in them are left alone; all ranges when absent.",
    ),
  nodeAddresses: checkedText(addressesFault)
    .transform((list) => list.split(","))
    .optional()
    .describe("Addresses by which the node is known and that no device of this host has, separated by commas."),
  netnsDirs: checkedText(foldersFault)
    .default("/var/run/netns,/var/run/docker/netns")
    .transform((list) => list.split(","))
    .describe(
      "Folders, separated by commas, where container runtimes keep network namespaces: UDP sockets in them that are connected to a backend that is gone are closed.",
    ),
  deviceHook: oneOf(["auto", "tcx", "clsact"])
    .default("auto")
    .describe("How programs are attached to devices: auto takes tcx where the kernel has it."),
  networkIntervalMs: durationMs.default(100).describe("How often to look for devices that came, changed or went."),
  settleMs: durationMs.default(5).describe("Wait for more changes before the maps are written."),
  readersMs: durationMs.default(10).describe("Wait for running programs before what they may have read is removed."),
  driftIntervalMs: durationMs
    .default(30_000)
    .describe("How often the maps and links are read and what somebody else changed is repaired."),
  snapshotDir: text
    .default("/var/lib/bulkhead")
    .describe("Folder of what the maps held, for a boot at which no etcd answers; on a disk that outlives the boot."),
  snapshotIntervalMs: durationMs
    .default(60_000)
    .describe("Least time between two such snapshots; one is written when the maps changed."),
  resumeAuditMs: durationMs
    .default(3_600_000)
    .describe(
      "Within that time, at random, the local etcd is listed by an agent that began without doing so, in case a watch had lost something.",
    ),
  countersIntervalMs: durationMs.default(5_000).describe("How often the programs' counters are read."),
  pageSize: count.default(5_000).describe("Keys per page of a listing."),
  progressIntervalMs: durationMs.default(1_000).describe("How often the local etcd is asked for a proof of freshness."),
  progressTimeoutMs: durationMs.default(5_000).describe("Silence after which the local etcd counts as lost."),
  recheckIntervalMs: durationMs
    .default(30_000)
    .describe("Least time between two listings that are asked for because an address had no identity."),
  restoredConfirmMs: durationMs
    .default(600_000)
    .describe(
      "How long what is known stays as it was, at most, when the local etcd was restored and its writers do not say that they compared everything.",
    ),
  probeTargets: wholeNumber(0, 20)
    .default(20)
    .describe("Backends of remotes that this node probes by TCP, in all; 0: none, and nothing is demoted."),
  probeIntervalMs: durationMs.default(5_000).describe("Between two rounds of probes."),
  probeJitterMs: durationMs
    .default(1_000)
    .describe("Up to that much longer, at random, so that nodes do not probe together."),
  probeTimeoutMs: durationMs.default(2_000).describe("Silence after which a probe has failed."),
  probeConcurrency: wholeNumber(1, 20).default(10).describe("Probes at one time."),
  probeFailures: wholeNumber(1, 100)
    .default(3)
    .describe("Rounds in a row without any answer after which a remote's data path is dead."),
  probeSuccesses: wholeNumber(1, 100)
    .default(3)
    .describe("Rounds in a row with an answer after which it is alive again."),
  probeSelfWindowMs: durationMs
    .default(30_000)
    .describe("A node that loses more than half of the remotes within that time suspects itself and demotes none."),
  maxParked: count.default(100_000).describe("Values kept of clusters whose config is not known yet."),
});

export type AgentSettings = SettingsOf<typeof agentSettings>;
