/** `bulkhead drain` and `return`: a cluster's traffic goes elsewhere by weight, and comes back. */
import { basename } from "node:path";
import type { Command } from "commander";
import { type DrainStatus, FULL_WEIGHT } from "../../model/drain.ts";
import { type AgentStatus, DRAIN_PATH, type ExporterStatus } from "../../model/status.ts";
import { arrivedText, laggards, type Moved, progressText, rampsOf } from "../../report/drain.ts";
import { safeText } from "../../report/text.ts";
import { sleep, systemClock } from "../../runtime/clock.ts";
import { messageOf, UserError } from "../../runtime/user-error.ts";
import { askSocket, tellSocket } from "../../serve/ask.ts";
import { ANSWER_TIMEOUT_MS, agentsOf, askEach, clusterOf, findSockets } from "../../serve/sockets.ts";
import { collect, type ReadOptions, reader, span, wholeNumber, writeLine } from "./output.ts";

interface MoveOptions extends ReadOptions {
  readonly service: readonly string[];
  readonly over: number;
  readonly to: number;
  readonly wait: boolean;
}

/** An order waits for the etcd, and for the write before it. */
const ORDER_TIMEOUT_MS = 10_000;
const LOOK_INTERVAL_MS = 500;
/** A node that has not heard of the last step after that long is told of. */
const HEARD_WITHIN_MS = 10_000;

function mover(verb: string, description: string): Command {
  return reader(verb, description)
    .argument("<cluster>", "whose exporter runs here")
    .option("--service <namespace/name>", "of this service only; may be given again", collect, [])
    .option("--over <time>", "in steps over 30s, 10m, 2h (default: at once)", span, 0)
    .option("--no-wait", "return once it is ordered; it goes on by itself");
}

export function drain(): Command {
  return mover("drain", "give a cluster fewer new connections and at last none; established ones stay")
    .option("--to <weight>", "stop there, of 100", wholeNumber(0, FULL_WEIGHT - 1), 0)
    .action((cluster: string, options: MoveOptions) => move(cluster, options));
}

export function returnVerb(): Command {
  return mover("return", "bring back what was drained").action((cluster: string, options: MoveOptions) =>
    move(cluster, { ...options, to: FULL_WEIGHT }),
  );
}

async function move(cluster: string, { service: services, over: overMs, to: target, ...options }: MoveOptions) {
  const sockets = await findSockets(options.runDir);
  const exporter = exporterOf(cluster, sockets);
  const moved = { cluster, services: [...new Set(services)] };
  const order = { services: moved.services, target, overMs };
  const ordered = await ofExporter(cluster, tellSocket(exporter, DRAIN_PATH, order, ORDER_TIMEOUT_MS));
  const watching = new Watching(moved, exporter, agentsOf(sockets), options.json);
  if (!options.wait) return watching.print(ordered.drains);
  await watching.follow(target, ordered.drains);
}

function exporterOf(cluster: string, sockets: readonly string[]): string {
  const exporters = sockets.filter((socket) => basename(socket) === "exporter.sock");
  const found = exporters.find((socket) => clusterOf(socket) === cluster);
  if (found !== undefined) return found;
  const names = exporters.map(clusterOf).join(", ") || "none";
  throw new UserError(`${cluster}: its exporter does not run here, where exporters of these do: ${names}`);
}

async function ofExporter(cluster: string, asked: Promise<unknown>): Promise<ExporterStatus> {
  try {
    return (await asked) as ExporterStatus;
  } catch (error) {
    throw new UserError(`exporter of ${cluster}: ${safeText(messageOf(error))}`);
  }
}

class Watching {
  readonly #moved: Moved;
  readonly #exporter: string;
  readonly #agents: readonly string[];
  readonly #json: boolean;

  constructor(moved: Moved, exporter: string, agents: readonly string[], json: boolean) {
    this.#moved = moved;
    this.#exporter = exporter;
    this.#agents = agents;
    this.#json = json;
  }

  async print(drains: readonly DrainStatus[] = [], agents?: readonly AgentStatus[]): Promise<void> {
    if (this.#json) return writeLine(JSON.stringify(rampsOf(this.#moved, drains)));
    await writeLine(progressText(this.#moved, drains, agents ?? (await this.#nodes())));
  }

  /** A line at each step, until the weight is the target and the nodes know. */
  async follow(target: number, ordered: readonly DrainStatus[] = []): Promise<void> {
    let drains = ordered;
    let told = "";
    for (;;) {
      const ramps = rampsOf(this.#moved, drains);
      if (ramps.some((ramp) => ramp.target !== target)) throw new UserError("somebody ordered otherwise meanwhile");
      const arrived = ramps.every(({ weight }) => weight === target);
      const now = JSON.stringify(ramps);
      if (arrived) return this.#arrive(target, drains);
      if (now !== told) await this.print(drains);
      told = now;
      await sleep(systemClock, LOOK_INTERVAL_MS);
      drains = await this.#look();
    }
  }

  async #arrive(target: number, drains: readonly DrainStatus[]): Promise<void> {
    const ramps = rampsOf(this.#moved, drains);
    const untilMs = systemClock.nowMs() + HEARD_WITHIN_MS;
    let agents = await this.#nodes();
    let behind = laggards(this.#moved, ramps, agents);
    while (behind.length > 0 && systemClock.nowMs() < untilMs) {
      await sleep(systemClock, LOOK_INTERVAL_MS);
      agents = await this.#nodes();
      behind = laggards(this.#moved, ramps, agents);
    }
    await this.print(drains, agents);
    if (this.#json) return;
    if (behind.length > 0) await writeLine(`! not known yet on ${behind.map(safeText).join(", ")}`);
    await writeLine(arrivedText(this.#moved, target));
  }

  async #look(): Promise<readonly DrainStatus[]> {
    const { cluster } = this.#moved;
    const asked = askSocket(this.#exporter, "/v1/status", ANSWER_TIMEOUT_MS).catch((error: unknown) => {
      throw new Error(
        `${messageOf(error)}; what was ordered is written down, and goes on once an exporter leads again`,
      );
    });
    return (await ofExporter(cluster, asked)).drains ?? [];
  }

  async #nodes(): Promise<readonly AgentStatus[]> {
    const { answered } = await askEach<AgentStatus>(this.#agents, "/v1/status");
    return answered.map(({ answer }) => answer);
  }
}
