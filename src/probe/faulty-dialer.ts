/** Any dialer over a path that loses connections, or a node that has no ports left. */
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import type { Dialer } from "./dialer.ts";

export interface DialFaults {
  /** Share of dials, 0..1, that nothing comes back from. */
  readonly lost: number;
  /** Share of dials that this node cannot try. */
  readonly untried: number;
}

/** `faults` is asked at each dial. */
export function faultyDialer(dialer: Dialer, clock: Clock, random: Random, faults: () => DialFaults): Dialer {
  return {
    async dial(target, timeoutMs, signal) {
      const { lost, untried } = faults();
      const [loss, failure] = [random.next(), random.next()];
      if (failure < untried) return "untried";
      if (loss >= lost) return dialer.dial(target, timeoutMs, signal);
      await sleep(clock, timeoutMs, signal);
      return "silent";
    },
  };
}
