/**
 * The lab's cgroup tree. Every process of the lab is born in it, so the tree says which processes are the lab's, also after a crash,
 * and no process of anyone else can be mistaken for one.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { sleep, systemClock } from "../../src/runtime/clock.ts";

const POLL_MS = 10;
const EMPTY_WITHIN_MS = 10_000;

export function makeCgroup(path: string): void {
  mkdirSync(path, { recursive: true });
}

/** The tree at `path`, children before parents. */
function tree(path: string): readonly string[] {
  if (!existsSync(path)) return [];
  const children = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...children.flatMap((child) => tree(join(path, child.name))), path];
}

/** Pids of every process in the tree. */
export function cgroupPids(path: string): readonly number[] {
  return tree(path).flatMap((directory) => {
    const text = readFileSync(join(directory, "cgroup.procs"), "utf8");
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map(Number);
  });
}

/** Kills every process in the tree, by pid, until none is left, and removes the tree. */
export async function removeCgroup(path: string): Promise<void> {
  const deadlineMs = systemClock.nowMs() + EMPTY_WITHIN_MS;
  while (!isRemoved(path)) {
    if (systemClock.nowMs() > deadlineMs)
      throw new Error(`${path}: processes do not end: ${cgroupPids(path).join(" ")}`);
    for (const pid of cgroupPids(path)) killQuietly(pid);
    await sleep(systemClock, POLL_MS);
  }
}

/** Removes what holds no process; a process that is just ending still holds its cgroup. */
function isRemoved(path: string): boolean {
  try {
    for (const directory of tree(path)) rmdirSync(directory);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EBUSY") return false;
    throw error;
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Already gone.
  }
}
