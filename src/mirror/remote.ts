/** One configured remote for as long as the process runs: tries, watches, and tries again; a breaker paces the tries. */
import type { KvClient } from "../kv/client.ts";
import type { RemoteStatus } from "../model/status.ts";
import { FenceLostError, type Publisher } from "../publish/publisher.ts";
import { Backoff, type BackoffSettings } from "../runtime/backoff.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import type { ListGate } from "./list-gate.ts";
import { type Reached, RemoteRefusedError, reach } from "./reach.ts";
import { type AgeLimits, type BreakerView, RemoteRecord } from "./record.ts";
import { Session } from "./session.ts";

/** What src/runtime/breaker.ts gives: the part that is used here. */
export interface AttemptBreaker<T> extends BreakerView {
  fire(): Promise<T>;
  /** Until a try is let through. */
  waitMs(): number;
  stop(): void;
}

export type NewBreaker = <T>(name: string, action: () => Promise<T>) => AttemptBreaker<T>;

export interface MirrorLimits extends AgeLimits {
  /** Keys per page. */
  readonly pageSize: number;
  /** Full lists at once, over all remotes. */
  readonly maxConcurrentLists: number;
  /** Of one remote: with more it is not mirrored, and what is cached of it stays. */
  readonly maxRemoteKeys: number;
  readonly maxRemoteBytes: number;
  readonly progressIntervalMs: number;
  readonly progressTimeoutMs: number;
  /** Pauses that no breaker paces: after a watch that had lasted, and while the local etcd does not answer. */
  readonly backoff: BackoffSettings;
  /** Pauses after lists that were followed by no lasting watch: as dear as failures, though the breaker saw them succeed. */
  readonly redial: BackoffSettings;
}

export interface RemoteOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly limits: MirrorLimits;
  readonly newBreaker: NewBreaker;
  readonly gate: ListGate;
  readonly refuseId: (name: string, id: number) => string | undefined;
}

/** How to reach a remote, as its configuration file says. */
export type Dial = () => Promise<KvClient>;

/** What a term of leadership brings. */
export interface Writing {
  readonly publisher: Publisher;
  /** The local etcd, to read. */
  readonly local: KvClient;
  readonly signal: AbortSignal;
}

export class Remote {
  readonly name: string;
  readonly record: RemoteRecord;
  readonly #options: RemoteOptions;
  readonly #backoff: Backoff;
  readonly #redial: Backoff;
  #dial: Dial | undefined;
  #breaker: AttemptBreaker<Reached>;
  /** Aborts whatever follows the present configuration. */
  #configured = new AbortController();
  /** The last try reached the remote and did not last. */
  #fleeting = false;
  #attemptSignal = new AbortController().signal;
  /** Why there is no configuration. */
  #absence = "no configuration file: its state stays as it is and ages";

  constructor(name: string, options: RemoteOptions) {
    this.name = name;
    this.#options = options;
    this.record = new RemoteRecord(name);
    this.#backoff = new Backoff(options.random, options.limits.backoff);
    this.#redial = new Backoff(options.random, options.limits.redial);
    this.#breaker = this.#newBreaker();
  }

  /** Connects, or connects anew, in the way of a new configuration. */
  configure(dial: Dial): void {
    this.#reconfigure(dial);
  }

  /** The newest configuration is no good: the one before stays in force. */
  refuseFile(line: string): void {
    this.record.fileFault = line;
    if (this.#dial === undefined) this.record.phase = "refused";
  }

  /** Nothing is withdrawn: that needs more than a missing file. */
  unconfigure(): void {
    this.#absence = "its configuration file was removed: its state stays as it is and ages (nothing is withdrawn)";
    this.#reconfigure(undefined);
  }

  #reconfigure(dial: Dial | undefined): void {
    this.#dial = dial;
    this.record.fileFault = undefined;
    this.record.refusal = undefined;
    this.#breaker.stop();
    this.#breaker = this.#newBreaker();
    this.#lasted();
    this.#configured.abort();
    this.#configured = new AbortController();
  }

