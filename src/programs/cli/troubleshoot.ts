/** `bulkhead troubleshoot`: why does a remote not connect. */
import { Command } from "commander";
import { systemDisk } from "../../disk/system.ts";
import { connectEtcd } from "../../kv/etcd.ts";
import { clusterNameFault, MAX_CLUSTER_ID } from "../../model/cluster.ts";
import { safeText } from "../../report/text.ts";
import { troubleshootText } from "../../report/troubleshoot.ts";
import { systemClock } from "../../runtime/clock.ts";
import { UserError } from "../../runtime/user-error.ts";
import { remoteFiles, troubleshoot } from "../../troubleshoot/troubleshoot.ts";
import { wholeNumber, writeLine } from "./output.ts";

interface Options {
  readonly configDir: string;
  readonly etcdConfig?: string;
  readonly cluster?: string;
  readonly clusterId?: number;
  readonly timeoutMs: number;
  readonly watchHeartbeat: boolean;
  readonly json: boolean;
}

const DEFAULT_TIMEOUT_MS = 5_000;
/** Exporters write theirs every 60 s, Cilium's and ours. */
const HEARTBEAT_WAIT_MS = 90_000;

export function troubleshootVerb(): Command {
  return new Command("troubleshoot")
    .description(
      "the way from this machine to each remote's etcd, step by step, and how to mend what fails; changes nothing",
    )
    .argument("[remote...]", "these only")
    .requiredOption("--config-dir <folder>", "folder of the remotes' files, as kvstoremesh has it")
    .option("--etcd-config <file>", "also the local etcd")
    .option(
      "--cluster <name>",
      "name of the own cluster: its file in the folder is left out, its state in the local etcd looked at",
    )
    .option(
      "--cluster-id <number>",
      "id of the own cluster, else the local etcd's word: no remote may have it",
      wholeNumber(1, MAX_CLUSTER_ID),
    )
    .option("--timeout-ms <number>", "of each step", wholeNumber(1, 600_000), DEFAULT_TIMEOUT_MS)
    .option("--watch-heartbeat", `wait until every heartbeat moves, ${HEARTBEAT_WAIT_MS / 1000} s at most`, false)
    .option("--json", "print the steps as JSON", false)
    .addHelpText("after", "\nExit code: 0 when every step went well, 1 when one failed, 2 for bad input.")
    .action(run);
}

/** The files of `wanted`, or all. */
async function chosen(
  wanted: readonly string[],
  { configDir, cluster }: Options,
): Promise<ReadonlyMap<string, string>> {
  const fault = cluster === undefined ? undefined : clusterNameFault(cluster);
  if (fault !== undefined) throw new UserError(`--cluster ${safeText(cluster ?? "")}: a cluster's name ${fault}`);
  const files = await remoteFiles(systemDisk, configDir, cluster);
  const unknown = wanted.find((name) => !files.has(name));
  if (unknown !== undefined) {
    const there = [...files.keys()].join(", ") || "none";
    throw new UserError(safeText(`${unknown}: no such remote in ${configDir}; there are ${there}`));
  }
  return wanted.length === 0 ? files : new Map([...files].filter(([name]) => wanted.includes(name)));
}

async function run(wanted: readonly string[], options: Options): Promise<void> {
  const { etcdConfig: local, cluster: name, clusterId: id, timeoutMs, watchHeartbeat, json } = options;
  const remotes = await chosen(wanted, options);
  const findings = await troubleshoot(
    { remotes, ...(local !== undefined && { local }) },
    {
      disk: systemDisk,
      connect: connectEtcd,
      clock: systemClock,
      timeoutMs,
      ...(watchHeartbeat && { heartbeatWaitMs: HEARTBEAT_WAIT_MS }),
      own: { ...(name !== undefined && { name }), ...(id !== undefined && { id }) },
    },
  );
  await writeLine(json ? JSON.stringify(findings, null, 2) : troubleshootText(findings));
  if (findings.some(({ steps }) => steps.some(({ outcome }) => outcome === "failed"))) process.exitCode = 1;
}
