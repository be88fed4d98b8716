/** One local etcd, kvstoremesh processes and remotes, all real, on the loopback. Every interval is a fraction of what it is in earnest. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { list, prefixRange } from "../../src/follow/list.ts";
import type { KeyValue, KvClient, WatchEvent } from "../../src/kv/client.ts";
import type { MirrorStatus, RemoteStatus } from "../../src/model/status.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { askSocket, tellSocket } from "../../src/serve/ask.ts";
import { TestEtcd } from "../../test/support/etcd.ts";
import type { RealCluster } from "./cluster.ts";

const BULKHEAD = fileURLToPath(new URL("../../src/bulkhead.ts", import.meta.url));
const WITHIN_MS = 60_000;

export const LEASE_TTL_SECONDS = 2;
export const HOLD_CONFIRM_MS = 4_000;
export const DRAIN_GRACE_MS = 1_500;

type Flags = Readonly<Record<string, string | number>>;

/** The defaults of the product, but for what would disturb a neighbour. */
export const IN_EARNEST: Flags = { "api-listen": "none", "log-level": "warn" };

const QUICK: Flags = {
  "lease-ttl-seconds": LEASE_TTL_SECONDS,
  "etcd-timeout-ms": 1_000,
  "etcd-keepalive-ms": 1_000,
  "etcd-keepalive-timeout-ms": 1_000,
  "backoff-base-ms": 50,
  "backoff-cap-ms": 1_000,
  "retry-cap-ms": 300,
  "config-interval-ms": 100,
  "progress-interval-ms": 200,
  "progress-timeout-ms": 2_000,
  "suspect-after-ms": 2_000,
  "stale-after-ms": 6_000,
  "grades-interval-ms": 500,
  "guard-window-ms": 3_000,
  "hold-confirm-ms": HOLD_CONFIRM_MS,
  "audit-interval-ms": 3_000,
  "checkpoint-interval-ms": 200,
  "drain-grace-ms": DRAIN_GRACE_MS,
  ...IN_EARNEST,
};

/** Polls until `found` gives something. */
export async function until<T>(
  what: string,
  found: () => Promise<T | undefined> | T | undefined,
  withinMs = WITHIN_MS,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const value = await found();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline)
      throw new assert.AssertionError({ message: `${what}: not within ${withinMs} ms` });
    await pause(50);
  }
}

function metricsOf(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = get(
      { socketPath, path: "/metrics", timeout: 5_000 },
      (response) => void text(response).then(resolve, reject),
    );
    asked.on("timeout", () => asked.destroy(new Error("no metrics")));
    asked.on("error", reject);
  });
}

export class MirrorProcess {
  readonly #socket: string;
  readonly #argv: readonly string[];
  #child: ChildProcess | undefined;
  output = "";

  constructor(argv: readonly string[], socket: string) {
    this.#argv = argv;
    this.#socket = socket;
  }

