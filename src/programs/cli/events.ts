/** `bulkhead events`: what happened in the whole mesh, from the stream that any program of this machine reads. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { EVENTS_PATH } from "../../events/read.ts";
import { clusterNameFault } from "../../model/cluster.ts";
import { EVENT_KINDS, type EventLine, type MeshEvent } from "../../model/event.ts";
import type { ProgramStatus } from "../../model/status.ts";
import { eventText, LostEvents, lostText } from "../../report/events.ts";
import { safeText } from "../../report/text.ts";
import { Backoff } from "../../runtime/backoff.ts";
import { sleep, systemClock } from "../../runtime/clock.ts";
import { systemRandom } from "../../runtime/random.ts";
import { messageOf, UserError } from "../../runtime/user-error.ts";
import { followSocket, type Query } from "../../serve/ask.ts";
import { ANSWER_TIMEOUT_MS, askEach, findSockets } from "../../serve/sockets.ts";
import { type ReadOptions, reader, span, writeLine } from "./output.ts";

interface EventsOptions extends ReadOptions {
  readonly since?: number;
  readonly cluster?: string;
  readonly kind?: string;
  readonly follow: boolean;
}

const DEFAULT_SINCE_MS = 3_600_000;
const BACKOFF = { baseMs: 100, capMs: 2_000 };
const NOBODY = "no program below --run-dir tells events: start them with --nats-url";

function clusterName(given: string): string {
  const fault = clusterNameFault(given);
  if (fault === undefined) return given;
  throw new InvalidArgumentError(`A cluster's name ${fault}.`);
}

export function events(): Command {
  return reader("events", "what happened in the whole mesh: breakers, grades, holds, rejections, leaders, restarts ...")
    .option("--since <age>", "those of the last 30s, 10m, 2h, 7d (default: 1h, with --follow: none)", span)
    .option("--cluster <cluster>", "only told by programs of this cluster", clusterName)
    .addOption(new Option("--kind <kind>", "only these").choices(EVENT_KINDS))
    .option("--follow", "go on with those that come", false)
    .addHelpText("after", "\nWith --json: a record a line.")
    .action((options: EventsOptions) => new EventReader(options).run());
}

class EventReader {
  readonly #options: EventsOptions;
  readonly #lost = new LostEvents();
  readonly #start: Query;
  /** Position of the last line, where to go on. */
  #after: number | undefined;
  readonly #startMs = systemClock.wallMs();

  constructor(options: EventsOptions) {
    this.#options = options;
    const { since, cluster, kind, follow } = options;
    this.#start = {
      sinceMs: String(since ?? (follow ? 0 : DEFAULT_SINCE_MS)),
      ...(cluster !== undefined && { cluster }),
      ...(kind !== undefined && { kind }),
      ...(follow && { follow: "true" }),
    };
  }

  async run(): Promise<void> {
    const stop = new AbortController();
    for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stop.abort());
    if (this.#options.follow) return this.#follow(stop.signal);
    const error = await this.#read(await this.#socket(), stop.signal).catch(messageOf);
    if (error !== undefined && !stop.signal.aborted) throw new UserError(`events cannot be read: ${error}`);
  }

  /** Goes on by another program, or after NATS was away, where it was. */
  async #follow(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(systemRandom, BACKOFF);
    let told = false;
    // What makes no sense now is said at once; what fails later may come back.
    let socket: string | undefined = await this.#socket();
    while (!signal.aborted) {
      const before = this.#after;
      const error = socket === undefined ? NOBODY : await this.#read(socket, signal).catch(messageOf);
      if (signal.aborted) return;
      if (this.#after !== before) {
        told = false;
        backoff.reset();
      }
      if (!told)
        process.stderr.write(`! events cannot be read: ${safeText(error ?? "the program ended")}; trying again\n`);
      told = true;
      await sleep(systemClock, backoff.nextMs(), signal);
      socket = await this.#socket().catch(() => undefined);
    }
  }

  /** A program that reads the stream, one that is connected if there is. */
  async #socket(): Promise<string> {
    const { answered } = await askEach<ProgramStatus>(await findSockets(this.#options.runDir), "/v1/status");
    const telling = answered.filter(({ answer }) => answer.events !== undefined);
    const best = telling.find(({ answer }) => answer.events?.connected) ?? telling[0];
    if (best) return best.socket;
    throw new UserError(NOBODY);
  }

  /** Prints until there is no more; the result is what failed. */
  async #read(socket: string, signal: AbortSignal): Promise<string | undefined> {
    for await (const line of followSocket(socket, EVENTS_PATH, ANSWER_TIMEOUT_MS, this.#query(), signal)) {
      const known = line as EventLine;
      if ("error" in known) return known.error;
      this.#after = known.sequence;
      await ("event" in known ? this.#print(known.event) : this.#printRefused(known.refused));
    }
    return undefined;
  }

  #query(): Query {
    const { sinceMs, ...others } = this.#start;
    if (this.#after !== undefined) return { ...others, after: String(this.#after) };
    // While nothing came, the start stays where it was.
    return { ...others, sinceMs: String(Number(sinceMs) + Math.round(systemClock.wallMs() - this.#startMs)) };
  }

  async #print(event: MeshEvent): Promise<void> {
    const lost = this.#lost.before(event);
    if (this.#options.json) return writeLine(JSON.stringify(event));
    if (lost > 0) await writeLine(lostText(event, lost));
    await writeLine(eventText(event));
  }

  /** Somebody wrote into the stream what is no event: said on standard error, so that a list of events stays one. */
  async #printRefused(refused: string): Promise<void> {
    process.stderr.write(`! left out: ${safeText(refused)}\n`);
  }
}
