/** A remote's etcd, a local one and a kvstoremesh between them, all real, on the loopback; all of it goes away again. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { prefixRange } from "../src/follow/list.ts";
import type { KvClient, WatchEvent } from "../src/kv/client.ts";
import type { MirrorStatus } from "../src/model/status.ts";
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { askSocket } from "../src/serve/ask.ts";
import { canaryKey, clusterConfigKey, SYNCED_PREFIX } from "../src/wire/keys.ts";
import { RESOURCES } from "../src/wire/resources.ts";
import { TestEtcd } from "../test/support/etcd.ts";
import { freePort } from "../test/support/free-port.ts";
import { announcement, OWN, type Pair, REMOTE } from "./mesh-data.ts";
import { encodePuts, inBatches, RawEtcd } from "./raw-etcd.ts";

const BULKHEAD = fileURLToPath(new URL("../bin/bulkhead", import.meta.url));
const WITHIN_MS = 120_000;
const POLL_MS = 20;
const FILL_BATCH = 100;
const FILL_IN_FLIGHT = 16;
/** Of the clock in which the kernel counts CPU time. */
const TICKS_PER_SECOND = 100;
/** Which fields of /proc/PID/stat, counted behind the command's name, are time in user space and in the kernel. */
const USER_TICKS = 11;
const KERNEL_TICKS = 12;

/** What a process took, from its start. */
export interface Costs {
  readonly cpuSeconds: number;
  readonly peakRssMiB: number;
}

