/**
 * A remote that says another id than the one under which its state is cached: none of that state holds under the new one, so all of it would go. Like any
 * other withdrawal of so much it is believed when the remote still says so after a while, or when an operator does.
 */
import type { HoldStatus } from "../model/status.ts";
import type { Clock } from "../runtime/clock.ts";

interface Change {
  readonly from: number;
  readonly to: number;
  readonly sinceMs: number;
  readonly state: "held" | "confirmed" | "discarded";
}

export class Renumbering {
  readonly #clock: Clock;
  readonly #holdConfirmMs: number;
  #change: Change | undefined;

  constructor(clock: Clock, holdConfirmMs: number) {
    this.#clock = clock;
    this.#holdConfirmMs = holdConfirmMs;
  }

  /** The remote says `to`, and nothing but the id that it had speaks against it. */
  said(from: number, to: number): void {
    const nowMs = this.#clock.nowMs();
    const change = this.#change;
    if (change?.from !== from || change.to !== to) this.#change = { from, to, sinceMs: nowMs, state: "held" };
    else if (change.state === "held" && nowMs - change.sinceMs >= this.#holdConfirmMs) this.confirm();
  }

  /** It says its old id, or one that it cannot have. */
  over(): void {
    this.#change = undefined;
  }

  confirm(): void {
    if (this.#change) this.#change = { ...this.#change, state: "confirmed" };
  }

  discard(): void {
    if (this.#change) this.#change = { ...this.#change, state: "discarded" };
  }

  /** What is cached under the old id is to go, in one line; undefined: it stays. */
  get confirmed(): string | undefined {
    return this.#change?.state === "confirmed" ? lineOf(this.#change) : undefined;
  }

  /** @param keys in the cache. */
  hold(keys: number): HoldStatus | undefined {
    const change = this.#change;
    if (!change || change.state === "confirmed") return undefined;
    const ageMs = this.#clock.nowMs() - change.sinceMs;
    const { state } = change;
    return {
      ...{ kind: "config", state, keys, withdrawals: keys, ageMs, example: lineOf(change) },
      ...(state === "held" && { confirmsInMs: Math.max(0, this.#holdConfirmMs - ageMs) }),
    };
  }
}

function lineOf({ from, to }: Change): string {
  return `its id was ${from} and is ${to}`;
}
