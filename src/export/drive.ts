/** Long computations in small steps: pure generators, driven so that leases are renewed in time. */
import type { Slices } from "../runtime/clock.ts";

/** Runs `steps` to its end, telling each step to `each`. */
export async function drive<S, T>(steps: Generator<S, T>, slices: Slices, each?: (step: S) => void): Promise<T> {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    each?.(step.value);
    await slices.rest();
  }
}
