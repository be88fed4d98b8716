/** A real nats-server with JetStream for tests: own folder, own loopback port, gone when the process ends. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { BusClient, BusOptions, BusSecrets } from "../../src/bus/client.ts";
import { connectNats } from "../../src/bus/nats.ts";
import { freePort } from "./free-port.ts";

const START_TIMEOUT_MS = 20_000;
/** Debian puts it where only root's PATH looks. */
const PATH = `${process.env["PATH"]}:/usr/sbin`;

export class TestNats {
  readonly port: number;
  readonly directory: string;
  readonly #more: string;
  #process: ChildProcess | undefined;
  #output = "";

  private constructor(port: number, more: string) {
    this.port = port;
    this.#more = more;
    this.directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "bulkhead-test-nats-"));
    process.once("exit", this.#atExit);
  }

  /** @param more lines of its configuration: users, tls. */
  static async start(more = ""): Promise<TestNats> {
    const nats = new TestNats(await freePort(), more);
    await nats.restart();
    return nats;
  }

  readonly #atExit = (): void => {
    this.#process?.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  };

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** With the data that it has. */
  async restart(): Promise<void> {
    const file = join(this.directory, "nats.conf");
    const store = `jetstream { store_dir: "${join(this.directory, "data")}" }`;
    writeFileSync(file, `listen: 127.0.0.1:${this.port}\n${store}\n${this.#more}\n`);
    const child = spawn("nats-server", ["-c", file], { stdio: ["ignore", "pipe", "pipe"], env: { PATH } });
    const remember = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-4096);
    };
    child.stdout.on("data", remember);
    child.stderr.on("data", remember);
    child.on("error", (error) => remember(Buffer.from(error.message)));
    this.#process = child;
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(await answers(this.port))) {
      if (child.exitCode !== null || child.pid === undefined || performance.now() > deadline) {
        throw new Error(`nats-server did not start: ${this.#output}`);
      }
      await pause(20);
    }
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  /** Freezes it: connections stay, nothing answers. Its threads do not stop all at once. */
  async freeze(): Promise<void> {
    this.#process?.kill("SIGSTOP");
    while (!this.#isFrozen()) await pause(5);
  }

  #isFrozen(): boolean {
    const tasks = `/proc/${this.#process?.pid}/task`;
    return readdirSync(tasks).every((task) => /\) [Tt] /.test(readFileSync(`${tasks}/${task}/stat`, "utf8")));
  }

  thaw(): void {
    this.#process?.kill("SIGCONT");
  }

  connect(more: Partial<BusOptions> = {}, secrets: BusSecrets = {}): BusClient {
    const common = { servers: [this.url], name: "test", timeoutMs: 2_000, pingIntervalMs: 500 };
    return connectNats({ ...common, secrets: async () => secrets, ...more });
  }

  /** Kills it and removes its data. */
  async end(): Promise<void> {
    await this.kill();
    process.off("exit", this.#atExit);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("data", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
