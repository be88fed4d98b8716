/** The run folder and its state file: who drives the lab, which processes and pods it has. The folder itself is the lock. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { UserError } from "../../src/runtime/user-error.ts";
import type { LabPlan, Pair } from "./plan.ts";
import { isAlive, type ProcessRecord, startTicksOf } from "./processes.ts";

export interface PodRecord {
  /** Name of the pod, unique in its cluster here. */
  readonly name: string;
  readonly namespace: string;
  readonly cluster: string;
  readonly node: string;
  readonly addresses: Pair;
  readonly netns: string;
  readonly cgroup: string;
  /** Unix socket on which a client takes jobs. */
  readonly controlSocket: string;
}

export interface LabState {
  readonly name: string;
  readonly phase: "starting" | "up" | "tour" | "stopping";
  /** The process that drives the lab now; nobody does after `up`. */
  readonly driver?: { readonly pid: number; readonly startTicks: number };
  readonly dataDirectory: string;
  readonly processes: readonly ProcessRecord[];
  readonly pods: readonly PodRecord[];
}

export function thisProcess(): { readonly pid: number; readonly startTicks: number } {
  return { pid: process.pid, startTicks: startTicksOf(process.pid) ?? 0 };
}

export function readState(plan: LabPlan): LabState | undefined {
  try {
    return JSON.parse(readFileSync(plan.stateFile, "utf8")) as LabState;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export function writeState(plan: LabPlan, state: LabState): void {
  const partial = `${plan.stateFile}.partial`;
  writeFileSync(partial, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(partial, plan.stateFile);
}

/** Makes the run folder, or says why this lab cannot start. */
export function claim(plan: LabPlan): void {
  mkdirSync(dirname(plan.runDirectory), { recursive: true });
  try {
    mkdirSync(plan.runDirectory, { mode: 0o755 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new UserError(whyTaken(plan, readState(plan)));
  }
}

/** How the lab is named on the command line; nothing for the default. */
export function nameOption(plan: LabPlan): string {
  return plan.name === "bulkhead" ? "" : ` --name ${plan.name}`;
}

export function downCommand(plan: LabPlan): string {
  return `npm run mesh -- down${nameOption(plan)}`;
}

export function whyTaken(plan: LabPlan, state: LabState | undefined): string {
  const lab = `mesh: the lab ${plan.name} (${plan.runDirectory})`;
  if (state?.driver !== undefined && isAlive(state.driver)) {
    return `${lab} is being run by process ${state.driver.pid}; wait for it, or choose another --name`;
  }
  if (state?.phase === "up" && state.processes.some(isAlive)) {
    return `${lab} is up already; take the tour with \`npm run mesh -- tour${nameOption(plan)}\`, or remove it with \`${downCommand(plan)}\``;
  }
  return `${lab} was left behind by a run that did not end well; remove it with \`${downCommand(plan)}\``;
}
