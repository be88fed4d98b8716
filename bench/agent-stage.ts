/**
 * An agent over an etcd, both real, in a cgroup and on a BPF file system of the bench's own; all of it goes away again. It runs in the bench's
 * namespace, whose devices it leaves alone, and sends no packet of its own: it probes nobody.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cgroupDirectory } from "../src/kernel/cgroup.ts";
import type { KernelMap, LoadedObject } from "../src/kernel/door.ts";
import { createLibbpfKernel } from "../src/kernel/libbpf.ts";
import { LAYOUT_VERSION } from "../src/maps/layout.ts";
import { ENDPOINT_OBJECT } from "../src/maps/objects.ts";
import type { AgentStatus } from "../src/model/status.ts";
import { systemClock } from "../src/runtime/clock.ts";
import { askSocket } from "../src/serve/ask.ts";
import { OWN } from "./mesh-data.ts";
import { type Costs, costsOf } from "./mirror-stage.ts";
import type { BenchStage } from "./stage.ts";

const BULKHEAD = fileURLToPath(new URL("../bin/bulkhead", import.meta.url));
const OBJECTS = fileURLToPath(new URL("../build/bpf", import.meta.url));
const NODE = "n1";
const STATUS_MS = 10_000;

/** The maps that are pinned there, made anew where there are none. */
export function endpointMaps(pinDirectory: string): Promise<LoadedObject> {
  const { file, maps: layouts, ...object } = ENDPOINT_OBJECT;
  const objectPath = join(OBJECTS, file);
  const kernel = createLibbpfKernel({ clock: systemClock });
  return kernel.load({ ...object, objectPath, layouts, pinDirectory, layoutVersion: LAYOUT_VERSION });
}

export class AgentStage {
  readonly pods: BenchStage;
  readonly cgroup = cgroupDirectory(`bulkhead-bench-agent-${process.pid}`);
  readonly #flags: readonly string[];
  readonly #pins: string;
  readonly #socket: string;
  #object: LoadedObject | undefined;
  #agent: ChildProcess | undefined;

  /** @param capacity of the services, backends and ipcache maps. */
  constructor(pods: BenchStage, name: string, etcdEndpoint: string, capacity: number) {
    this.pods = pods;
    const folder = join(pods.folder, name);
    mkdirSync(join(folder, "snapshots"), { recursive: true });
    mkdirSync(this.cgroup, { recursive: true });
    const etcdConfig = join(folder, "etcd.yaml");
    writeFileSync(etcdConfig, `endpoints:\n- ${etcdEndpoint}\n`);
    this.#pins = `${pods.pins}-${name}`;
    this.#socket = join(folder, OWN.name, `agent-${NODE}.sock`);
    const settings = {
      ...{ cluster: OWN.name, "cluster-id": OWN.id, node: NODE, objects: OBJECTS, "etcd-config": etcdConfig },
      ...{ "run-dir": folder, "bpf-dir": this.#pins, cgroup: this.cgroup, "snapshot-dir": join(folder, "snapshots") },
      ...{ "services-max": capacity, "backends-max": capacity, "ipcache-max": capacity },
      ...{ "endpoint-devices": "no-device", "probe-targets": 0, "log-level": "warn" },
    };
    this.#flags = Object.entries(settings).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
  }

  /** Starts the agent's process; does not wait for it. */
  start(): void {
    assert(this.#agent === undefined, "one agent at a time");
    this.#agent = spawn(BULKHEAD, ["agent", ...this.#flags], {
      stdio: ["ignore", "ignore", "inherit"],
    });
  }

  /** The map that the agent pinned, for the bench to look into; undefined: there is none yet. */
  async map(name: string): Promise<KernelMap | undefined> {
    if (this.#object === undefined) {
      if ((await this.status()) === undefined) return undefined;
      this.#object = await endpointMaps(this.#pins);
    }
    return this.#object.maps.get(name);
  }

  /** undefined: it does not answer yet. */
  async status(): Promise<AgentStatus | undefined> {
    const agent = this.#agent;
    if (agent?.exitCode !== null || agent.signalCode !== null) throw new Error("the agent ended");
    return (await askSocket(this.#socket, "/v1/status", STATUS_MS).catch(() => undefined)) as AgentStatus | undefined;
  }

  costs(): Costs {
    return costsOf(this.#agent?.pid ?? assert.fail("no agent runs"));
  }

  /** Everything it pinned stays. */
  async end(signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<void> {
    const agent = this.#agent;
    this.#agent = undefined;
    if (agent === undefined || agent.exitCode !== null || agent.signalCode !== null) return;
    const ended = once(agent, "exit");
    agent.kill(signal);
    await ended;
  }

  async close(): Promise<void> {
    await this.end();
    this.#object?.close();
    rmdirSync(this.cgroup);
  }
}
