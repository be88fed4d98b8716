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
  execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"], timeout: 60_000 });
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
    kept: object.kept,
    enums: object.enums,
    families: object.families ?? [],
    structs: object.structs ?? [],
    rings: object.rings ?? [],
    ...(object.devicePrograms === undefined ? {} : { devicePrograms: object.devicePrograms }),
    ...more,
  };
}

/** A veth: its host side in the stage's namespace, the other one in a namespace of its own, a pod's. */
export interface Veth {
  readonly ifindex: number;
  readonly name: string;
  /** The pod's network namespace, by name. */
  readonly pod: string;
}

/** Output of a program that must succeed. */
export function read(command: string, ...args: string[]): string {
  return execFileSync(command, args, { stdio: ["ignore", "pipe", "pipe"], timeout: 10_000, encoding: "utf8" });
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
  readonly #pods: string[] = [];

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

  /** The stage's namespace, or a pod's, as a path. */
  namespacePath(name = this.name): string {
    return join("/var/run/netns", name);
  }

  addPod(): string {
    const pod = `${this.name}-pod${this.#pods.length + 1}`;
    run("ip", "netns", "add", pod);
    this.#pods.push(pod);
    run("ip", "-n", pod, "link", "set", "lo", "up");
    return pod;
  }

  /** Both ends up; `eth0` in the pod has the addresses (with prefix lengths). */
  addVeth(name: string, pod: string, addresses: readonly string[] = [], inPod = "eth0"): Veth {
    run("ip", "-n", this.name, "link", "add", name, "type", "veth", "peer", "name", inPod, "netns", pod);
    run("ip", "-n", pod, "link", "set", inPod, "up");
    run("ip", "-n", this.name, "link", "set", name, "up");
    for (const address of addresses) {
      run("ip", "-n", pod, "addr", "add", address, "dev", inPod, ...(address.includes(":") ? ["nodad"] : []));
    }
    const [link] = JSON.parse(read("ip", "-n", this.name, "-j", "link", "show", "dev", name)) as [{ ifindex: number }];
    return { ifindex: link.ifindex, name, pod };
  }

  /** A process in the namespace, or in a pod's, inside or outside of the cgroup. */
  actor(where: "inside" | "outside", pod = this.name): Actor {
    return new Actor(this.#spawn(this.#joining(where), pod, ACTOR));
  }

  spawn(where: "inside" | "outside", script: string, ...args: string[]): ChildProcess {
    return this.#spawn(this.#joining(where), this.name, script, ...args);
  }

  /** A process in a pod's namespace and in the cgroup: its calls are translated. */
  actorInPod(pod: string): Actor {
    return new Actor(this.#spawn(this.#joining("inside"), pod, ACTOR));
  }

  #joining(where: "inside" | "outside"): string {
    return where === "inside" ? this.#enterCgroup : "";
  }

  spawnInPod(pod: string, script: string, ...args: string[]): ChildProcess {
    return this.#spawn("", pod, script, ...args);
  }

  get #enterCgroup(): string {
    return `echo $$ > ${this.cgroup}/cgroup.procs && `;
  }

  #spawn(before: string, namespace: string, script: string, ...args: string[]): ChildProcess {
    const command = `${before}exec nsenter --net=${this.namespacePath(namespace)} "$@"`;
    const child = spawn("sh", ["-c", command, "sh", process.execPath, script, ...args], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#children.push(child);
    return child;
  }

  async load(object: ObjectLayout = SOCK_LB_OBJECT, more: Partial<LoadRequest> = {}): Promise<LoadedObject> {
    return this.keep(await kernel.load(loadRequest(object, this.pins, more)));
  }

  /** Closed with the stage. */
  keep(object: LoadedObject): LoadedObject {
    this.#objects.push(object);
    return object;
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
    for (const namespace of [...this.#pods, this.name]) quietly(() => run("ip", "netns", "delete", namespace));
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
  const dead = (name: string): boolean => {
    const pid = name.startsWith(PREFIX) ? (name.slice(PREFIX.length).split("-", 1)[0] ?? "") : "";
    return /^\d+$/.test(pid) && !existsSync(`/proc/${pid}`);
  };
  return readdirSync(directory).filter(dead);
}
