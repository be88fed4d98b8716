/** Any NATS client, with faults between it and its user: delays, refusals, lost acknowledgements, silence, broken reads. */
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import {
  type BusClient,
  BusError,
  type BusMessage,
  type Published,
  type ReadRequest,
  type StoredMessage,
  type StreamSettings,
} from "./client.ts";

/** Shares are 0..1, of calls or of messages read. */
export interface BusFaults {
  /** Each call is delayed by up to this. */
  readonly maxDelayMs: number;
  /** Share of calls that fail without being applied. The caller cannot know that. */
  readonly refused: number;
  /** Share of calls that are applied and then fail. */
  readonly lostAnswers: number;
  /** Share of messages in whose place a read breaks off. */
  readonly brokenReads: number;
  /** A half-open connection: nothing arrives, calls fail at their deadline. */
  readonly silent: boolean;
}

const NO_FAULTS: BusFaults = { maxDelayMs: 0, refused: 0, lostAnswers: 0, brokenReads: 0, silent: false };

export interface FaultyBusOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** When a call that gets no answer fails. */
  readonly timeoutMs: number;
}

export class FaultyBus implements BusClient {
  readonly #client: BusClient;
  readonly #options: FaultyBusOptions;
  #faults = NO_FAULTS;

  constructor(client: BusClient, options: FaultyBusOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** Replaces the faults, from now on. */
  inject(faults: Partial<BusFaults>): void {
    this.#faults = { ...NO_FAULTS, ...faults };
  }

  ensureStream(settings: StreamSettings): Promise<void> {
    return this.#call(() => this.#client.ensureStream(settings));
  }

  reach(stream: string): Promise<void> {
    return this.#call(() => this.#client.reach(stream));
  }

  publish(message: BusMessage): Promise<Published> {
    return this.#call(() => this.#client.publish(message));
  }

  async *read(request: ReadRequest, signal: AbortSignal): AsyncGenerator<StoredMessage> {
    for await (const message of this.#client.read(request, signal)) {
      if (this.#options.random.next() < this.#faults.brokenReads) throw new BusError("injected: read broken");
      yield message;
    }
  }

  close(): void {
    this.#client.close();
  }

  async #call<T>(run: () => Promise<T>): Promise<T> {
    const { maxDelayMs, refused, lostAnswers, silent } = this.#faults;
    const { clock, random, timeoutMs } = this.#options;
    const [delay, refusal, loss] = [random.next(), random.next(), random.next()];
    if (maxDelayMs > 0) await sleep(clock, delay * maxDelayMs);
    if (silent) {
      await sleep(clock, timeoutMs);
      throw new BusError("injected: silence");
    }
    if (refusal < refused) throw new BusError("injected: refused");
    const value = await run();
    if (loss < lostAnswers) throw new BusError("injected: answer lost");
    return value;
  }
}