function rssOf(pid: number, field: "VmHWM" | "VmRSS"): number {
  const found = new RegExp(`${field}:\\s*(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(found?.[1] ?? 0) / 1024;
}

export function costsOf(pid: number): Costs {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[USER_TICKS]) + Number(fields[KERNEL_TICKS]);
  return { cpuSeconds: ticks / TICKS_PER_SECOND, peakRssMiB: rssOf(pid, "VmHWM") };
}

export async function until<T>(what: string, found: () => Promise<T | undefined>, pollMs = POLL_MS): Promise<T> {
  const deadlineMs = systemClock.nowMs() + WITHIN_MS;
  for (;;) {
    const value = await found();
    if (value !== undefined) return value;
    if (systemClock.nowMs() > deadlineMs) throw new Error(`${what}: not within ${WITHIN_MS / 1000} s`);
    await sleep(systemClock, pollMs);
  }
}

/** A remote with these keys, and then with what says that they are all. */
export async function filledEtcd(pairs: readonly Pair[], said = announcement()): Promise<TestEtcd> {
  const etcd = await TestEtcd.start();
  const raw = new RawEtcd(etcd.endpoint);
  await raw.writeAll(inBatches(pairs, FILL_BATCH).map(encodePuts), FILL_IN_FLIGHT);
  await raw.writeAll(inBatches(said, FILL_BATCH).map(encodePuts), 1);
  raw.close();
  return etcd;
}

export class MirrorStage {
  readonly remote: TestEtcd;
  readonly local: TestEtcd;
  readonly kv: KvClient;
  readonly #folder: string;
  #mirror: ChildProcess | undefined;
  #metricsPort = 0;
  #output = "";

  private constructor(remote: TestEtcd, local: TestEtcd) {
    this.remote = remote;
    this.local = local;
    this.kv = local.connect({ timeoutMs: 60_000 });
    this.#folder = mkdtempSync(join(tmpdir(), "bulkhead-bench-mirror-"));
    mkdirSync(join(this.#folder, "mesh"));
    writeFileSync(join(this.#folder, "local.yaml"), `endpoints:\n- ${local.endpoint}\n`);
    process.once("exit", this.#atExit);
  }

  /** @param remote filled; it is not ended with the stage. */
  static async open(remote: TestEtcd): Promise<MirrorStage> {
    return new MirrorStage(remote, await TestEtcd.start());
  }

  readonly #atExit = (): void => {
    this.#mirror?.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  };

  get #socket(): string {
    return join(this.#folder, "run", OWN.name, "kvstoremesh.sock");
  }

  /** Starts a mirror without remotes and waits until it leads. Its settings are the program's own, but for how often the folder is read. */
  async lead(configIntervalMs = 50): Promise<void> {
    this.#metricsPort = await freePort();
    const flags = {
      cluster: OWN.name,
      "cluster-id": OWN.id,
      "etcd-config": join(this.#folder, "local.yaml"),
      "config-dir": join(this.#folder, "mesh"),
      "config-interval-ms": configIntervalMs,
      "run-dir": join(this.#folder, "run"),
      listen: `127.0.0.1:${this.#metricsPort}`,
      "api-listen": "none",
      "log-level": "warn",
    };
    const argv = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
    const mirror = spawn(BULKHEAD, ["kvstoremesh", ...argv], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    mirror.stderr.on("data", (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString()).slice(-20_000);
    });
    this.#mirror = mirror;
    await until("the mirror leads", async () => ((await this.status())?.leader ? true : undefined));
  }

  async status(): Promise<MirrorStatus | undefined> {
    if (this.#mirror?.exitCode !== null) throw new Error(`the mirror ended: ${this.#output}`);
    return (await askSocket(this.#socket, "/v1/status", 2_000).catch(() => undefined)) as MirrorStatus | undefined;
  }

  /** Names remotes that are all behind `remote`, and waits for their last canary in the local etcd. Resolves to the milliseconds between. */
  async mirrored(names: readonly string[] = [REMOTE.name]): Promise<number> {
    const missing = new Set(names.flatMap((name) => RESOURCES.map(({ cacheCanary }) => canaryKey(name, cacheCanary))));
    const { promise: done, resolve, reject } = Promise.withResolvers<number>();
    await this.watch(SYNCED_PREFIX, (events) => {
      for (const event of events) if (event.type === "put") missing.delete(event.kv.key);
      if (missing.size === 0) resolve(systemClock.nowMs());
    });
    const late = systemClock.after(WITHIN_MS, () => reject(new Error(`not mirrored: ${[...missing]} ${this.#output}`)));
    const fromMs = systemClock.nowMs();
    for (const name of names)
      writeFileSync(join(this.#folder, "mesh", name), `endpoints:\n- ${this.remote.endpoint}\n`);
    const tookMs = (await done) - fromMs;
    late.cancel();
    return tookMs;
  }

  /** Resolves when the mirror says that all of the remote is in the cache. */
  async synced(): Promise<void> {
    await until("the mirror is synced", async () => {
      const remote = (await this.status())?.remotes.find(({ name }) => name === REMOTE.name);
      return remote?.synced || undefined;
    });
  }

  /** Resolves when the watch stands. */
  watch(prefix: string, onEvents: (events: readonly WatchEvent[]) => void): Promise<void> {
    return watchPrefix(this.kv, prefix, onEvents);
  }

  /** Keys of the remote in the local etcd. */
  async cachedKeys(): Promise<number> {
    let count = 0;
    for (const { cachePrefix } of RESOURCES) {
      count += (await this.kv.range({ ...prefixRange(cachePrefix(REMOTE.name)), countOnly: true })).count;
    }
    assert.equal((await this.kv.range({ key: clusterConfigKey(REMOTE.name) })).count, 1);
    return count;
  }

  costs(): Costs {
    assert(this.#mirror?.pid);
    return costsOf(this.#mirror.pid);
  }

  /** Of the mirror, as it is now. */
  rssMiB(): number {
    assert(this.#mirror?.pid);
    return rssOf(this.#mirror.pid, "VmRSS");
  }

  /** Of the mirror, in Prometheus' text format. */
  async metrics(): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${this.#metricsPort}/metrics`)).text();
  }

  /** Ends the mirror; the etcds stay. */
  async endMirror(signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<void> {
    const mirror = this.#mirror;
    if (!mirror || mirror.exitCode !== null || mirror.signalCode !== null) return;
    const ended = once(mirror, "exit");
    mirror.kill(signal);
    await ended;
  }

  async close(): Promise<void> {
    await this.endMirror();
    this.kv.close();
    await this.local.end();
    process.removeListener("exit", this.#atExit);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Resolves when the watch stands. A watch that ends is a bench that says nothing: it throws. */
export function watchPrefix(
  kv: KvClient,
  prefix: string,
  onEvents: (events: readonly WatchEvent[]) => void,
): Promise<void> {
  return new Promise((created) => {
    kv.watch(prefixRange(prefix), {
      created: () => created(),
      events: onEvents,
      progress() {},
      ended: ({ cause, detail }) => {
        if (detail !== "the client was closed") throw new Error(`watch of ${prefix} ${cause}: ${detail}`);
      },
    });
  });
}
