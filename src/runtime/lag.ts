/** Event loop lag: how long work was held up by other work. Leases are lost by it, so it is watched where leases are held. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Clock } from "./clock.ts";
import { every } from "./clock.ts";
import type { Metrics } from "./metrics.ts";

const SAMPLE_MS = 1_000;
const RESOLUTION_MS = 10;

/** Sets `bulkhead_event_loop_lag_max_seconds`, the worst lag of the last second and since start, until the signal aborts. */
export function watchLag(clock: Clock, metrics: Metrics, signal: AbortSignal): void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const gauge = metrics.gauge("bulkhead_event_loop_lag_max_seconds", "Worst event loop lag.", ["since"]);
  let worstSeconds = 0;
  delay.enable();
  signal.addEventListener("abort", () => delay.disable(), { once: true });
  every(clock, SAMPLE_MS, signal, () => {
    const seconds = Math.max(0, delay.max / 1e9 - RESOLUTION_MS / 1e3);
    worstSeconds = Math.max(worstSeconds, seconds);
    gauge.set(seconds, { since: "last-second" });
    gauge.set(worstSeconds, { since: "start" });
    delay.reset();
  });
}
