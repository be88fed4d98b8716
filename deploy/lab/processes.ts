/** Processes of the lab: born in a cgroup and a network namespace, known by pid and start time, ended by pid only. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { sleep, systemClock } from "../../src/runtime/clock.ts";
import { inNetns } from "./command.ts";

const POLL_MS = 5;

export interface ProcessRecord {
  /** `osaka/etcd`, `osaka/pod/hello-1`. */
  readonly id: string;
  readonly pid: number;
  /** Clock ticks since boot at birth: with the pid it names one process, whatever pids are reused. */
  readonly startTicks: number;
  readonly log: string;
}

export interface ProcessSpec {
  readonly id: string;
  readonly netns: string;
  readonly cgroup: string;
  readonly argv: readonly string[];
  readonly log: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** File descriptor of a socket that it gets as its third file. */
  readonly listener?: number;
}

/** The shell joins the cgroup and then becomes the command, so that the command never runs outside it. */
const JOIN_CGROUP = 'echo $$ > "$0/cgroup.procs" && exec "$@"';

export function argvOf(spec: Pick<ProcessSpec, "netns" | "cgroup" | "argv">): readonly string[] {
  return ["sh", "-c", JOIN_CGROUP, spec.cgroup, ...inNetns(spec.netns, spec.argv)];
}

/** Starts a process that outlives the lab's own. Its output is appended to `log`. */
export function startProcess(spec: ProcessSpec): ProcessRecord {
  const [file = "", ...args] = argvOf(spec);
  const log = openSync(spec.log, "a");
  try {
    const child = spawn(file, args, {
      detached: true,
      stdio: ["ignore", log, log, ...(spec.listener === undefined ? [] : [spec.listener])],
      env: { ...process.env, ...spec.env },
      ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
    });
    child.on("error", () => {});
    child.unref();
    if (child.pid === undefined) throw new Error(`${spec.id}: cannot start ${file}`);
    return { id: spec.id, pid: child.pid, startTicks: startTicksOf(child.pid) ?? 0, log: spec.log };
  } finally {
    closeSync(log);
  }
}

/** Field 22 of /proc/pid/stat; undefined when the process is gone or a zombie. The name in field 2 may hold anything. */
export function startTicksOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return undefined;
    return Number(fields[19]);
  } catch {
    return undefined;
  }
}

/** The record, or that of whoever's pid is in the file since. */
export function currentRecord(record: ProcessRecord, pidFile: string): ProcessRecord {
  if (isAlive(record)) return record;
  const pid = pidIn(pidFile);
  const startTicks = pid === undefined ? undefined : startTicksOf(pid);
  return pid === undefined || pid === record.pid || startTicks === undefined ? record : { ...record, pid, startTicks };
}

function pidIn(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(file, "utf8"));
    return pid > 1 ? pid : undefined;
  } catch {
    return undefined;
  }
}

export function isAlive(record: Pick<ProcessRecord, "pid" | "startTicks">): boolean {
  return startTicksOf(record.pid) === record.startTicks;
}

/** Sends the signal to this very process and waits until it is gone. */
export async function endProcess(
  record: Pick<ProcessRecord, "pid" | "startTicks">,
  signal: NodeJS.Signals,
  withinMs = 5_000,
): Promise<boolean> {
  if (isAlive(record)) process.kill(record.pid, signal);
  const deadlineMs = systemClock.nowMs() + withinMs;
  while (isAlive(record)) {
    if (systemClock.nowMs() > deadlineMs) return false;
    await sleep(systemClock, POLL_MS);
  }
  return true;
}

const TAIL_LINES = 4;
const TAIL_CHARACTERS = 240;
/** pino's trace, debug and info. */
const QUIET = /^\{"level":[123]0,/;

/** The last lines of a log that are not mere information, for a person who must find out why. */
export function logTail(path: string): string {
  try {
    const lines = readFileSync(path, "utf8")
      .trimEnd()
      .split("\n")
      .filter((line) => !QUIET.test(line));
    return lines
      .slice(-TAIL_LINES)
      .map((line) => line.slice(0, TAIL_CHARACTERS))
      .join("\n");
  } catch {
    return "";
  }
}
