/**
 * Tells the mesh's stream what happens in this program. `emit` never waits and never fails: events wait in a bounded spool until the stream
 * has them, and what does not fit is counted as lost. Each is sent until it is acknowledged, under an id by which the stream takes it once.
 */
import type { BusClient, StreamSettings } from "../bus/client.ts";
import {
  type Emitter,
  EVENT_VERSION,
  type EventDraft,
  type EventsStatus,
  type MeshEvent,
  type Severity,
} from "../model/event.ts";
import { Backoff, type BackoffSettings } from "../runtime/backoff.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Counter, Gauge, Metrics } from "../runtime/metrics.ts";
import { below, type Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { boundDraft, encodeEvent, eventSubject } from "../wire/event.ts";
import { Spool, type SpoolLimits, type Waiting } from "./spool.ts";

/** Sent at once, and so the most whose fate may be unknown. */
const IN_FLIGHT = 64;
/** Silence after which the stream is asked for again. */
const IDLE_MS = 5_000;

export interface ReporterOptions {
  readonly bus: BusClient;
  readonly stream: StreamSettings;
  readonly emitter: Emitter;
  readonly limits: SpoolLimits;
  readonly backoff: BackoffSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

interface Made extends Waiting {
  readonly event: Omit<MeshEvent, "lost">;
}

export class Reporter {
  readonly #options: ReporterOptions;
  readonly #spool: Spool<Made>;
  readonly #run: string;
  #made = 0;
  #sent = 0;
  #lost = 0;
  #connected = false;
  #error: string | undefined;
  /** Wakes the sender. */
  #wake: () => void = () => undefined;
  readonly #emitted: Counter;
  readonly #accepted: Counter;
  readonly #givenUp: Counter;
  readonly #connections: Gauge;
  readonly #waiting: Gauge;

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#spool = new Spool(options.limits);
    this.#run = runOf(options.random);
    const { metrics } = options;
    this.#emitted = metrics.counter("bulkhead_events_emitted_total", "Events made.", ["kind"]);
    this.#accepted = metrics.counter("bulkhead_events_sent_total", "Events that the stream has.");
    this.#givenUp = metrics.counter("bulkhead_events_lost_total", "Events given up because too many waited.", [
      "severity",
    ]);
    this.#connections = metrics.gauge("bulkhead_events_connected", "1 while NATS takes events.");
    this.#waiting = metrics.gauge("bulkhead_events_waiting", "Events that wait for NATS.");
    this.#connections.set(0);
  }

  emit(draft: EventDraft): void {
    const { emitter, clock } = this.#options;
    const number = ++this.#made;
    const event = {
      ...boundDraft(draft),
      version: EVENT_VERSION,
      id: `${this.#run}-${number}`,
      time: new Date(clock.wallMs()).toISOString(),
      ...emitter,
    } as const;
    const bytes = encodeEvent({ ...event, lost: 0 }).length;
    this.#emitted.add(1, { kind: draft.kind });
    for (const gone of this.#spool.add({ number, severity: draft.severity, bytes, event })) this.#lose(gone.severity);
    this.#waiting.set(this.#spool.size);
    this.#wake();
  }

  /** Sends until the signal aborts; never rejects. What waits then is gone with the program, and said in its log. */
  async run(signal: AbortSignal): Promise<void> {
    const { bus, clock, random, log, backoff: settings } = this.#options;
    const backoff = new Backoff(random, settings);
    while (!signal.aborted) {
      try {
        await this.#sendAll(signal, backoff);
      } catch (error) {
        const delayMs = backoff.nextMs();
        if (this.#error === undefined) log.info({ reason: messageOf(error) }, "events wait: NATS does not take them");
        this.#note(false, messageOf(error));
        await sleep(clock, delayMs, signal);
      }
    }
    if (this.#spool.size > 0) log.info({ events: this.#spool.size }, "events not sent");
    bus.close();
  }

  status(): EventsStatus {
    return {
      connected: this.#connected,
      emitted: this.#made,
      sent: this.#sent,
      lost: this.#lost,
      waiting: this.#spool.size,
      ...(this.#error !== undefined && { error: this.#error }),
    };
  }

  /** Until something fails. The stream is asked for whenever nothing was sent for a while: whoever looks at the status is told the truth. */
  async #sendAll(signal: AbortSignal, backoff: Backoff): Promise<void> {
    await this.#options.bus.ensureStream(this.#options.stream);
    while (!signal.aborted) {
      const batch = this.#spool.take(IN_FLIGHT);
      const outcomes = await Promise.allSettled(batch.map((made) => this.#send(made)));
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
      this.#note(true, undefined);
      backoff.reset();
      if (this.#spool.size > 0) continue;
      const idle = await this.#something(signal);
      if (idle) await this.#options.bus.reach(this.#options.stream.name);
    }
  }

  async #send(made: Made): Promise<void> {
    const { cluster, kind, id } = made.event;
    const data = encodeEvent({ ...made.event, lost: this.#lost });
    await this.#options.bus.publish({ subject: eventSubject(cluster, kind), id, data });
    this.#spool.settle(made);
    this.#waiting.set(this.#spool.size);
    this.#sent++;
    this.#accepted.add();
  }

  /** Resolves to true when nothing was emitted for a while. */
  #something(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (idle: boolean): void => {
        timer.cancel();
        this.#wake = () => undefined;
        signal.removeEventListener("abort", aborted);
        resolve(idle);
      };
      const aborted = (): void => done(false);
      const timer = this.#options.clock.after(IDLE_MS, () => done(true));
      this.#wake = aborted;
      signal.addEventListener("abort", aborted, { once: true });
      if (signal.aborted) done(false);
    });
  }

  #lose(severity: Severity): void {
    this.#lost++;
    this.#givenUp.add(1, { severity });
  }

  #note(connected: boolean, error: string | undefined): void {
    this.#connected = connected;
    this.#connections.set(connected ? 1 : 0);
    this.#error = error;
  }
}

/** 64 random bits in hex: no two runs of any program share them. */
function runOf(random: Random): string {
  const half = (): string =>
    below(random, 2 ** 32)
      .toString(16)
      .padStart(8, "0");
  return half() + half();
}
