/** Driving the lab as a person does: by its command, from outside. Every lab of the tests has a name of its own. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { type LabPlan, planLab } from "../deploy/lab/plan.ts";
import { cgroup2Mount } from "../src/kernel/cgroup.ts";
import { systemClock } from "../src/runtime/clock.ts";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));
export const BULKHEAD = join(ROOT, "src/bulkhead.ts");
const LAB = join(ROOT, "deploy/lab/main.ts");
/** A tour takes about 100 seconds on a quiet machine. */
const TIMEOUT_MS = 8 * 60_000;

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly uid?: number;
  readonly timeoutMs?: number;
}

/** A program of this repository with this Node, to its end. */
export function run(script: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return finished(launch(script, args, options), options.timeoutMs ?? TIMEOUT_MS);
}

export function launch(script: string, args: readonly string[], options: RunOptions = {}): ChildProcess {
  return spawn(process.execPath, [script, ...args], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  });
}

function finished(child: ChildProcess, timeoutMs: number): Promise<Outcome> {
  let out = "";
  let err = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    err += chunk.toString();
  });
  const timer = systemClock.after(timeoutMs, () => child.kill("SIGKILL"));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      timer.cancel();
      resolve({ code: code ?? -1, out, err: signal === null ? err : `${err}(ended by ${signal})` });
    });
  });
}

/** `npm run mesh -- ...` without the set-up. */
export function mesh(name: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return run(LAB, ["--name", name, ...args], options);
}

export function launchMesh(name: string, args: readonly string[]): ChildProcess {
  return launch(LAB, ["--name", name, ...args]);
}

export function plan(name: string): LabPlan {
  const root = cgroup2Mount(readFileSync("/proc/self/mounts", "utf8"));
  if (root === undefined) throw new Error("no cgroup2 on this machine");
  return planLab(name, root);
}

/** A mesh that is up for the tests of a file, and leaves no trace after them. `begun` is told what `up` printed. `flags` are of `up`. */
export function standing(
  name: string,
  begun: (out: string) => void | Promise<void> = () => {},
  flags: readonly string[] = [],
): void {
  before(async () => {
    const { code, out, err } = await mesh(name, ["up", ...flags]);
    assert.equal(code, 0, `${out}${err}`);
    await begun(out);
  });
  after(async () => {
    const { code, out, err } = await mesh(name, ["down"]);
    assert.equal(code, 0, `${out}${err}`);
    assert.deepEqual(traces(name), []);
  });
}

/** Whatever of a lab is on this machine: files, cgroups, namespaces, mounts, processes. Empty after `down`. */
export function traces(name: string): readonly string[] {
  const lab = plan(name);
  const folders = [lab.runDirectory, lab.cgroup, join("/dev/shm", lab.dataFolder), join(tmpdir(), lab.dataFolder)];
  const netns = existsSync("/var/run/netns") ? readdirSync("/var/run/netns") : [];
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  return [
    ...folders.filter((folder) => existsSync(folder)),
    ...netns.filter((entry) => entry.startsWith(lab.netnsPrefix)),
    ...mounts.filter((line) => line.includes(`${lab.runDirectory}/`)),
    ...commandLines().filter((line) => line.includes(`${lab.runDirectory}/`)),
  ];
}

function commandLines(): readonly string[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")];
      } catch {
        return [];
      }
    });
}
