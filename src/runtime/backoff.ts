/**
 * The one retry policy: decorrelated jitter, delay = min(cap, uniform(base, 3 x previous)). It spreads a herd where a fixed
 * step keeps it together; the cap is applied last, so that no scaling can lift it.
 */
import type { Clock } from "./clock.ts";
import { sleep } from "./clock.ts";
import type { Random } from "./random.ts";

export interface BackoffSettings {
  readonly baseMs: number;
  readonly capMs: number;
}

export class Backoff {
  readonly #random: Random;
  readonly #settings: BackoffSettings;
  #previousMs: number;

  constructor(random: Random, settings: BackoffSettings) {
    this.#random = random;
    this.#settings = settings;
    this.#previousMs = settings.baseMs;
  }

  /** The next delay in milliseconds. */
  nextMs(): number {
    const { baseMs, capMs } = this.#settings;
    this.#previousMs = Math.min(capMs, baseMs + this.#random.next() * (3 * this.#previousMs - baseMs));
    return this.#previousMs;
  }

  /** Call after success. */
  reset(): void {
    this.#previousMs = this.#settings.baseMs;
  }
}

/** What a retried action may throw to say that trying again is useless. */
export interface Retryable {
  readonly retryable: boolean;
}

function isFinal(error: unknown): boolean {
  return typeof error === "object" && error !== null && "retryable" in error && error.retryable === false;
}

export interface RetryOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly backoff: BackoffSettings;
  /** Told of each failure that will be tried again. */
  readonly onFailure?: (error: unknown, delayMs: number) => void;
}

/** Runs `action` until it succeeds. Rejects when the signal aborts, or with an error whose `retryable` is false. */
export async function retry<T>(options: RetryOptions, action: () => Promise<T>): Promise<T> {
  const backoff = new Backoff(options.random, options.backoff);
  for (;;) {
    options.signal.throwIfAborted();
    try {
      return await action();
    } catch (error) {
      if (isFinal(error) || options.signal.aborted) throw error;
      const delayMs = backoff.nextMs();
      options.onFailure?.(error, delayMs);
      await sleep(options.clock, delayMs, options.signal);
    }
  }
}
