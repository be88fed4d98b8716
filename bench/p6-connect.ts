/**
 * P6: connect() to a service through the socket programs, with 1, 10,000 and 100,000 services in their map, against connect() straight to its backend; beside them
 * iptables in kube-proxy's shape. All in turns, in slices, so that a busy moment hits all alike.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { backendEntry, entriesOf, mapOf, serviceEntries } from "../bpf/test/entries.ts";
import { cgroupDirectory } from "../src/kernel/cgroup.ts";
import type { LoadedObject } from "../src/kernel/door.ts";
import { createLibbpfKernel } from "../src/kernel/libbpf.ts";
import { LAYOUT_VERSION } from "../src/maps/layout.ts";
import { SOCK_LB_OBJECT } from "../src/maps/objects.ts";
import { systemClock } from "../src/runtime/clock.ts";
import { median, printFigures } from "./goal-line.ts";
import { iptablesRules, serviceAddress, serviceAddress6 } from "./p6-services.ts";
import { BenchStage, inNetns } from "./stage.ts";

const CLIENT = fileURLToPath(new URL("p6-client.ts", import.meta.url));
const SERVER = fileURLToPath(new URL("p6-server.ts", import.meta.url));
const OBJECTS = fileURLToPath(new URL("../build/bpf", import.meta.url));
const PORT = 8080;
const SERVICE_PORT = 80;
const SERVICES = [1, 10_000, 100_000] as const;
/** More of these take longer to load than the rest of the bench. */
const IPTABLES_SERVICES = [1, 10_000] as const;
const ROUNDS = 25;
const CONNECTIONS = 400;
const GOAL = 1.05;
const BATCH = 10_000;

/** One way to connect. */
class Contender {
  readonly name: string;
  /** Median nanoseconds of each slice. */
  readonly slices: number[] = [];
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(name: string, netns: string, cgroup: string, target: object) {
    this.name = name;
    const script = `echo $$ > ${cgroup}/cgroup.procs && exec "$@"`;
    const [command, ...args] = inNetns(
      netns,
      "sh",
      "-c",
      script,
      "sh",
      process.execPath,
      CLIENT,
      JSON.stringify(target),
    );
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  async slice(count: number): Promise<number> {
    this.#child.stdin?.write(`${count}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.name}: its client ended`);
    return Number(value);
  }

  async end(): Promise<void> {
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }
}

/** The socket programs, attached to a cgroup of their own, with so many services of one backend. */
async function balanced(stage: BenchStage, cgroup: string, services: number): Promise<LoadedObject> {
  const { file, maps, enums } = SOCK_LB_OBJECT;
  const object = await createLibbpfKernel({ clock: systemClock }).load({
    ...{
      objectPath: join(OBJECTS, file),
      pinDirectory: join(stage.pins, String(services)),
      layoutVersion: LAYOUT_VERSION,
    },
    ...{ layouts: maps, enums, families: [], structs: SOCK_LB_OBJECT.structs ?? [], rings: [] },
  });
  const backends = [stage.server.address, stage.server.address6].map((address, index) =>
    backendEntry(index + 1, { address, port: PORT, protocol: "TCP" }),
  );
  await mapOf(object, "backends").update(entriesOf(backends));
  for (let from = 0; from < services; from += BATCH) {
    const numbers = Array.from({ length: Math.min(BATCH, services - from) }, (_, index) => from + index);
    const frontend = (address: string) => ({ address, port: SERVICE_PORT, protocol: "TCP" as const });
    const entries = numbers.flatMap((number) => serviceEntries(frontend(serviceAddress(number)), [1]));
    await mapOf(object, "services").update(entriesOf(entries));
  }
  const v6 = { address: serviceAddress6(0), port: SERVICE_PORT, protocol: "TCP" as const };
  await mapOf(object, "services").update(entriesOf(serviceEntries(v6, [2])));
  await object.attachCgroup(cgroup);
  return object;
}

class Cgroups {
  readonly #root = cgroupDirectory(`bulkhead-bench-${process.pid}`);
  readonly #made: string[] = [];

