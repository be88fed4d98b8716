/** A model of one NATS server with JetStream in memory, behind the same door: what it takes, refuses as known, forgets by its limits. */
import type { Clock } from "../runtime/clock.ts";
import {
  type BusClient,
  BusError,
  type BusMessage,
  type Published,
  type ReadRequest,
  type StoredMessage,
  type StreamSettings,
  subjectMatches,
} from "./client.ts";

interface Kept extends StoredMessage {
  readonly id: string;
  readonly wallMs: number;
}

export class MemoryNats {
  readonly #clock: Clock;
  #settings: StreamSettings | undefined;
  #kept: Kept[] = [];
  #sequence = 0;
  #running = true;
  /** Told when something comes, and when the server stops. */
  readonly #readers = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  client(): BusClient {
    return new MemoryBus(this);
  }

  /** As kill -9: what was taken stays. */
  stop(): void {
    this.#running = false;
    for (const wake of this.#readers) wake();
  }

  start(): void {
    this.#running = true;
  }

  /** What the stream holds. */
  get messages(): readonly StoredMessage[] {
    return this.#kept;
  }

  ensure(settings: StreamSettings): void {
    this.answer();
    this.#settings = settings;
    this.#expire(settings);
  }

  reach(stream: string): void {
    this.answer();
    if (stream !== this.#settings?.name) throw new BusError("stream not found");
  }

  publish({ subject, id, data }: BusMessage): Published {
    this.answer();
    const settings = this.#settings;
    if (!settings?.subjects.some((pattern) => subjectMatches(pattern, subject))) throw new BusError("no responders");
    const wallMs = this.#clock.wallMs();
    const known = this.#kept.find((kept) => kept.id === id && wallMs - kept.wallMs < settings.duplicateWindowMs);
    if (known) return { sequence: known.sequence, duplicate: true };
    this.#kept.push({ subject, id, data, wallMs, sequence: ++this.#sequence });
    this.#expire(settings);
    for (const wake of this.#readers) wake();
    return { sequence: this.#sequence, duplicate: false };
  }

  /** The first message after `sequence` that is asked for. */
  next({ stream, subject, from }: ReadRequest, sequence: number): StoredMessage | undefined {
    this.reach(stream);
    return this.#kept.find(
      (kept) =>
        kept.sequence > sequence &&
        (from === undefined || ("sequence" in from ? kept.sequence >= from.sequence : kept.wallMs >= from.wallMs)) &&
        subjectMatches(subject, kept.subject),
    );
  }

  /** Resolves when there may be more to read, or the server stopped. */
  more(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#readers.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#readers.add(wake);
      signal.addEventListener("abort", wake, { once: true });
      if (signal.aborted) wake();
    });
  }

  /** Throws when nobody answers. */
  answer(): void {
    if (!this.#running) throw new BusError("connection refused");
  }

  #expire({ maxBytes, maxAgeMs }: StreamSettings): void {
    const oldestMs = this.#clock.wallMs() - maxAgeMs;
    this.#kept = this.#kept.filter(({ wallMs }) => wallMs > oldestMs);
    let bytes = this.#kept.reduce((sum, { data }) => sum + data.length, 0);
    while (bytes > maxBytes) bytes -= this.#kept.shift()?.data.length ?? 0;
  }
}

class MemoryBus implements BusClient {
  readonly #server: MemoryNats;
  readonly #closed = new AbortController();

  constructor(server: MemoryNats) {
    this.#server = server;
  }

  async ensureStream(settings: StreamSettings): Promise<void> {
    this.#open();
    this.#server.ensure(settings);
  }

  async reach(stream: string): Promise<void> {
    this.#open();
    this.#server.reach(stream);
  }

  async publish(message: BusMessage): Promise<Published> {
    this.#open();
    return this.#server.publish(message);
  }

  async *read(request: ReadRequest, signal: AbortSignal): AsyncGenerator<StoredMessage> {
    this.#open();
    const either = AbortSignal.any([signal, this.#closed.signal]);
    let sequence = 0;
    while (!signal.aborted) {
      const message = this.#server.next(request, sequence);
      if (message) {
        sequence = message.sequence;
        yield message;
      } else {
        if (!request.follow) return;
        await this.#server.more(either);
        this.#open();
      }
    }
  }

  close(): void {
    this.#closed.abort();
  }

  #open(): void {
    if (this.#closed.signal.aborted) throw new BusError("closed");
  }
}
