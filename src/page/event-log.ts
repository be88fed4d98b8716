/** Follows the mesh's events as `bulkhead events --follow` does, by the admin socket of one program, and keeps as many as the page shows. */
import { EVENTS_PATH } from "../events/read.ts";
import type { EventLine, MeshEvent } from "../model/event.ts";
import type { PageEvents } from "../report/page.ts";
import { Backoff } from "../runtime/backoff.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { followSocket, type Query } from "../serve/ask.ts";
import { ANSWER_TIMEOUT_MS } from "../serve/sockets.ts";

const STEP_MS = 30_000;
/** An hour of them. */
const STEPS = 120;
const MOST_RECENT = 200;
const MOST_DRILLS = 50;
const BACKOFF = { baseMs: 500, capMs: 5_000 };

export interface EventLogOptions {
  /** Admin socket of a program that reads the stream. */
  readonly socket: string;
  readonly clock: Clock;
  readonly random: Random;
}

export class EventLog {
  readonly #options: EventLogOptions;
  /** Newest first. */
  #recent: readonly MeshEvent[] = [];
  #drills: readonly MeshEvent[] = [];
  /** Number of a step since 1970 -> events told in it. */
  readonly #counts = new Map<number, number>();
  #after: number | undefined;
  #error: string | undefined;

  constructor(options: EventLogOptions) {
    this.#options = options;
  }

  /** Reads until the signal aborts; goes on where it was when NATS, or the program, was away. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    const backoff = new Backoff(random, BACKOFF);
    while (!signal.aborted) {
      const before = this.#after;
      this.#error = await this.#read(signal).catch(messageOf);
      if (this.#after !== before) backoff.reset();
      await sleep(clock, backoff.nextMs(), signal);
    }
  }

  /** @param told whether the program tells events at all: without NATS nobody does. */
  view(told: boolean, wallMs: number): PageEvents {
    const last = Math.floor(wallMs / STEP_MS);
    for (const step of this.#counts.keys()) if (step <= last - STEPS) this.#counts.delete(step);
    const counts = Array.from({ length: STEPS }, (_, at) => this.#counts.get(last - STEPS + 1 + at) ?? 0);
    const kept = { recent: this.#recent, drills: this.#drills };
    const rate = { stepMs: STEP_MS, endMs: (last + 1) * STEP_MS, counts };
    if (!told) return { source: "none", ...kept, rate };
    return this.#error === undefined
      ? { source: "read", ...kept, rate }
      : { source: "away", error: this.#error, ...kept, rate };
  }

  async #read(signal: AbortSignal): Promise<string> {
    const { socket } = this.#options;
    for await (const line of followSocket(socket, EVENTS_PATH, ANSWER_TIMEOUT_MS, this.#query(), signal)) {
      const known = line as EventLine;
      if ("error" in known) return known.error;
      this.#error = undefined;
      this.#after = known.sequence;
      if ("event" in known) this.#keep(known.event);
    }
    return "the program ended";
  }

  #query(): Query {
    const from = this.#after === undefined ? { sinceMs: String(STEPS * STEP_MS) } : { after: String(this.#after) };
    return { ...from, follow: "true" };
  }

  #keep(event: MeshEvent): void {
    const step = Math.floor(Date.parse(event.time) / STEP_MS);
    const now = Math.floor(this.#options.clock.wallMs() / STEP_MS);
    // Clocks of others may be wrong: what is not of this hour is shown, and not counted.
    if (step > now - STEPS && step <= now) this.#counts.set(step, (this.#counts.get(step) ?? 0) + 1);
    this.#recent = [event, ...this.#recent].slice(0, MOST_RECENT);
    if (event.kind === "drill") this.#drills = [event, ...this.#drills].slice(0, MOST_DRILLS);
  }
}
