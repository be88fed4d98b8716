/** `bulkhead flows`: what the agents of this machine report of packets. */
import { basename } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { FLOWS_PATH } from "../../flows/flows.ts";
import type { Lost } from "../../flows/follower.ts";
import { DROP_REASONS, type Flow, VERDICTS } from "../../model/flow.ts";
import { type FlowFilter, flowMatches, parsePeerTest } from "../../report/flow-filter.ts";
import { flowText } from "../../report/flows.ts";
import { safeText } from "../../report/text.ts";
import { Backoff } from "../../runtime/backoff.ts";
import { sleep, systemClock } from "../../runtime/clock.ts";
import { systemRandom } from "../../runtime/random.ts";
import { messageOf } from "../../runtime/user-error.ts";
import { followSocket } from "../../serve/ask.ts";
import { ANSWER_TIMEOUT_MS, agentsOf, findSockets } from "../../serve/sockets.ts";
import { type ReadOptions, reader, silentText, wholeNumber, writeLine } from "./output.ts";

interface FlowsOptions extends ReadOptions, FlowFilter {
  readonly follow: boolean;
  readonly last?: number;
}

const DEFAULT_LAST = 20;
/** How often the run folder is looked through for agents that are new. */
const SCAN_INTERVAL_MS = 1_000;
const BACKOFF = { baseMs: 100, capMs: 2_000 };

function peerTest(given: string) {
  const test = parsePeerTest(given);
  if (test) return test;
  throw new InvalidArgumentError(
    "It must be namespace/pod, cluster/namespace/pod, an address, a CIDR without host bits, cluster:NAME, or a label such as app=web.",
  );
}

const PROTOCOLS = ["tcp", "udp", "sctp", "icmp", "icmpv6"];

function protocolName(given: string): string {
  const isNumber = /^[0-9]{1,3}$/.test(given) && Number(given) <= 255;
  if (isNumber || PROTOCOLS.includes(given.toLowerCase())) return given;
  throw new InvalidArgumentError("It must be TCP, UDP, SCTP, ICMP, ICMPv6, or a number from 0 to 255.");
}

export function flows(): Command {
  const peers = "namespace/pod, cluster/namespace/pod, address, CIDR, cluster:NAME, or label";
  return reader("flows", "what became of packets at this machine's pods: new, dropped and changed flows")
    .option("--follow", "go on with those that come", false)
    .option("--last <n>", "how many past ones (default: 20, with --follow: 0)", wholeNumber(0, 1_000_000))
    .addOption(new Option("--verdict <verdict>", "only these").choices(VERDICTS.slice(1)))
    .addOption(new Option("--reason <reason>", "only these").choices(DROP_REASONS))
    .option("--from <x>", `only from: ${peers}`, peerTest)
    .option("--to <x>", "only to: the same", peerTest)
    .option("--port <n>", "only to this port (ICMP: type)", wholeNumber(0, 65_535))
    .option("--protocol <protocol>", "only TCP, UDP, SCTP, ICMP, ICMPv6, or another's number", protocolName)
    .option("--node <node>", "only judged on this node")
    .option("--cluster <cluster>", "only judged in this cluster")
    .action((options: FlowsOptions) => new FlowReader(options).run());
}

class FlowReader {
  readonly #options: FlowsOptions;
  /** By socket, the time of the newest flow read: where to go on after an agent's restart. */
  readonly #newest = new Map<string, string>();
  readonly #startTime = new Date(systemClock.wallMs()).toISOString();

  constructor(options: FlowsOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const stop = new AbortController();
    for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stop.abort());
    const sockets = agentsOf(await findSockets(this.#options.runDir));
    const last = this.#options.last ?? (this.#options.follow ? 0 : DEFAULT_LAST);
    if (last > 0) await this.#printLast(sockets, last, stop.signal);
    if (this.#options.follow) await this.#follow(stop.signal);
  }

  async #printLast(sockets: readonly string[], last: number, signal: AbortSignal): Promise<void> {
    const ofEach = await Promise.all(sockets.map((socket) => this.#lastOf(socket, last, signal)));
    const inOrder = ofEach.flat().sort((left, right) => (left.time < right.time ? -1 : Number(left.time > right.time)));
    for (const flow of inOrder.slice(-last)) await this.#print(flow);
  }

  /** The last matching flows that one agent has kept. */
  async #lastOf(socket: string, last: number, signal: AbortSignal): Promise<readonly Flow[]> {
    const found: Flow[] = [];
    try {
      for await (const line of followSocket(socket, FLOWS_PATH, ANSWER_TIMEOUT_MS, {}, signal)) {
        const flow = line as Flow;
        this.#note(socket, flow);
        if (!flowMatches(this.#options, flow)) continue;
        found.push(flow);
        if (found.length > 2 * last) found.splice(0, last);
      }
    } catch (error) {
      if (!signal.aborted) process.stderr.write(`${silentText({ socket, error: messageOf(error) })}\n`);
    }
    return found.slice(-last);
  }

  /** A loop for each agent that there is, and for each that comes. */
  async #follow(signal: AbortSignal): Promise<void> {
    const followed = new Map<string, Promise<void>>();
    while (!signal.aborted) {
      // The folder may be empty for a moment while an agent restarts.
      const sockets = await findSockets(this.#options.runDir).catch(() => []);
      for (const socket of agentsOf(sockets)) {
        if (!followed.has(socket)) followed.set(socket, this.#followAgent(socket, signal));
      }
      await sleep(systemClock, SCAN_INTERVAL_MS, signal);
    }
    await Promise.all(followed.values());
  }

  async #followAgent(socket: string, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(systemRandom, BACKOFF);
    let told = false;
    while (!signal.aborted) {
      try {
        for await (const line of this.#lines(socket, signal)) {
          backoff.reset();
          told = false;
          await this.#show(line, socket);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!told) process.stderr.write(`${silentText({ socket, error: messageOf(error) })}; trying again\n`);
        told = true;
      }
      if (!this.#newest.has(socket)) this.#newest.set(socket, this.#startTime);
      await sleep(systemClock, backoff.nextMs(), signal);
    }
  }

  /** The coming lines, and before them what came while nobody listened. */
  async *#lines(socket: string, signal: AbortSignal): AsyncGenerator<Flow | Lost> {
    const since = this.#newest.get(socket);
    const query = { follow: "true", ...(since === undefined && { last: "0" }) };
    for await (const line of followSocket(socket, FLOWS_PATH, ANSWER_TIMEOUT_MS, query, signal)) {
      const known = line as Flow | Lost;
      if ("lost" in known || since === undefined || known.time > since) yield known;
    }
  }

  async #show(line: Flow | Lost, socket: string): Promise<void> {
    if ("lost" in line) return this.#printLost(line.lost, socket);
    this.#note(socket, line);
    if (flowMatches(this.#options, line)) await this.#print(line);
  }

  #note(socket: string, { time }: Flow): void {
    if (time > (this.#newest.get(socket) ?? "")) this.#newest.set(socket, time);
  }

  #print(flow: Flow): Promise<void> {
    return writeLine(this.#options.json ? JSON.stringify(flow) : flowText(flow));
  }

  #printLost(lost: number, socket: string): Promise<void> {
    const agent = basename(socket, ".sock");
    if (this.#options.json) return writeLine(JSON.stringify({ lost, agent }));
    return writeLine(`! ${lost} flows of ${safeText(agent)} are left out here: they came faster than they were read`);
  }
}
