/** The programs' own counters, by reason, as a metric. */
import type { KernelMap } from "../kernel/door.ts";
import { decodeMetricKey, decodeMetricValue, METRIC_REASONS, type MetricReason } from "../maps/metrics-map.ts";
import type { Counter, Metrics } from "../runtime/metrics.ts";

export class DatapathCounters {
  readonly #map: KernelMap;
  readonly #counter: Counter;
  readonly #last = new Map<MetricReason | "unknown", number>();

  constructor(map: KernelMap, metrics: Metrics) {
    this.#map = map;
    this.#counter = metrics.counter("bulkhead_datapath_total", "Connections and datagrams by outcome.", ["reason"]);
  }

  /** As last read. */
  total(reason: MetricReason): number {
    return this.#last.get(reason) ?? 0;
  }

  /** Reads the map and adds what came since the last read. */
  async poll(): Promise<void> {
    const { count, keys, values } = await this.#map.dump();
    const { keySize, valueSize } = this.#map;
    for (let index = 0; index < count; index++) {
      const key = decodeMetricKey(keys.subarray(index * keySize, (index + 1) * keySize));
      const value = decodeMetricValue(values.subarray(index * valueSize, (index + 1) * valueSize));
      const reason = METRIC_REASONS[key.reason] ?? "unknown";
      const total = Number(value.count);
      this.#counter.add(Math.max(0, total - (this.#last.get(reason) ?? 0)), { reason });
      this.#last.set(reason, total);
    }
  }
}
