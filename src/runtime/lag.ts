/** Event loop lag: how long work was held up by other work. Leases are lost by it, so it is watched where leases are held. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { type Clock, every, Slices } from "./clock.ts";
import type { Metrics } from "./metrics.ts";

const SAMPLE_MS = 1_000;
const RESOLUTION_MS = 10;

/** Sets the worst lag, and the longest slice of long work, of the last second and since start, until the signal aborts. */
export function watchLag(clock: Clock, metrics: Metrics, signal: AbortSignal): void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const lag = worstOf(metrics, "bulkhead_event_loop_lag_max_seconds", "Worst event loop lag.");
  const slice = worstOf(metrics, "bulkhead_slice_max_seconds", "Longest slice of work that was cut into slices.");
  delay.enable();
  signal.addEventListener("abort", () => delay.disable(), { once: true });
  every(clock, SAMPLE_MS, signal, () => {
    lag(Math.max(0, delay.max / 1e9 - RESOLUTION_MS / 1e3));
    slice(Slices.takeLongestMs() / 1e3);
    delay.reset();
  });
}

/** A gauge of the worst of each second, and of all of them. */
function worstOf(metrics: Metrics, name: string, help: string): (seconds: number) => void {
  const gauge = metrics.gauge(name, help, ["since"]);
  let worst = 0;
  return (seconds) => {
    worst = Math.max(worst, seconds);
    gauge.set(seconds, { since: "last-second" });
    gauge.set(worst, { since: "start" });
  };
}
