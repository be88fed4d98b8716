/** `bulkhead maps`: what the kernels of this machine's nodes hold, next to what they should. */
import { basename, dirname } from "node:path";
import type { Command } from "commander";
import { MAPS_PATH, type MapsAnswer } from "../../model/status.ts";
import { differs, mapsText } from "../../report/maps.ts";
import { UserError } from "../../runtime/user-error.ts";
import { agentsOf, askEach, findSockets } from "../../serve/sockets.ts";
import { type ReadOptions, reader, silentText, writeLine } from "./output.ts";

/** Of a map that differs, or an agent that does not answer. */
const EXIT_DIFFERENT = 1;

interface MapsOptions extends ReadOptions {
  readonly cluster?: string;
  readonly node?: string;
  readonly diff: boolean;
}

export function mapsVerb(): Command {
  return reader("maps", "what the kernel holds next to what it should; exit code 1 when they differ")
    .option("--cluster <name>", "of this cluster only")
    .option("--node <name>", "of this node only")
    .option("--diff", "the entries that differ, too", false)
    .action(async ({ runDir, json, cluster, node, diff }: MapsOptions) => {
      const agents = agentsOf(await findSockets(runDir)).filter((socket) => {
        if (cluster !== undefined && basename(dirname(socket)) !== cluster) return false;
        return node === undefined || basename(socket) === `agent-${node}.sock`;
      });
      if (agents.length === 0)
        throw new UserError(`--run-dir ${runDir}: no such agent below it; see \`bulkhead status\``);
      const { answered, silent } = await askEach<MapsAnswer>(agents, MAPS_PATH);
      const answers = answered.map(({ answer }) => answer);
      if (json) await writeLine(JSON.stringify({ answers, silent }, null, 2));
      else await writeLine([mapsText(answers, diff), ...silent.map(silentText)].join("\n"));
      if (silent.length > 0 || answers.some(({ maps }) => maps.some(differs))) process.exitCode = EXIT_DIFFERENT;
    });
}
