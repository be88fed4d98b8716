/**
 * A circuit breaker (opossum) around an attempt that either reaches a goal or fails: connect + handshake + list of one remote.
 * Open, it refuses at once; each reopening waits a decorrelated-jitter delay that grows to its cap, then lets one attempt through.
 */
import CircuitBreaker from "opossum";
import type { BackoffSettings } from "./backoff.ts";
import { Backoff } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

/** Failures are weighed against attempts over this window. */
const WINDOW_MS = 10 * 60_000;
const OPEN_ABOVE_PERCENT = 50;

export interface BreakerSettings {
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Opens when at least this many attempts were made in ten minutes and more than half of them failed. */
  readonly failureThreshold: number;
  /** How long it stays open. */
  readonly backoff: BackoffSettings;
}

export class BreakerOpenError extends Error {
  override readonly name = "BreakerOpenError";
  readonly retryable = true;
}

export class Breaker<T> {
  readonly #circuit: CircuitBreaker<T>;
  readonly #settings: BreakerSettings;
  #failures = 0;
  #openUntilMs = 0;

  constructor(settings: BreakerSettings, action: () => Promise<T>) {
    this.#settings = settings;
    const backoff = new Backoff(settings.random, settings.backoff);
    this.#circuit = new CircuitBreaker(action, {
      name: settings.name,
      timeout: false,
      volumeThreshold: settings.failureThreshold,
      errorThresholdPercentage: OPEN_ABOVE_PERCENT,
      rollingCountTimeout: WINDOW_MS,
      rollingCountBuckets: 10,
      rollingPercentilesEnabled: false,
      resetTimeout: settings.backoff.baseMs,
    });
    this.#circuit.on("failure", () => {
      this.#failures++;
      this.#circuit.options.resetTimeout = backoff.nextMs();
    });
    this.#circuit.on("open", () => {
      this.#openUntilMs = settings.clock.nowMs() + this.#circuit.options.resetTimeout;
    });
    this.#circuit.on("close", () => backoff.reset());
  }

  get state(): "closed" | "half-open" | "open" {
    if (this.#circuit.halfOpen) return "half-open";
    return this.#circuit.opened ? "open" : "closed";
  }

  /** Failed attempts since the breaker was made. */
  get failures(): number {
    return this.#failures;
  }

  /** Milliseconds until an attempt is let through; 0 when it would be now. */
  waitMs(): number {
    return this.state === "open" ? Math.max(1, this.#openUntilMs - this.#settings.clock.nowMs()) : 0;
  }

  /** Makes an attempt. Rejects with its error, or with BreakerOpenError without trying. */
  async fire(): Promise<T> {
    if (this.state === "open") throw new BreakerOpenError(`${this.#settings.name}: breaker is open`);
    return await this.#circuit.fire();
  }

  /** Ends its timers. */
  stop(): void {
    this.#circuit.shutdown();
  }
}
