/** Clusters that do not agree what time it is (A04): nobody may compare the wall clocks of two clusters, nor take one for an age. */
import type { Clock } from "../../src/runtime/clock.ts";

const HOUR_MS = 3_600_000;

/** The same clock with the wall clock of the cluster with this id: right, an hour fast, an hour slow, by turns. */
export function skewed(clock: Clock, id: number): Clock {
  const skewMs = ([0, HOUR_MS, -HOUR_MS] as const)[id % 3] ?? 0;
  return {
    nowMs: () => clock.nowMs(),
    wallMs: () => clock.wallMs() + skewMs,
    after: (delayMs, action) => clock.after(delayMs, action),
    breathe: () => clock.breathe(),
  };
}
