/**
 * P8: an agent with 350,000 addresses and 3,500 services in its maps is killed, 10,000 addresses change while there is none, and another one starts. How long until
 * it has what it missed, how many entries it wrote beside, and what became of a client that called a service all the time. The floor is the paged list alone.
 */
import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { identityRange } from "../src/model/cluster.ts";
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { localServiceKey } from "../src/wire/keys.ts";
import { encodeLocalService } from "../src/wire/local-service.ts";
import type { TestEtcd } from "../test/support/etcd.ts";
import { AgentStage } from "./agent-stage.ts";
import { cachedRemote, changedPod, type ExpectedMaps, listed, type Pod, untilRight } from "./cached-remote.ts";
import { printFigures } from "./goal-line.ts";
import { type Pair, REMOTE } from "./mesh-data.ts";
import { until } from "./mirror-stage.ts";
import { encodePuts, inBatches, RawEtcd } from "./raw-etcd.ts";
import { BenchStage, inNetns } from "./stage.ts";

const SIZE = { pods: 350_000, services: 3_500 };
const CAPACITY = 524_288;
const MISSED = 10_000;
/** A number that no other address of the remote has. */
const MISSED_IDENTITY = identityRange(REMOTE.id).first + 60_001;
const GOAL_MS = 2_000;
/** The clients call that long before and after. */
const CALM_MS = 3_000;
const POLL_MS = 5;
const BATCH = 100;
const IN_FLIGHT = 16;
const SERVER = fileURLToPath(new URL("p8-server.ts", import.meta.url));
const TRAFFIC = fileURLToPath(new URL("p8-traffic.ts", import.meta.url));
const ADDRESS = "10.101.0.1";
const PORT = 80;
const BACKEND_PORT = 8080;

/** A service of the own cluster whose backend answers. */
function calledService(backend: string): Pair {
  const [namespace, name] = ["shop", "called"];
  const ports = (port: number) => [
    { name: "tcp", protocol: "TCP" as const, port },
    { name: "udp", protocol: "UDP" as const, port },
  ];
  const value = encodeLocalService({
    ...{ namespace, name, global: true, shared: true, affinity: "none" },
    frontends: new Map([[ADDRESS, ports(PORT)]]),
    backends: new Map([[backend, ports(BACKEND_PORT)]]),
  });
  return { key: localServiceKey(namespace, name), value };
}

interface Calls {
  readonly connected: number;
  readonly failed: number;
  readonly sent: number;
  readonly answered: number;
}

type Child = ChildProcessByStdio<Writable, Readable, null>;

/** A process in a pod's namespace that has said its first line. */
class Peer {
  readonly #child: Child;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: Child) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  static async start(netns: string, cgroup: string, script: string, ...args: string[]): Promise<Peer> {
    const enter = `echo $$ > ${cgroup}/cgroup.procs && exec "$@"`;
    const [command, ...argv] = inNetns(netns, "sh", "-c", enter, "sh", process.execPath, script, ...args);
    const peer = new Peer(spawn(command, argv, { stdio: ["pipe", "pipe", "inherit"] }));
    await peer.line();
    return peer;
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("a client or server of the bench ended");
    return value;
  }

  /** Resolves to its last line. */
  finish(): Promise<string> {
    this.#child.stdin.end();
    return this.line();
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}

async function change(etcd: TestEtcd): Promise<readonly Pod[]> {
  const raw = new RawEtcd(etcd.endpoint);
  const missed = Array.from({ length: MISSED }, (_, index) =>
    changedPod(Math.floor((index * SIZE.pods) / MISSED), MISSED_IDENTITY),
  );
  await raw.writeAll(inBatches(missed, BATCH).map(encodePuts), IN_FLIGHT);
  raw.close();
  return missed;
}

async function caughtUp(stage: AgentStage, maps: ExpectedMaps, missed: readonly Pod[]): Promise<number> {
  const some = missed.filter((_, index) => index % BATCH === BATCH - 1);
  const fromMs = systemClock.nowMs();
  stage.start();
  await until("the next agent has what was missed", async () => (some.every(maps.knows) ? true : undefined), POLL_MS);
  const tookMs = systemClock.nowMs() - fromMs;
  assert(missed.every(maps.knows), "all that was missed is in the maps");
  return tookMs;
}

async function restarted(stage: AgentStage, etcd: TestEtcd, maps: ExpectedMaps) {
  const { client } = stage.pods;
  const calling = await Peer.start(client.netns, stage.cgroup, TRAFFIC, ADDRESS, String(PORT));
  try {
    await sleep(systemClock, CALM_MS);
    await stage.end("SIGKILL");
    const missed = await change(etcd);
    const tookMs = await caughtUp(stage, maps, missed);
    const status = await until("the next agent is synced", async () => {
      const found = await stage.status();
      return found?.readiness.detail === "synced" ? found : undefined;
    });
    await sleep(systemClock, CALM_MS);
    const calls = JSON.parse(await calling.finish()) as Calls;
    return { tookMs, calls, written: status.written, removed: status.removed, costs: stage.costs() };
  } finally {
    await calling.end();
  }
}

export async function hitlessRestart(json: boolean): Promise<void> {
  const pods = new BenchStage();
  let etcd: TestEtcd | undefined;
  let stage: AgentStage | undefined;
  let server: Peer | undefined;
  try {
    etcd = await cachedRemote(SIZE, [calledService(pods.server.address)]);
    stage = new AgentStage(pods, "agent", etcd.endpoint, CAPACITY);
    server = await Peer.start(pods.server.netns, stage.cgroup, SERVER, String(BACKEND_PORT));
    const maps = await untilRight(stage, SIZE);
    const floor = await listed(etcd);
    const { tookMs, calls, written, removed, costs } = await restarted(stage, etcd, maps);
    const needless = written + removed - MISSED;
    const lost = calls.failed + calls.sent - calls.answered;
    assert(calls.connected > 0 && calls.answered > 0, "the service was called");
    printFigures(
      {
        ...{ id: "P8", unit: "ms", value: tookMs, floor, ratio: tookMs / floor, costs },
        goal: `value<=${GOAL_MS},needless=0,lost=0`,
        reached: tookMs <= GOAL_MS && needless === 0 && lost === 0,
        beside: { missed: MISSED, needless, lost, connected: calls.connected, datagrams: calls.answered },
      },
      json,
    );
  } finally {
    await server?.end();
    await stage?.close();
    await etcd?.end();
    pods.close();
  }
}