  start(): void {
    const child = spawn(process.execPath, [BULKHEAD, "kvstoremesh", ...this.#argv], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const remember = (chunk: Buffer): void => {
      this.output = (this.output + chunk.toString()).slice(-20_000);
    };
    child.stdout.on("data", remember);
    child.stderr.on("data", remember);
    this.#child = child;
  }

  get pid(): number {
    assert(this.#child?.pid);
    return this.#child.pid;
  }

  /** Whether it runs, and has run since it was started. */
  get alive(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  async kill(): Promise<void> {
    if (!this.alive || !this.#child) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }

  stop(): void {
    process.kill(this.pid, "SIGSTOP");
  }

  cont(): void {
    process.kill(this.pid, "SIGCONT");
  }

  async status(): Promise<MirrorStatus | undefined> {
    return (await askSocket(this.#socket, "/v1/status", 2_000).catch(() => undefined)) as MirrorStatus | undefined;
  }

  async remote(name: string): Promise<RemoteStatus | undefined> {
    return (await this.status())?.remotes.find((remote) => remote.name === name);
  }

  /** The value of a line of its metrics; undefined when there is none. @param name with labels, as exported */
  async metric(name: string): Promise<number | undefined> {
    const line = (await metricsOf(this.#socket)).split("\n").find((one) => one.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length));
  }

  ask(path: string): Promise<unknown> {
    return askSocket(this.#socket, path, 5_000);
  }

  tell(path: string, body: unknown): Promise<unknown> {
    return tellSocket(this.#socket, path, body, 5_000);
  }
}

export class Stage {
  readonly folder: string;
  readonly local: TestEtcd;
  readonly kv: KvClient;
  readonly #mirrors: MirrorProcess[] = [];
  readonly #clusters: RealCluster[] = [];

  private constructor(folder: string, local: TestEtcd) {
    this.folder = folder;
    this.local = local;
    this.kv = local.connect();
  }

  static async start(flags: readonly string[] = []): Promise<Stage> {
    const folder = mkdtempSync(join(tmpdir(), "bulkhead-e2e-mirror-"));
    mkdirSync(join(folder, "mesh"));
    const local = await TestEtcd.start({ flags });
    writeFileSync(join(folder, "local.yaml"), `endpoints:\n- ${local.endpoint}\n`);
    return new Stage(folder, local);
  }

  /** Another process of the same cluster. @param more flags on top of `base` */
  mirror(more: Flags = {}, base: Flags = QUICK): MirrorProcess {
    const runDir = join(this.folder, `run-${this.#mirrors.length}`);
    const flags = {
      cluster: "amsterdam",
      "cluster-id": 1,
      "etcd-config": join(this.folder, "local.yaml"),
      "config-dir": join(this.folder, "mesh"),
      "run-dir": runDir,
      ...base,
      ...more,
    };
    const argv = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
    const mirror = new MirrorProcess(argv, join(runDir, "amsterdam/kvstoremesh.sock"));
    this.#mirrors.push(mirror);
    mirror.start();
    return mirror;
  }

  /** @param more lines of its file, such as those that name certificates. */
  configure(cluster: RealCluster, endpoint = cluster.server.endpoint, more = ""): void {
    if (!this.#clusters.includes(cluster)) this.#clusters.push(cluster);
    writeFileSync(join(this.folder, "mesh", cluster.name), `endpoints:\n- ${endpoint}\n${more}`);
  }

  unconfigure(cluster: RealCluster): void {
    rmSync(join(this.folder, "mesh", cluster.name));
  }

  /** What the local etcd holds below `prefix`, by key. */
  async held(prefix: string): Promise<ReadonlyMap<string, KeyValue>> {
    const options = { pageSize: 5_000, clock: systemClock, signal: new AbortController().signal };
    const listing = await list(this.kv, [prefixRange(prefix)], options);
    return new Map((listing.ranges[0] ?? []).map((kv) => [kv.key, kv]));
  }

  async cache(cluster: RealCluster): Promise<ReadonlyMap<string, KeyValue>> {
    const held = await this.held("cilium/cache/");
    return new Map([...held].filter(([key]) => key.includes(`/v1/${cluster.name}/`)));
  }

  /** Keys with the revision of their last write: any write shows. */
  async fingerprint(cluster: RealCluster): Promise<string> {
    return JSON.stringify(Array.from(await this.cache(cluster), ([key, kv]) => [key, kv.modRevision]));
  }

  /** The first difference between cache and truth, in words. */
  async difference(cluster: RealCluster): Promise<string | undefined> {
    const cached = await this.cache(cluster);
    const truth = cluster.truth();
    for (const [key, value] of truth) {
      const found = cached.get(key);
      if (!found || Buffer.compare(found.value, value) !== 0) return `${key} is ${found ? "another" : "missing"}`;
    }
    for (const key of cached.keys()) if (!truth.has(key)) return `${key} is a ghost`;
    return undefined;
  }

  /** Waits until the cache is what the remote says, byte for byte. A load that is smaller than `least` proves nothing. */
  async mirrored(cluster: RealCluster, least = 1, withinMs = WITHIN_MS): Promise<void> {
    assert(cluster.truth().size >= least, `only ${cluster.truth().size} keys`);
    let difference: string | undefined;
    const look = async (): Promise<true | undefined> => {
      difference = await this.difference(cluster).catch(String);
      return difference === undefined ? true : undefined;
    };
    await until(`${cluster.name} is mirrored`, look, withinMs).catch((error: unknown) => {
      throw new Error(`${error}; ${difference}`);
    });
  }

  /** Every event of the cache from now on. */
  async record(): Promise<readonly WatchEvent[]> {
    const seen: WatchEvent[] = [];
    const range = prefixRange("cilium/cache/");
    await new Promise<void>((created) => {
      this.kv.watch(range, {
        created: () => created(),
        events: (events) => void seen.push(...events),
        progress() {},
        ended() {},
      });
    });
    return seen;
  }

  async end(): Promise<void> {
    for (const mirror of this.#mirrors) {
      if (mirror.alive) mirror.cont();
      await mirror.kill();
    }
    for (const cluster of this.#clusters) await cluster.end();
    this.kv.close();
    await this.local.end();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export { pause };
