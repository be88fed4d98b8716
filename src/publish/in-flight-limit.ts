/**
 * How many Txns of the bulk lane may be on their way: one more each round trip while answers are quick, half as many once they are slow (additive
 * increase, multiplicative decrease). Quick is measured against the lowest latency of the last minute. Synchronous.
 */
import type { Clock } from "../runtime/clock.ts";

/** An answer is slow that took more than `SLOW_RATIO` times the lowest latency, and `SLACK_MS` beside: a busy machine is no congestion. */
const SLOW_RATIO = 2;
const SLACK_MS = 50;
/** The lowest latency is that of this window and of the one before. */
const WINDOW_MS = 30_000;

/** A Txn on its way: when it was sent, and what had happened to the limit by then. */
export interface Sent {
  readonly atMs: number;
  readonly raises: number;
  readonly halvings: number;
}

export class InFlightLimit {
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #most: number;
  #allowed = 1;
  #raises = 0;
  #halvings = 0;
  #windowStartMs: number;
  #lowestMs = Number.POSITIVE_INFINITY;
  #lowestBeforeMs = Number.POSITIVE_INFINITY;

  /** @param most at least 1. */
  constructor(clock: Pick<Clock, "nowMs">, most: number) {
    this.#clock = clock;
    this.#most = most;
    this.#windowStartMs = clock.nowMs();
  }

  /** From 1 to `most`. It begins with 1: what is asked alone says how quick an answer can be. */
  get allowed(): number {
    return this.#allowed;
  }

  /** A Txn is sent now: to be handed back when it is answered, or failed. */
  sent(): Sent {
    return { atMs: this.#clock.nowMs(), raises: this.#raises, halvings: this.#halvings };
  }

  answered(sent: Sent): void {
    const nowMs = this.#clock.nowMs();
    const latencyMs = nowMs - sent.atMs;
    this.#note(latencyMs, nowMs);
    if (latencyMs > SLOW_RATIO * Math.min(this.#lowestMs, this.#lowestBeforeMs) + SLACK_MS) this.failed(sent);
    else if (sent.raises === this.#raises && sent.halvings === this.#halvings && this.#allowed < this.#most) {
      this.#allowed++;
      this.#raises++;
    }
  }

  /** It was answered late, or not at all. What was sent before a halving says nothing of what that did. */
  failed({ halvings }: Sent): void {
    if (halvings !== this.#halvings) return;
    this.#allowed = Math.max(1, Math.floor(this.#allowed / 2));
    this.#halvings++;
  }

  #note(latencyMs: number, nowMs: number): void {
    if (nowMs - this.#windowStartMs >= WINDOW_MS) {
      this.#lowestBeforeMs = this.#lowestMs;
      this.#lowestMs = Number.POSITIVE_INFINITY;
      this.#windowStartMs = nowMs;
    }
    this.#lowestMs = Math.min(this.#lowestMs, latencyMs);
  }
}
