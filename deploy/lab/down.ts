/** Removing a lab, also one whose driver crashed: everything is found by the lab's name, nothing depends on the state file alone. */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { unescapeMount } from "../../src/kernel/cgroup.ts";
import { cgroupPids, removeCgroup } from "./cgroups.ts";
import { command } from "./command.ts";
import type { LabPlan } from "./plan.ts";
import { endProcess, isAlive } from "./processes.ts";
import { type LabState, readState } from "./state.ts";

const NETNS_FOLDER = "/var/run/netns";
/** A driver that is asked to stop takes its lab down by itself. */
const DRIVER_GRACE_MS = 20_000;

export function labNetns(prefix: string): readonly string[] {
  if (!existsSync(NETNS_FOLDER)) return [];
  return readdirSync(NETNS_FOLDER).filter((name) => name.startsWith(prefix));
}

/** Mount points at or below a folder, deepest first. */
export function mountsBelow(folder: string, mounts: string): readonly string[] {
  const points = mounts.split("\n").map((line) => unescapeMount(line.split(" ")[1] ?? ""));
  return points.filter((point) => point === folder || point.startsWith(`${folder}/`)).reverse();
}

async function stopDriver(driver: LabState["driver"]): Promise<void> {
  if (driver === undefined || driver.pid === process.pid || !isAlive(driver)) return;
  if (await endProcess(driver, "SIGTERM", DRIVER_GRACE_MS)) return;
  await endProcess(driver, "SIGKILL");
}

/** Whether anything of the lab was there. Runs to the end whatever is missing. */
export async function takeDown(plan: LabPlan): Promise<boolean> {
  const state = readState(plan);
  await stopDriver(state?.driver);
  const netns = labNetns(plan.netnsPrefix);
  const found = existsSync(plan.runDirectory) || existsSync(plan.cgroup) || netns.length > 0;
  await removeCgroup(plan.cgroup);
  for (const point of mountsBelow(plan.runDirectory, readFileSync("/proc/self/mounts", "utf8")))
    await command(["umount", point]);
  const leftNetns = labNetns(plan.netnsPrefix);
  if (leftNetns.length > 0)
    await command(["ip", "-batch", "-"], { input: leftNetns.map((name) => `netns del ${name}\n`).join("") });
  const folders = [
    join("/dev/shm", plan.dataFolder),
    join(tmpdir(), plan.dataFolder),
    state?.dataDirectory,
    plan.runDirectory,
  ];
  for (const folder of folders)
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  removeIfEmpty(dirname(plan.runDirectory));
  return found;
}

/**
 * Removes a lab none of whose processes lives, as after a reboot or when everything was killed at once, and says whether there was one.
 * One that has a driver or a process still is left for `down`, which a person must ask for.
 */
export async function sweepRemnant(plan: LabPlan): Promise<boolean> {
  const state = readState(plan);
  if (state === undefined || (state.driver !== undefined && isAlive(state.driver))) return false;
  return cgroupPids(plan.cgroup).length === 0 && (await takeDown(plan));
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Others use it, or it is gone.
  }
}
