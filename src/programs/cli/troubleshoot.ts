/** `bulkhead troubleshoot`: why does a remote not connect. */
import { Command } from "commander";
import { systemDisk } from "../../disk/system.ts";
import { connectEtcd } from "../../kv/etcd.ts";
import type { Findings } from "../../model/troubleshoot.ts";
import { troubleshootText } from "../../report/troubleshoot.ts";
import { systemClock } from "../../runtime/clock.ts";
import { UserError } from "../../runtime/user-error.ts";
import { remoteFiles, type TroubleshootOptions, troubleshoot } from "../../troubleshoot/troubleshoot.ts";
import { wholeNumber, writeLine } from "./output.ts";

interface Options {
  readonly configDir: string;
  readonly etcdConfig?: string;
  readonly cluster?: string;
  readonly clusterId?: number;
  readonly timeoutMs: number;
  readonly json: boolean;
}

const DEFAULT_TIMEOUT_MS = 5_000;

export function troubleshootVerb(): Command {
  return new Command("troubleshoot")
    .description(
      "the way from this machine to each remote's etcd, step by step, and how to mend what fails; changes nothing",
    )
    .argument("[remote...]", "these only")
    .requiredOption("--config-dir <folder>", "folder of the remotes' files, as kvstoremesh has it")
    .option("--etcd-config <file>", "also the local etcd")
    .option("--cluster <name>", "name of the own cluster: its file in the folder is left out")
    .option("--cluster-id <number>", "id of the own cluster: no remote may have it", wholeNumber(1, 255))
    .option("--timeout-ms <number>", "of each step", wholeNumber(1, 600_000), DEFAULT_TIMEOUT_MS)
    .option("--json", "print the steps as JSON", false)
    .addHelpText("after", "\nExit code: 0 when every step went well, 1 when one failed, 2 for bad input.")
    .action(run);
}

async function run(wanted: readonly string[], options: Options): Promise<void> {
  const { configDir, etcdConfig, cluster, clusterId: id, timeoutMs, json } = options;
  const own = cluster !== undefined && id !== undefined ? { own: { name: cluster, id } } : {};
  const doors: TroubleshootOptions = { disk: systemDisk, connect: connectEtcd, clock: systemClock, timeoutMs, ...own };
  const files = await remoteFiles(systemDisk, configDir, cluster);
  const unknown = wanted.find((name) => !files.has(name));
  if (unknown !== undefined) {
    throw new UserError(
      `${unknown}: no such remote in ${configDir}; there are ${[...files.keys()].join(", ") || "none"}`,
    );
  }
  const findings: Findings[] = [];
  const seen = new Map<string, number>();
  if (etcdConfig !== undefined) findings.push(await troubleshoot("local", etcdConfig, undefined, seen, doors));
  for (const [name, path] of files) {
    if (wanted.length === 0 || wanted.includes(name)) findings.push(await troubleshoot(name, path, name, seen, doors));
  }
  await writeLine(json ? JSON.stringify(findings, null, 2) : troubleshootText(findings));
  const failed = findings.some(({ steps }) => steps.some(({ outcome }) => outcome === "failed"));
  if (failed) process.exitCode = 1;
}
