/** A real etcd for tests: own data directory, own loopback ports, gone when the process ends. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { ConnectOptions, KvClient } from "../../src/kv/client.ts";
import { connectEtcd } from "../../src/kv/etcd.ts";
import { freePort } from "./free-port.ts";

export interface TestEtcdOptions {
  /** More flags, after ours. */
  readonly flags?: readonly string[];
  /** Listened on besides the endpoint. */
  readonly moreUrls?: readonly string[];
  /** `https` needs the flags that name certificates. */
  readonly scheme?: "http" | "https";
}

const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 5_000;
/** Short, so that leases may be as short as 1 s and an etcd is ready at once. */
const QUICK_FLAGS = [
  "--heartbeat-interval=10",
  "--election-timeout=100",
  "--grpc-keepalive-min-time=100ms",
  "--unsafe-no-fsync",
];

export class TestEtcd {
  readonly endpoint: string;
  readonly directory: string;
  readonly #peerUrl: string;
  readonly #options: TestEtcdOptions;
  #process: ChildProcess | undefined;
  #output = "";

  private constructor(options: TestEtcdOptions, clientPort: number, peerPort: number) {
    this.#options = options;
    this.endpoint = `${options.scheme ?? "http"}://127.0.0.1:${clientPort}`;
    this.#peerUrl = `http://127.0.0.1:${peerPort}`;
    this.directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "bulkhead-test-etcd-"));
    process.once("exit", this.#atExit);
  }

  /** Starts one and waits until it answers. */
  static async start(options: TestEtcdOptions = {}): Promise<TestEtcd> {
    const etcd = new TestEtcd(options, await freePort(), await freePort());
    await etcd.#spawn();
    return etcd;
  }

  readonly #atExit = (): void => {
    this.#process?.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  };

  async #spawn(): Promise<void> {
    const listen = [this.endpoint, ...(this.#options.moreUrls ?? [])].join();
    const urls = [`--listen-client-urls=${listen}`, `--advertise-client-urls=${this.endpoint}`];
    const peers = [`--listen-peer-urls=${this.#peerUrl}`, `--initial-advertise-peer-urls=${this.#peerUrl}`];
    const names = [
      "--name=test",
      `--initial-cluster=test=${this.#peerUrl}`,
      `--data-dir=${join(this.directory, "data")}`,
    ];
    const quiet = ["--logger=zap", "--log-level=error"];
    const flags = [...urls, ...peers, ...names, ...quiet, ...QUICK_FLAGS, ...(this.#options.flags ?? [])];
    const child = spawn("etcd", flags, { stdio: ["ignore", "pipe", "pipe"], env: { PATH: process.env["PATH"] } });
    const remember = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-4096);
    };
    child.stdout.on("data", remember);
    child.stderr.on("data", remember);
    child.on("error", (error) => remember(Buffer.from(error.message)));
    this.#process = child;
    await this.#untilReady(child);
  }

  async #untilReady(child: ChildProcess): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (performance.now() < deadline) {
      if (child.exitCode !== null || child.pid === undefined) break;
      if (await this.#isReady()) return;
      await pause(20);
    }
    throw new Error(`etcd did not start: ${this.#output}`);
  }

  async #isReady(): Promise<boolean> {
    if (this.#options.scheme === "https") return this.#output.includes("ready") || pause(500, true);
    try {
      const response = await fetch(`${this.endpoint}/health`, { signal: AbortSignal.timeout(1000) });
      return (await response.text()).includes('"health":"true"');
    } catch {
      return false;
    }
  }

  /** A client with short times. */
  connect(options: Partial<ConnectOptions> = {}): KvClient {
    const times = { timeoutMs: 5000, keepaliveMs: 1000, keepaliveTimeoutMs: 1000 };
    return connectEtcd({ endpoints: [this.endpoint], ...times, ...options });
  }

  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error("etcd is not running");
    return pid;
  }

  /** SIGSTOP: alive, and silent. Returns once every thread has stopped: on a busy machine one may answer a call until then. */
  stop(): void {
    const { pid } = this;
    process.kill(pid, "SIGSTOP");
    const deadline = performance.now() + STOP_TIMEOUT_MS;
    while (!threadsOf(pid).every((state) => state === "T")) {
      if (performance.now() > deadline) throw new Error("etcd did not stop");
    }
  }

  /** SIGCONT. */
  cont(): void {
    process.kill(this.pid, "SIGCONT");
  }

  /** kill -9; the data stay. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  /** On the same ports, with the data it left. */
  async restart(): Promise<void> {
    await this.kill();
    await this.#spawn();
  }

  /** All data is lost: the same flags, hence the same cluster id, at revision 1. */
  async wipe(): Promise<void> {
    await this.kill();
    rmSync(join(this.directory, "data"), { recursive: true, force: true });
    await this.#spawn();
  }

  compact(revision: number): Promise<unknown> {
    return this.post("kv/compaction", { revision: String(revision), physical: true });
  }

  /** Any call, by the server's JSON gateway. Rejects with the server's message. */
  async post(path: string, body: unknown): Promise<unknown> {
    const response = await fetch(`${this.endpoint}/v3/${path}`, { method: "POST", body: JSON.stringify(body) });
    const answer = (await response.json()) as { readonly error?: string; readonly message?: string };
    if (!response.ok) throw new Error(answer.error ?? answer.message ?? `HTTP ${response.status}`);
    return answer;
  }

  /** Kills it and removes its data. */
  async end(): Promise<void> {
    await this.kill();
    process.off("exit", this.#atExit);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** State of each thread, in the letters of proc(5). */
function threadsOf(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    return stat.charAt(stat.lastIndexOf(")") + 2);
  });
}