  make(name: string): string {
    const path = join(this.#root, name);
    mkdirSync(path, { recursive: true });
    this.#made.push(path);
    return path;
  }

  close(): void {
    for (const path of [...this.#made, this.#root]) rmdirSync(path);
  }
}

async function inTurns(contenders: readonly Contender[]): Promise<void> {
  for (const contender of contenders) await contender.slice(CONNECTIONS);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index] of contenders.entries()) {
      const contender = contenders[(index + round) % contenders.length] as Contender;
      contender.slices.push(await contender.slice(CONNECTIONS));
    }
  }
}

/** Median of the ratios of the same round. */
function against(floor: Contender, subject: Contender): number {
  return median(subject.slices.map((value, round) => value / (floor.slices[round] ?? Number.NaN)));
}

export async function connectToService(json: boolean): Promise<void> {
  const stage = new BenchStage();
  const cgroups = new Cgroups();
  const objects: LoadedObject[] = [];
  const contenders: Contender[] = [];
  const [command, ...args] = inNetns(stage.server.netns, process.execPath, SERVER, String(PORT));
  const server = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  try {
    await once(server.stdout, "data");
    const add = (name: string, netns: string, cgroup: string, address: string, port: number, v6 = false): Contender => {
      const contender = new Contender(name, netns, cgroup, { address, port, v6 });
      contenders.push(contender);
      return contender;
    };
    const { client, server: backend } = stage;
    const plain = cgroups.make("direct");
    const direct = add("direct", client.netns, plain, backend.address, PORT);
    const pairs: (readonly [id: string, floor: Contender, subject: Contender])[] = [];
    for (const services of SERVICES) {
      const cgroup = cgroups.make(String(services));
      objects.push(await balanced(stage, cgroup, services));
      const last = serviceAddress(services - 1);
      pairs.push([`P6@${services}`, direct, add(`bulkhead ${services}`, client.netns, cgroup, last, SERVICE_PORT)]);
      if (services !== 1) continue;
      const direct6 = add("direct v6", client.netns, plain, backend.address6, PORT, true);
      pairs.push(["P6@v6", direct6, add("bulkhead v6", client.netns, cgroup, serviceAddress6(0), SERVICE_PORT, true)]);
      const mapped = add("direct v4-mapped", client.netns, plain, backend.address, PORT, true);
      pairs.push(["P6@mapped", mapped, add("bulkhead v4-mapped", client.netns, cgroup, last, SERVICE_PORT, true)]);
    }
    const peers: Contender[] = [];
    for (const kind of ["legacy", "nft"] as const) {
      for (const services of IPTABLES_SERVICES) {
        const pod = stage.addPod(`${kind}${services}`);
        const rules = iptablesRules(services, SERVICE_PORT, `${backend.address}:${PORT}`);
        const [restore, ...options] = inNetns(pod.netns, `iptables-${kind}-restore`);
        execFileSync(restore, options, { input: rules, stdio: ["pipe", "ignore", "inherit"] });
        const middle = serviceAddress(Math.floor(services / 2));
        peers.push(add(`iptables-${kind} ${services}`, pod.netns, plain, middle, SERVICE_PORT));
        if (services > 1)
          peers.push(
            add(`iptables-${kind} ${services} last`, pod.netns, plain, serviceAddress(services - 1), SERVICE_PORT),
          );
      }
    }
    await inTurns(contenders);
    for (const [id, floor, subject] of pairs) {
      const ratio = against(floor, subject);
      const figures = {
        id,
        unit: "us(p50)",
        value: median(subject.slices) / 1e3,
        floor: median(floor.slices) / 1e3,
        ratio,
      };
      printFigures({ ...figures, goal: `ratio<=${GOAL}`, reached: ratio <= GOAL, beside: {} }, json);
    }
    if (json) return;
    for (const peer of peers) {
      const us = (median(peer.slices) / 1e3).toFixed(1);
      process.stdout.write(`  ${peer.name.padEnd(28)} ${us} us, ratio ${against(direct, peer).toFixed(2)}\n`);
    }
  } finally {
    for (const contender of contenders) await contender.end();
    server.kill("SIGKILL");
    for (const object of objects) object.close();
    stage.close();
    cgroups.close();
  }
}
