/** Carries operations out on this machine. */
import { execFile, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { access, cp, lchown, lstat, readdir, readFile, rename, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { FULL_WEIGHT } from "../model/drain.ts";
import { MARKER_KEY } from "../model/drill.ts";
import { DRAIN_PATH, type ExporterStatus } from "../model/status.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import { messageOf } from "../runtime/user-error.ts";
import { askSocket, tellSocket } from "../serve/ask.ts";
import type { EtcdGateway } from "./etcd-gateway.ts";
import type { HostOperation, Operation } from "./operations.ts";

/** Rejects with what failed, in one line. */
export interface Hands<O extends Operation = Operation> {
  carryOut(operation: O): Promise<void>;
}

const COMMAND_TIMEOUT_MS = 10_000;
const GONE_WITHIN_MS = 10_000;
const EXPORTER_TIMEOUT_MS = 10_000;
const POLL_MS = 5;
/** A process that lives as long runs. */
const STAYS_MS = 300;

type Of<K extends HostOperation["kind"]> = Extract<HostOperation, { readonly kind: K }>;

export class SystemHands implements Hands<HostOperation> {
  readonly #clock: Clock;
  readonly #etcd: EtcdGateway;

  constructor(clock: Clock, etcd: EtcdGateway) {
    this.#clock = clock;
    this.#etcd = etcd;
  }

  async carryOut(operation: HostOperation): Promise<void> {
    switch (operation.kind) {
      case "signal":
        return await this.#signal(operation);
      case "start":
        return await this.#start(operation);
      case "command":
        return await run(operation.argv);
      case "move":
        return await rename(operation.from, operation.to);
      case "copy":
        return await copy(operation.from, operation.to);
      case "put-back":
        return await this.#putBack(operation);
      case "marker":
        return await this.#requireMarker(operation.config);
      case "alarm":
        return await this.#etcd.noSpace(operation.config, operation.raise);
      case "unpin":
        return await unpin(operation.folder);
      case "undrained":
        if (await isDrained(operation.socket)) throw new Error("the cluster is drained already; return it first");
        return;
      case "weight":
        return await orderWeight(operation);
    }
  }

  async #signal({ pidFile, command, signal, mustLive, group }: Of<"signal">): Promise<void> {
    const pid = await livingPid(pidFile, command);
    if (pid === undefined) {
      if (mustLive) throw new Error(`${pidFile}: no process that is ${command}`);
      return;
    }
    process.kill(group ? -pid : pid, signal);
    if (signal === "SIGKILL") await this.#untilGone(pid);
  }

  /** It outlives drilld. One that ends at once has not started: whoever undoes with it tries again. */
  async #start({ pidFile, command, argv }: Of<"start">): Promise<void> {
    if ((await livingPid(pidFile, command)) !== undefined) return;
    const [file = "", ...args] = argv;
    const child = spawn(file, args, { detached: true, stdio: "ignore" });
    child.unref();
    // At once: whoever comes after a crash must find it, or would start another.
    if (child.pid !== undefined) writeFileSync(pidFile, `${child.pid}\n`);
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    await sleep(this.#clock, STAYS_MS);
    if (child.exitCode === null && child.signalCode === null) return;
    throw new Error(`${command.trim()} was started and ended at once (${child.signalCode ?? child.exitCode})`);
  }

  async #untilGone(pid: number): Promise<void> {
    const deadlineMs = this.#clock.nowMs() + GONE_WITHIN_MS;
    while (!(await hasLetGo(pid))) {
      if (this.#clock.nowMs() > deadlineMs) throw new Error(`process ${pid} does not end`);
      await sleep(this.#clock, POLL_MS);
    }
  }

  /** In an order that may be cut anywhere and done again: as long as `aside` is there, the own data are in it. */
  async #putBack({ aside, path, user }: Of<"put-back">): Promise<void> {
    if (!(await exists(aside))) return;
    if (user) await this.#signal({ kind: "signal", ...user, signal: "SIGKILL", mustLive: false });
    await rm(path, { recursive: true, force: true });
    await rename(aside, path);
  }

  async #requireMarker(config: string): Promise<void> {
    if (await this.#etcd.hasKey(config, MARKER_KEY)) return;
    const what = `the etcd of ${config} has no key ${MARKER_KEY}`;
    throw new Error(`${what}, so that its data are not a lab's; put the key there if they may be destroyed`);
  }
}

const BPF_FS_MAGIC = 0xcafe4a11;

async function unpin(folder: string): Promise<void> {
  if ((await statfs(folder)).type !== BPF_FS_MAGIC) throw new Error(`${folder}: is no folder of a bpf file system`);
  for (const entry of await readdir(folder)) await rm(join(folder, entry), { recursive: true });
}

async function isDrained(socket: string): Promise<boolean> {
  const { drains = [] } = (await askSocket(socket, "/v1/status", EXPORTER_TIMEOUT_MS)) as ExporterStatus;
  return drains.some(({ service }) => service === undefined);
}

/** What was never drained, or is back, is not returned. */
async function orderWeight({ socket, target, overMs }: Of<"weight">): Promise<void> {
  if (target === FULL_WEIGHT && !(await isDrained(socket))) return;
  await tellSocket(socket, DRAIN_PATH, { services: [], target, overMs }, EXPORTER_TIMEOUT_MS);
}

/** Whose each file is as well: another user's process may have to read it. */
async function copy(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true, errorOnExist: true, force: false });
  for (const name of ["", ...(await readdir(from, { recursive: true }))]) {
    const { uid, gid } = await lstat(join(from, name));
    await lchown(join(to, name), uid, gid);
  }
}

export async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}

/** The pid in the file, if its process lives and `command` is in its command line. */
export async function livingPid(pidFile: string, command: string): Promise<number | undefined> {
  const text = await readFile(pidFile, "utf8").catch(() => "");
  const pid = Number(text.trim());
  if (!Number.isSafeInteger(pid) || pid <= 1) return undefined;
  const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  if (!line.replaceAll("\0", " ").includes(command)) return undefined;
  const state = (await statOf(pid))[0];
  return state === undefined || state === "Z" || state === "X" ? undefined : pid;
}

/** Fields 3 and on of /proc/pid/stat; none when the process is gone. The name in field 2 may hold anything. */
async function statOf(pid: number): Promise<readonly string[]> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat === "" ? [] : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

const THREADS_AT = 17;

/** Its ports are free: gone, or a zombie whose last thread has ended. A zombie with threads still holds what it had open. */
async function hasLetGo(pid: number): Promise<boolean> {
  const stat = await statOf(pid);
  return stat.length === 0 || ((stat[0] === "Z" || stat[0] === "X") && Number(stat[THREADS_AT]) <= 1);
}

function run([file = "", ...args]: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(file, args, { timeout: COMMAND_TIMEOUT_MS, killSignal: "SIGKILL" }, (error, _out, complaint) => {
      if (error === null) return resolve();
      const said = complaint.trim().split("\n").at(-1) || messageOf(error);
      reject(new Error(`${[file, ...args].slice(0, 8).join(" ")}: ${said}`));
    });
  });
}