  #newBreaker(): AttemptBreaker<Reached> {
    return this.#options.newBreaker(this.name, () => this.#reach());
  }

  status(): RemoteStatus {
    return this.record.status(this.#options.clock.nowMs(), this.#options.limits, this.#breaker);
  }

  /** Whether a first try has ended, well or not. */
  get tried(): boolean {
    return this.record.synced || this.record.lastError !== undefined || this.record.fileFault !== undefined;
  }

  /** Mirrors for the length of a term. Resolves when its signal aborts; never rejects. */
  async mirror(writing: Writing): Promise<void> {
    while (!writing.signal.aborted) {
      const configured = this.#configured.signal;
      const signal = AbortSignal.any([writing.signal, configured]);
      if (this.#dial === undefined) await this.#idle(signal);
      else await this.#attempt(writing, signal);
      await this.#pause(signal);
    }
    this.record.phase = "idle";
  }

  /** The remote was followed for a while. */
  #lasted(): void {
    this.#fleeting = false;
    this.#backoff.reset();
    this.#redial.reset();
  }

  async #pause(signal: AbortSignal): Promise<void> {
    let delayMs = this.#fleeting ? this.#redial.nextMs() : this.#backoff.nextMs();
    this.#fleeting = false;
    // The breaker's own timer may be a little later than its word.
    while (!signal.aborted && delayMs > 0) {
      await sleep(this.#options.clock, Math.max(delayMs, this.#breaker.waitMs()), signal);
      delayMs = this.#breaker.waitMs();
    }
  }

  async #idle(signal: AbortSignal): Promise<void> {
    this.record.phase = this.record.fileFault === undefined ? "idle" : "refused";
    this.record.lastError = this.#absence;
    if (signal.aborted) return;
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }

  async #attempt(writing: Writing, signal: AbortSignal): Promise<void> {
    const { record } = this;
    this.#attemptSignal = signal;
    try {
      const session = this.#session(writing, await this.#breaker.fire());
      this.#fleeting = true;
      record.refusal = undefined;
      record.lastError = undefined;
      try {
        const ended = await session.run(signal);
        if (!signal.aborted) this.#lost(ended);
      } finally {
        record.connected = false;
        session.close();
      }
    } catch (error) {
      if (!signal.aborted) this.#failed(error);
    }
    if (!signal.aborted && record.phase !== "refused") record.phase = "idle";
  }

  #reach(): Promise<Reached> {
    const { clock, gate, limits, refuseId } = this.#options;
    const dial = this.#dial;
    if (dial === undefined) return Promise.reject(new RemoteRefusedError(this.#absence));
    return reach({
      name: this.name,
      record: this.record,
      connect: dial,
      refuseId: (id) => refuseId(this.name, id),
      gate,
      clock,
      signal: this.#attemptSignal,
      pageSize: limits.pageSize,
      maxKeys: limits.maxRemoteKeys,
      maxBytes: limits.maxRemoteBytes,
    });
  }

  #session(writing: Writing, reached: Reached): Session {
    const { clock, random, log, metrics, limits } = this.#options;
    return new Session(reached, {
      ...limits,
      record: this.record,
      publisher: writing.publisher.scope(this.name),
      local: writing.local,
      clock,
      random,
      log,
      metrics,
      lasted: () => this.#lasted(),
    });
  }

  #lost(detail: string): void {
    this.record.lastError = detail;
    this.#options.log.info({ remote: this.name, reason: detail }, "remote left");
  }

  #failed(error: unknown): void {
    if (error instanceof FenceLostError) return;
    const line = messageOf(error);
    this.record.lastError = line;
    if (error instanceof RemoteRefusedError) {
      this.record.refusal = line;
      this.record.phase = "refused";
    }
    this.#options.log.warn({ remote: this.name, reason: line }, "remote not reached");
  }

  stop(): void {
    this.#breaker.stop();
  }
}
