/** One program's events from its start to its end: what it is connected with, who looks, who sends. */
import type { BusClient } from "../bus/client.ts";
import type { Emitter, EventDraft, EventLine, EventsStatus } from "../model/event.ts";
import { type Clock, every } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import { EVENT_STREAM, EVENT_SUBJECTS } from "../wire/event.ts";
import { Observer, type Seen } from "./observer.ts";
import { eventLines } from "./read.ts";
import { Reporter } from "./reporter.ts";

export interface TellingSettings {
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
  readonly eventsIntervalMs: number;
  readonly eventsMaxWaiting: number;
  readonly eventsMaxWaitingBytes: number;
  readonly eventsStreamMaxBytes: number;
  readonly eventsStreamMaxAgeMs: number;
  readonly eventsDuplicateWindowMs: number;
}

export interface TellingOptions {
  /** Absent: nothing is told. */
  readonly bus: BusClient | undefined;
  readonly emitter: Emitter;
  readonly settings: TellingSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export class Telling {
  readonly #options: TellingOptions;
  readonly #reporter: Reporter | undefined;

  constructor(options: TellingOptions) {
    this.#options = options;
    const { bus, settings } = options;
    const { backoffBaseMs: baseMs, backoffCapMs: capMs } = settings;
    const limits = { maxWaiting: settings.eventsMaxWaiting, maxWaitingBytes: settings.eventsMaxWaitingBytes };
    this.#reporter =
      bus && new Reporter({ ...options, bus, stream: streamOf(settings), limits, backoff: { baseMs, capMs } });
  }

  /** Tells that the program started, and then what `seen` shows, until the signal aborts. Returns at once; nothing waits for it. */
  start(seen: () => Seen, signal: AbortSignal): void {
    const reporter = this.#reporter;
    if (reporter === undefined) return;
    const { clock, emitter, settings } = this.#options;
    const observer = new Observer(emitter.program);
    const { program } = emitter;
    const pid = process.pid;
    this.emit({ kind: "restart", severity: "info", line: `${program} started`, details: { pid } });
    every(clock, settings.eventsIntervalMs, signal, () => {
      for (const draft of observer.look(seen(), clock.nowMs())) this.emit(draft);
    });
    void reporter.run(signal);
  }

  /** Never waits and never fails. */
  emit(draft: EventDraft): void {
    this.#reporter?.emit(draft);
  }

  /** What a program's status says of it. */
  status(): { readonly events?: EventsStatus } {
    return this.#reporter ? { events: this.#reporter.status() } : {};
  }

  /** What EVENTS_PATH streams. */
  lines(query: ReadonlyMap<string, string>, signal: AbortSignal): AsyncIterable<EventLine> {
    return eventLines(this.#options.bus, this.#options.clock, query, signal);
  }
}

function streamOf(settings: TellingSettings) {
  const { eventsStreamMaxAgeMs: maxAgeMs, eventsDuplicateWindowMs } = settings;
  return {
    name: EVENT_STREAM,
    subjects: [EVENT_SUBJECTS],
    maxBytes: settings.eventsStreamMaxBytes,
    maxAgeMs,
    duplicateWindowMs: Math.min(eventsDuplicateWindowMs, maxAgeMs),
  };
}
