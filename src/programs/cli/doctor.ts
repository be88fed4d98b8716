/** `bulkhead doctor`: whether an agent can work on this machine, and what to do if not. */
import type { Command } from "commander";
import { readNodeFacts } from "../../kernel/node-facts.ts";
import { IPCACHE_MAP } from "../../maps/ipcache-map.ts";
import { doctorText, hasFailed, judgeNode, SYSCTLS } from "../../report/doctor.ts";
import { askAll } from "../../serve/sockets.ts";
import { type ReadOptions, reader, wholeNumber, writeLine } from "./output.ts";

/** Of a check that failed. */
const EXIT_FAILED = 1;
const MOST_ADDRESSES = 100_000_000;

interface DoctorOptions extends ReadOptions {
  readonly bpfDir: string;
  readonly snapshotDir: string;
  readonly addresses?: number;
}

export function doctorVerb(): Command {
  return reader("doctor", "whether an agent can work on this node; exit code 1 when it cannot")
    .option("--bpf-dir <folder>", "where the agent is to pin its maps", "/sys/fs/bpf")
    .option("--snapshot-dir <folder>", "where it is to keep them for the next boot", "/var/lib/bulkhead")
    .option(
      "--addresses <number>",
      "how many addresses the mesh has or will have; else what the agents of this machine know",
      wholeNumber(0, MOST_ADDRESSES),
    )
    .action(async ({ runDir, json, bpfDir, snapshotDir, addresses }: DoctorOptions) => {
      const expected = addresses ?? (await knownAddresses(runDir));
      const question = { pinFolder: bpfDir, snapshotFolder: snapshotDir, sysctls: SYSCTLS, addresses: expected };
      const findings = judgeNode(readNodeFacts(question));
      await writeLine(json ? JSON.stringify(findings, null, 2) : doctorText(findings));
      if (hasFailed(findings)) process.exitCode = EXIT_FAILED;
    });
}

/** 0 where no agent runs. */
async function knownAddresses(runDir: string): Promise<number> {
  const { statuses } = await askAll(runDir).catch(() => ({ statuses: [] }));
  const maps = statuses.flatMap((status) => (status.program === "agent" ? status.maps : []));
  return Math.max(0, ...maps.filter(({ name }) => name === IPCACHE_MAP.name).map(({ entries }) => entries));
}
