/** `bulkhead drill`: what may be rehearsed, and rehearsing it. */
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { parseDrill } from "../../drill/drill-file.ts";
import { probe } from "../../drill/prober.ts";
import { type DrillDoors, runDrill } from "../../drill/run.ts";
import type { DrillNote } from "../../drill/told.ts";
import {
  DRILLS_PATH,
  type Drill,
  type DrillReport,
  FAULTS_PATH,
  type FaultAnswer,
  type FaultRequest,
  PROBE_PATH,
  type ProbeCounts,
  UNDO_PATH,
} from "../../model/drill.ts";
import type { ProgramStatus } from "../../model/status.ts";
import { drillReportText, drillsText, dryRunText } from "../../report/drills.ts";
import { safeText } from "../../report/text.ts";
import { systemClock } from "../../runtime/clock.ts";
import { systemRandom } from "../../runtime/random.ts";
import { messageOf, UserError } from "../../runtime/user-error.ts";
import { askSocket, followSocket, tellSocket } from "../../serve/ask.ts";
import { agentsOf, findSockets } from "../../serve/sockets.ts";
import { type ReadOptions, reader, wholeNumber, writeLine } from "./output.ts";

const SHIPPED = fileURLToPath(new URL("../../../deploy/drills/", import.meta.url));
const MAX_PORT = 65_535;
/** A program that is slower does not answer: one that is frozen must not hold up the look at the others. */
const LOOK_TIMEOUT_MS = 1_000;
/** Starting and ending processes takes a while. */
const FAULT_TIMEOUT_MS = 60_000;
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
  const list = new Command("list")
    .description("the drills of a folder")
    .option("--drills <folder>", "folder of drill files", SHIPPED)
    .option("--json", "print the records as JSON", false)
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

async function printList({ drills: folder, json }: Pick<RunOptions, "drills" | "json">): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw new UserError(`--drills ${messageOf(error)}; name a folder that can be read`);
  });
  const files = names.filter((name) => name.endsWith(".yaml")).sort();
  const drills = await Promise.all(files.map((name) => readDrill(join(folder, name))));
  await writeLine(json ? JSON.stringify(drills, null, 2) : drillsText(drills));
}

/** A name has neither a slash nor an ending. */
function fileOf(given: string, folder: string): string {
  return /^[a-z0-9-]+$/.test(given) ? join(folder, `${given}.yaml`) : given;
}

async function runOne(given: string, options: RunOptions): Promise<void> {
  const drill = await readDrill(fileOf(given, options.drills));
  const sockets = await findSockets(options.runDir);
  if (options.dryRun) return await printDryRun(drill, sockets, options.json);
  const report = await rehearse(drill, options);
  await writeLine(options.json ? JSON.stringify(report, null, 2) : drillReportText(report));
  if (report.verdict !== "passed") process.exitCode = report.verdict === "invalid" ? EXIT_INVALID : EXIT_FAILED;
}

/** The socket of a cluster's drilld. */
function drilldOf(sockets: readonly string[], cluster: string): string {
  const found = sockets.find((path) => basename(path) === "drilld.sock" && basename(dirname(path)) === cluster);
  if (found !== undefined) return found;
  throw new UserError(`no drilld of ${cluster} below --run-dir; start \`bulkhead drilld\` there, with an allow-list`);
}

/** What a program refused is the asker's to mend. */
async function ask<T>(socket: string, path: string, body: unknown): Promise<T> {
  try {
    return (await tellSocket(socket, path, body, FAULT_TIMEOUT_MS)) as T;
  } catch (error) {
    throw new UserError(`${socket}: ${messageOf(error)}`);
  }
}

