/** A drill from where it is asked for: drilld at its target and where its probes begin, and everybody's word, on their admin sockets. */
import { basename } from "node:path";
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
} from "../model/drill.ts";
import type { AgentStatus, ProgramStatus } from "../model/status.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";
import { askSocket, followSocket, tellSocket } from "../serve/ask.ts";
import { agentsOf, clusterOf, findSockets } from "../serve/sockets.ts";
import { type DrillDoors, runDrill } from "./run.ts";
import type { DrillNote } from "./told.ts";

/** A program that is slower does not answer: one that is frozen must not hold up the look at the others. */
const LOOK_TIMEOUT_MS = 1_000;
const AGENTS_WITHIN_MS = 10_000;
/** Starting and ending processes takes a while. */
const FAULT_TIMEOUT_MS = 60_000;

export interface RehearseOptions {
  /** Of the admin sockets. */
  readonly runDir: string;
  readonly clock: Clock;
  readonly random: Random;
  /** A line for whoever waits. */
  say(line: string): void;
  /** What went wrong beside the drill. */
  warn(line: string): void;
  /** For whoever has to do something of his own at the turning points. */
  readonly around?: (doors: DrillDoors) => DrillDoors;
}

export interface Rehearsal {
  readonly report: Promise<DrillReport>;
  /** For a caller who has to leave before the end. */
  undo(): Promise<void>;
}

/** @throws UserError when there is no drilld where the drill needs one; the report's promise rejects for nothing that a drill meets. */
export async function rehearse(drill: Drill, options: RehearseOptions): Promise<Rehearsal> {
  const { runDir, clock, random, say, around = (own) => own } = options;
  const sockets = await findSockets(runDir);
  const [target, source] = [drilldOf(sockets, drill.cluster), drilldOf(sockets, drill.probe.cluster)];
  const run = `${drill.name}-${Math.floor(random.next() * 0xffff_ffff).toString(16)}`;
  const doors: DrillDoors = {
    clock,
    say,
    look: (agentsToo) => look(runDir, agentsToo),
    fault: async (request) => void (await ask(target, FAULTS_PATH, request)),
    undo: (which) => ask(target, UNDO_PATH, { run: which }),
    probe: async (wanted, signal, tell) => {
      const agents = await agentsThatAnswer(runDir, wanted.cluster, clock, signal);
      await sendProbes(source, wanted, frontendOf(agents, wanted), signal, tell);
    },
  };
  return { report: told(drill, run, around(doors), target, options), undo: () => doors.undo(run) };
}

async function told(
  drill: Drill,
  run: string,
  doors: DrillDoors,
  target: string,
  { warn }: RehearseOptions,
): Promise<DrillReport> {
  // The report is given, whether or not the mesh hears of it.
  const note = (what: DrillNote): Promise<void> =>
    ask<void>(target, DRILLS_PATH, what).catch((error: unknown) => warn(`the mesh is not told: ${messageOf(error)}`));
  const { name, hypothesis } = drill;
  await note({ begun: { drill: name, run, hypothesis } });
  const report = await runDrill(drill, run, doors);
  await note({ ended: report });
  return report;
}

/** What each step would do. */
export async function dryRun(drill: Drill, runDir: string): Promise<readonly FaultAnswer[]> {
  const socket = drilldOf(await findSockets(runDir), drill.cluster);
  const answers: FaultAnswer[] = [];
  for (const { forMs, ...step } of drill.steps) {
    const request: FaultRequest = { run: "dry", ...step, undoAfterMs: forMs, dryRun: true };
    answers.push(await ask<FaultAnswer>(socket, FAULTS_PATH, request));
  }
  return answers;
}

/** The socket of a cluster's drilld. */
function drilldOf(sockets: readonly string[], cluster: string): string {
  const found = sockets.find((path) => basename(path) === "drilld.sock" && clusterOf(path) === cluster);
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

async function look(runDir: string, agentsToo: boolean): Promise<readonly ProgramStatus[]> {
  const found = await findSockets(runDir);
  const agents = new Set(agentsToo ? [] : agentsOf(found));
  const sockets = found.filter((socket) => !agents.has(socket));
  const asked = sockets.map((socket) => askSocket(socket, "/v1/status", LOOK_TIMEOUT_MS).catch(() => undefined));
  const answers = (await Promise.all(asked)) as readonly (ProgramStatus | undefined)[];
  return answers.filter((status) => status !== undefined);
}

/** Those of a cluster; none when none does for a while: one that is slow once, or a machine that stops, is no reason to begin no drill. */
async function agentsThatAnswer(
  runDir: string,
  cluster: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly AgentStatus[]> {
  const deadlineMs = clock.nowMs() + AGENTS_WITHIN_MS;
  for (;;) {
    const statuses = await look(runDir, true);
    const agents = statuses.filter((status) => status.program === "agent").filter((agent) => agent.cluster === cluster);
    if (agents.length > 0 || signal.aborted || clock.nowMs() > deadlineMs) return agents;
    await sleep(clock, LOOK_TIMEOUT_MS, signal);
  }
}

async function sendProbes(
  socket: string,
  { place, rate }: Drill["probe"],
  { address, port }: Frontend,
  signal: AbortSignal,
  tell: (counts: ProbeCounts) => void,
): Promise<void> {
  const query = { place, address, port, rate: String(rate) };
  for await (const counts of followSocket(socket, PROBE_PATH, LOOK_TIMEOUT_MS * 10, query, signal)) {
    tell(counts as ProbeCounts);
  }
}

interface Frontend {
  readonly address: string;
  readonly port: string;
}

/** The first address of the service over TCP, as the cluster's agents have it. */
function frontendOf(agents: readonly AgentStatus[], { cluster, service }: Drill["probe"]): Frontend {
  for (const agent of agents) {
    const found = agent.services.find(({ namespace, name }) => `${namespace}/${name}` === service);
    for (const frontend of found?.frontends ?? []) {
      const [, address, port] = /^\[?([0-9a-f.:]+?)\]?:(\d+)\/TCP$/.exec(frontend) ?? [];
      if (address !== undefined && port !== undefined) return { address, port };
    }
  }
  throw new UserError(`no agent of ${cluster} knows a TCP address of ${service}; see \`bulkhead services\``);
}
