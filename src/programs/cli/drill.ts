/** `bulkhead drill`: what may be rehearsed, and rehearsing it. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { parseDrill } from "../../drill/drill-file.ts";
import { probe } from "../../drill/prober.ts";
import { dryRun, rehearse } from "../../drill/rehearse.ts";
import type { Drill, DrillReport } from "../../model/drill.ts";
import type { ProgramStatus } from "../../model/status.ts";
import { drillReportText, drillsText, dryRunText, lacking } from "../../report/drills.ts";
import { safeText } from "../../report/text.ts";
import { systemClock } from "../../runtime/clock.ts";
import { systemRandom } from "../../runtime/random.ts";
import { messageOf, UserError } from "../../runtime/user-error.ts";
import { askAll } from "../../serve/sockets.ts";
import { type ReadOptions, reader, wholeNumber, writeLine } from "./output.ts";

const SHIPPED = fileURLToPath(new URL("../../../deploy/drills/", import.meta.url));
const MAX_PORT = 65_535;
const EXIT_FAILED = 1;
const EXIT_INVALID = 3;

interface RunOptions extends ReadOptions {
  readonly dryRun: boolean;
  readonly drills: string;
}

interface ProbeOptions {
  readonly address: string;
  readonly port: number;
  readonly rate: number;
}

export function drillVerb(): Command {
  const list = reader("list", "the drills of a folder, and whether those who would do it are here")
    .option("--drills <folder>", "folder of drill files", SHIPPED)
    .action(printList);
  const run = reader("run", "does what a drill says, and reports; without --dry-run this breaks something for a while")
    .argument("<drill>", "name of a drill of the folder, or a file")
    .option("--drills <folder>", "folder of drill files", SHIPPED)
    .option("--dry-run", "print what would be done to which target, and do nothing", false)
    .addHelpText(
      "after",
      "\nExit code: 0 passed, 1 failed or aborted, 2 bad input or refused, 3 not begun: the mesh was not well.",
    )
    .action(runOne);
  const prober = new Command("probe")
    .requiredOption("--address <address>")
    .requiredOption("--port <port>", "", wholeNumber(1, MAX_PORT))
    .requiredOption("--rate <rate>", "", wholeNumber(1, 1_000))
    .action(runProber);
  return new Command("drill")
    .description(
      "rehearse a failure: a drill breaks something at a target for a while, and says whether what it supposes held",
    )
    .addCommand(list)
    .addCommand(run)
    .addCommand(prober, { hidden: true });
}

async function readDrill(file: string): Promise<Drill> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new UserError(`${messageOf(error)}; \`bulkhead drill list\` prints the names`);
  });
  return parseDrill(file, text);
}

async function printList({ drills: folder, json, runDir }: Omit<RunOptions, "dryRun">): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw new UserError(`--drills ${messageOf(error)}; name a folder that can be read`);
  });
  const files = names.filter((name) => name.endsWith(".yaml")).sort();
  const drills = await Promise.all(files.map((name) => readDrill(join(folder, name))));
  const { statuses } = await askAll(runDir).catch(() => ({ statuses: [] as readonly ProgramStatus[] }));
  const drillds = statuses.filter((status) => status.program === "drilld");
  const records = drills.map((drill) => ({ ...drill, lacking: lacking(drill, drillds) }));
  await writeLine(json ? JSON.stringify(records, null, 2) : drillsText(drills, drillds));
}

/** A name has neither a slash nor an ending. */
function fileOf(given: string, folder: string): string {
  return /^[a-z0-9-]+$/.test(given) ? join(folder, `${given}.yaml`) : given;
}

async function runOne(given: string, options: RunOptions): Promise<void> {
  const drill = await readDrill(fileOf(given, options.drills));
  if (options.dryRun) return await printDryRun(drill, options);
  const report = await untilReport(drill, options);
  await writeLine(options.json ? JSON.stringify(report, null, 2) : drillReportText(report));
  if (report.verdict !== "passed") process.exitCode = report.verdict === "invalid" ? EXIT_INVALID : EXIT_FAILED;
}

async function printDryRun(drill: Drill, { runDir, json }: RunOptions): Promise<void> {
  const answers = await dryRun(drill, runDir);
  const steps = drill.steps.map((step, index) => ({ ...step, ...answers[index] }));
  await writeLine(json ? JSON.stringify({ drill: drill.name, steps }, null, 2) : dryRunText(drill, answers));
}

async function untilReport(drill: Drill, { runDir, json }: RunOptions): Promise<DrillReport> {
  const { report, undo } = await rehearse(drill, {
    ...{ runDir, clock: systemClock, random: systemRandom },
    // A person watches; what a program reads stays clean.
    say: (line) => void process.stderr.write(json ? "" : `${safeText(`${drill.name}: ${line}`)}\n`),
    warn: (line) => void process.stderr.write(`! ${safeText(line)}\n`),
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => void undo().finally(() => process.exit(EXIT_FAILED)));
  }
  return await report;
}

/** Tells counts on standard output until its standard input ends: with whoever asked. */
async function runProber({ address, port, rate }: ProbeOptions): Promise<void> {
  const until = new AbortController();
  process.stdin.on("end", () => until.abort()).on("error", () => until.abort());
  process.stdin.resume();
  await probe(systemClock, { address, port, rate }, until.signal, (counts) => {
    process.stdout.write(`${JSON.stringify(counts)}\n`);
  });
}
