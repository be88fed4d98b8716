/** What becomes of the writes of each remote, as metrics. Writes of no remote (scope "") are not counted here. */
import { keyScope } from "../kv/key-scope.ts";
import type { WriteObserver } from "../publish/publisher.ts";
import type { Write } from "../publish/queue.ts";
import { type Counter, DURATION_BUCKETS, type Histogram, type Metrics } from "../runtime/metrics.ts";
import { CILIUM_PREFIX } from "./gauges.ts";

export class WriteMetrics implements WriteObserver {
  readonly #latency: Histogram;
  readonly #errors: Counter;

  constructor(metrics: Metrics) {
    this.#latency = metrics.histogram(
      "bulkhead_mirror_event_latency_seconds",
      "From an event of a remote to its acknowledgement by the local etcd.",
      DURATION_BUCKETS,
      ["remote"],
    );
    this.#errors = metrics.counter(
      `${CILIUM_PREFIX}kvstore_sync_errors_total`,
      "Writes to the local etcd that failed; they are tried again.",
      ["scope", "source_cluster"],
    );
  }

  acknowledged({ lane, scope }: Write, waitedMs: number): void {
    if (lane === "live" && scope !== "") this.#latency.observe(waitedMs / 1000, { remote: scope });
  }

  failed(batch: readonly Write[]): void {
    for (const { key, scope } of batch) {
      if (scope !== "") this.#errors.add(1, { scope: keyScope(key), source_cluster: scope });
    }
  }
}
