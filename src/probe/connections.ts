/** What the kernel saw of TCP connections that this node's workloads opened to pods of each cluster (`connections`), read again and again. */
import { KernelError, type KernelMap } from "../kernel/door.ts";
import {
  CONNECTION_OUTCOMES,
  type ConnectionOutcome,
  decodeConnectionKey,
  decodeConnectionValue,
} from "../maps/connection-map.ts";
import type { Connections } from "../model/health.ts";
import type { Counter, Metrics } from "../runtime/metrics.ts";

/** Since the map was made, at one cluster. */
export interface Counts extends Connections {
  /** Silent ones by place: different places are different addresses. */
  readonly silentAt: ReadonlyMap<number, number>;
}

/** By cluster id. */
export type CountsByCluster = ReadonlyMap<number, Counts>;

export const NO_COUNTS: Counts = { started: 0, established: 0, refused: 0, silent: 0, silentAt: new Map() };

export class ConnectionCounts {
  readonly #map: KernelMap;
  readonly #total: Counter;
  readonly #nameOf: (clusterId: number) => string;
  #last: CountsByCluster = new Map();

  constructor(map: KernelMap, metrics: Metrics, nameOf: (clusterId: number) => string) {
    this.#map = map;
    this.#nameOf = nameOf;
    const help = "TCP connections that workloads opened to pods of a cluster.";
    this.#total = metrics.counter("bulkhead_workload_connections_total", help, ["cluster", "outcome"]);
  }

  /** What was read last, when the kernel does not answer. */
  async read(): Promise<CountsByCluster> {
    try {
      const now = await this.#read();
      this.#measure(now);
      this.#last = now;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
    return this.#last;
  }

  async poll(): Promise<void> {
    await this.read();
  }

  async #read(): Promise<CountsByCluster> {
    const { count, keys, values } = await this.#map.dump();
    const { keySize, valueSize } = this.#map;
    const found = new Map<number, Record<ConnectionOutcome, number> & { readonly silentAt: Map<number, number> }>();
    for (let index = 0; index < count; index++) {
      const key = decodeConnectionKey(keys.subarray(index * keySize, (index + 1) * keySize));
      const value = Number(decodeConnectionValue(values.subarray(index * valueSize, (index + 1) * valueSize)).count);
      const outcome = CONNECTION_OUTCOMES[key.outcome];
      if (outcome === undefined) continue;
      const counts = found.get(key.clusterId) ?? { ...NO_COUNTS, silentAt: new Map() };
      counts[outcome] += value;
      if (outcome === "silent") counts.silentAt.set(key.place, value);
      found.set(key.clusterId, counts);
    }
    return found;
  }

  #measure(now: CountsByCluster): void {
    for (const [clusterId, counts] of now) {
      const before = this.#last.get(clusterId) ?? NO_COUNTS;
      for (const outcome of CONNECTION_OUTCOMES) {
        const more = counts[outcome] - before[outcome];
        if (more > 0) this.#total.add(more, { cluster: this.#nameOf(clusterId), outcome });
      }
    }
  }
}

/** What came between two readings. A map that was made anew begins at 0. */
export function since(before: Counts, now: Counts): Counts {
  const more = (left: number, right: number): number => (right < left ? right : right - left);
  const places = [...now.silentAt].map(
    ([place, count]) => [place, more(before.silentAt.get(place) ?? 0, count)] as const,
  );
  return {
    started: more(before.started, now.started),
    established: more(before.established, now.established),
    refused: more(before.refused, now.refused),
    silent: more(before.silent, now.silent),
    silentAt: new Map(places.filter(([, count]) => count > 0)),
  };
}
