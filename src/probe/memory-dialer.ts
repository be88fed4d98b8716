/** Paths in memory: what answers is set, all else is silent. */
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Dialer, DialOutcome } from "./dialer.ts";
import { type Target, type TargetKey, targetKey } from "./targets.ts";

export class MemoryDialer implements Dialer {
  readonly #clock: Clock;
  readonly #answers = new Map<TargetKey, DialOutcome>();
  #dialing = 0;
  /** Most connections that were tried at one time. */
  mostAtOnce = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What dialing this target gives from now on. */
  set(target: TargetKey, outcome: DialOutcome): void {
    this.#answers.set(target, outcome);
  }

  async dial(target: Target, timeoutMs: number, signal: AbortSignal): Promise<DialOutcome> {
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#dialing);
    const outcome = this.#answers.get(targetKey(target)) ?? "silent";
    await sleep(this.#clock, outcome === "silent" ? timeoutMs : 0, signal);
    this.#dialing--;
    return outcome;
  }
}
