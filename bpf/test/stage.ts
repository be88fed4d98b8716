// A network namespace, a cgroup and a BPF file system of the test's own, with processes in them; all of it goes away again.
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { LoadedObject, LoadRequest } from "../../src/kernel/door.ts";
import { createLibbpfKernel } from "../../src/kernel/libbpf.ts";
import { LAYOUT_VERSION } from "../../src/maps/layout.ts";
import { type ObjectLayout, SOCK_LB_OBJECT } from "../../src/maps/objects.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import type { Answer, Request } from "./actor.ts";

const PREFIX = "bulkhead-test-";
const OBJECTS = fileURLToPath(new URL("../../build/bpf", import.meta.url));
const ACTOR = fileURLToPath(new URL("actor.ts", import.meta.url));
const EXIT_WAIT_MS = 3000;

export const kernel = createLibbpfKernel({ clock: systemClock });

/** Runs a program that must succeed. */
export function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"], timeout: 10_000 });
}

function quietly(action: () => void): void {
  try {
    action();
  } catch {
    // Cleaning up after a test that failed half-way: what is not there need not go.
  }
}

function cgroup2Mount(): string {
  const line = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .find((mount) => mount.split(" ")[2] === "cgroup2");
  const path = line?.split(" ")[1];
  assert(path !== undefined, "no cgroup2 is mounted: mount -t cgroup2 none DIRECTORY");
  return path;
}

/** What to ask `kernel.load` for. */
export function loadRequest(object: ObjectLayout, pinDirectory: string, more: Partial<LoadRequest> = {}): LoadRequest {
  return {
    objectPath: join(OBJECTS, object.file),
    pinDirectory,
    layoutVersion: LAYOUT_VERSION,
    layouts: object.maps,
    enums: object.enums,
    ...more,
  };
}

/** A process of the stage that answers requests one at a time. */
export class Actor {
  readonly #child: ChildProcess;
  readonly #waiting: ((answer: Answer) => void)[] = [];

  constructor(child: ChildProcess) {
    this.#child = child;
    assert(child.stdout !== null);
    createInterface(child.stdout).on("line", (line) => this.#waiting.shift()?.(JSON.parse(line) as Answer));
    child.on("exit", (code, signal) => {
      for (const resolve of this.#waiting.splice(0)) resolve({ error: `actor ended: ${code ?? signal}` });
    });
  }

  ask(request: Request): Promise<Answer> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    });
  }
}

export class Stage {
  readonly name = `${PREFIX}${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  readonly cgroup = join(cgroup2Mount(), this.name);
  readonly temporary = join(tmpdir(), this.name);
  /** On a BPF file system of our own. */
  readonly pins = join(this.temporary, "bpf", "pins");
  readonly #children: ChildProcess[] = [];
  readonly #objects: LoadedObject[] = [];

  constructor() {
    sweep();
    process.once("exit", this.#removeAll);
    mkdirSync(this.cgroup);
    mkdirSync(dirname(this.pins), { recursive: true });
    run("mount", "-t", "bpf", "bpf", dirname(this.pins));
    run("ip", "netns", "add", this.name);
    run("ip", "-n", this.name, "link", "set", "lo", "up");
  }

  /** Gives the namespace an address; there is no route but to these. */
  addAddress(address: string): void {
    const v6 = address.includes(":");
    run("ip", "-n", this.name, "addr", "add", `${address}/${v6 ? 128 : 32}`, "dev", "lo", ...(v6 ? ["nodad"] : []));
  }

  /** A process in the namespace, inside or outside of the cgroup. */
  actor(where: "inside" | "outside"): Actor {
    return new Actor(this.spawn(where, ACTOR));
  }

  spawn(where: "inside" | "outside", script: string, ...args: string[]): ChildProcess {
    const join_ = where === "inside" ? `echo $$ > ${this.cgroup}/cgroup.procs && ` : "";
    const command = `${join_}exec nsenter --net=/var/run/netns/${this.name} "$@"`;
    const child = spawn("sh", ["-c", command, "sh", process.execPath, script, ...args], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#children.push(child);
    return child;
  }

  async load(object: ObjectLayout = SOCK_LB_OBJECT, more: Partial<LoadRequest> = {}): Promise<LoadedObject> {
    const loaded = await kernel.load(loadRequest(object, this.pins, more));
    this.#objects.push(loaded);
    return loaded;
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    const gone = this.#children.map((child) => new Promise((resolve) => resolveOnExit(child, resolve)));
    await Promise.race([Promise.all(gone), new Promise((resolve) => setTimeout(resolve, EXIT_WAIT_MS).unref())]);
    process.removeListener("exit", this.#removeAll);
    this.#removeAll();
    assert(!existsSync(this.cgroup) && !existsSync(this.temporary), "the stage left something behind");
  }

  readonly #removeAll = (): void => {
    for (const child of this.#children) child.kill("SIGKILL");
    for (const object of this.#objects) quietly(() => object.close());
    quietly(() => run("umount", dirname(this.pins)));
    quietly(() => rmSync(this.temporary, { recursive: true }));
    quietly(() => run("ip", "netns", "delete", this.name));
    quietly(() => rmdirSync(this.cgroup));
  };
}

function resolveOnExit(child: ChildProcess, resolve: (value: unknown) => void): void {
  if (child.exitCode !== null || child.signalCode !== null) resolve(undefined);
  else child.once("exit", resolve);
}

/** Removes what test processes left that were killed before they could. */
function sweep(): void {
  for (const name of leftovers(cgroup2Mount())) quietly(() => rmdirSync(join(cgroup2Mount(), name)));
  for (const name of leftovers("/var/run/netns")) quietly(() => run("ip", "netns", "delete", name));
  for (const name of leftovers(tmpdir())) {
    quietly(() => run("umount", join(tmpdir(), name, "bpf")));
    quietly(() => rmSync(join(tmpdir(), name), { recursive: true }));
  }
}

/** Names made by a test process that is no more. */
function leftovers(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const dead = (name: string): boolean => !existsSync(`/proc/${name.slice(PREFIX.length).split("-")[0]}`);
  return readdirSync(directory).filter((name) => name.startsWith(PREFIX) && dead(name));
}