async function printDryRun(drill: Drill, sockets: readonly string[], json: boolean): Promise<void> {
  const socket = drilldOf(sockets, drill.cluster);
  const answers: FaultAnswer[] = [];
  for (const { forMs, ...step } of drill.steps) {
    const request: FaultRequest = { run: "dry", ...step, undoAfterMs: forMs, dryRun: true };
    answers.push(await ask<FaultAnswer>(socket, FAULTS_PATH, request));
  }
  const steps = drill.steps.map((step, index) => ({ ...step, ...answers[index] }));
  await writeLine(json ? JSON.stringify({ drill: drill.name, steps }, null, 2) : dryRunText(drill, answers));
}

async function rehearse(drill: Drill, { runDir, json }: RunOptions): Promise<DrillReport> {
  const sockets = await findSockets(runDir);
  const [target, source] = [drilldOf(sockets, drill.cluster), drilldOf(sockets, drill.probe.cluster)];
  const run = `${drill.name}-${Math.floor(systemRandom.next() * 0xffff_ffff).toString(16)}`;
  const undo = (): Promise<void> => ask(target, UNDO_PATH, { run });
  const doors: DrillDoors = {
    clock: systemClock,
    look: (agentsToo) => look(runDir, agentsToo),
    fault: (request) => ask(target, FAULTS_PATH, request),
    undo: async () => await undo(),
    probe: (wanted, signal, tell) => sendProbes(runDir, source, wanted, signal, tell),
    // A person watches; what a program reads stays clean.
    say: (line) => void process.stderr.write(json ? "" : `${safeText(`${drill.name}: ${line}`)}\n`),
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => void undo().finally(() => process.exit(EXIT_FAILED)));
  }
  const { name, hypothesis } = drill;
  await note(target, { begun: { drill: name, run, hypothesis } });
  const report = await runDrill(drill, run, doors);
  await note(target, { ended: report });
  return report;
}

/** The report is printed, whether or not the mesh hears of it. */
async function note(socket: string, told: DrillNote): Promise<void> {
  await ask(socket, DRILLS_PATH, told).catch((error: unknown) => {
    process.stderr.write(`! the mesh is not told: ${safeText(messageOf(error))}\n`);
  });
}

async function look(runDir: string, agentsToo: boolean): Promise<readonly ProgramStatus[]> {
  const found = await findSockets(runDir);
  const agents = new Set(agentsToo ? [] : agentsOf(found));
  const sockets = found.filter((socket) => !agents.has(socket));
  const asked = sockets.map((socket) => askSocket(socket, "/v1/status", LOOK_TIMEOUT_MS).catch(() => undefined));
  const answers = (await Promise.all(asked)) as readonly (ProgramStatus | undefined)[];
  return answers.filter((status) => status !== undefined);
}

async function sendProbes(
  runDir: string,
  socket: string,
  { cluster, place, service, rate }: Drill["probe"],
  signal: AbortSignal,
  tell: (counts: ProbeCounts) => void,
): Promise<void> {
  const { address, port } = frontendOf(await look(runDir, true), cluster, service);
  const query = { place, address, port, rate: String(rate) };
  for await (const counts of followSocket(socket, PROBE_PATH, LOOK_TIMEOUT_MS * 10, query, signal)) {
    tell(counts as ProbeCounts);
  }
}

/** The first address of the service over TCP, as the cluster's agents have it. */
function frontendOf(
  statuses: readonly ProgramStatus[],
  cluster: string,
  service: string,
): { readonly address: string; readonly port: string } {
  const agents = statuses.filter((status) => status.program === "agent" && status.cluster === cluster);
  for (const agent of agents) {
    if (agent.program !== "agent") continue;
    const found = agent.services.find(({ namespace, name }) => `${namespace}/${name}` === service);
    for (const frontend of found?.frontends ?? []) {
      const [, address, port] = /^\[?([0-9a-f.:]+?)\]?:(\d+)\/TCP$/.exec(frontend) ?? [];
      if (address !== undefined && port !== undefined) return { address, port };
    }
  }
  throw new UserError(`no agent of ${cluster} knows a TCP address of ${service}; see \`bulkhead services\``);
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
