/** What the programs at the endpoints counted: packets by verdict, reason and direction, as a metric and as the drops of the status. */
import type { KernelMap } from "../kernel/door.ts";
import { decodeVerdictCounterKey, decodeVerdictCounterValue } from "../maps/verdict-counter-map.ts";
import { DROP_REASONS, type DropReason, VERDICTS } from "../model/flow.ts";
import type { Counter, Metrics } from "../runtime/metrics.ts";

const LABELS = ["verdict", "reason", "direction"] as const;

export class VerdictCounters {
  readonly #map: KernelMap;
  readonly #packets: Counter;
  readonly #bytes: Counter;
  readonly #last = new Map<string, { readonly packets: number; readonly bytes: number }>();
  #drops: Readonly<Record<DropReason, number>> = Object.fromEntries(
    DROP_REASONS.map((reason) => [reason, 0]),
  ) as Record<DropReason, number>;

  #audited = 0;

  constructor(map: KernelMap, metrics: Metrics) {
    this.#map = map;
    this.#packets = metrics.counter("bulkhead_endpoint_packets_total", "Packets judged at endpoints.", LABELS);
    this.#bytes = metrics.counter("bulkhead_endpoint_bytes_total", "Bytes of packets judged at endpoints.", LABELS);
  }

  /** Packets dropped since the counters were created, by reason, as last read. */
  drops(): Readonly<Record<DropReason, number>> {
    return this.#drops;
  }

  /** Packets let through that would have been dropped but for audit, answers of such connections among them. */
  audited(): number {
    return this.#audited;
  }

  /** Reads the map and adds what came since the last read. */
  async poll(): Promise<void> {
    const { count, keys, values } = await this.#map.dump();
    const { keySize, valueSize } = this.#map;
    const drops: Record<DropReason, number> = { ...this.#drops };
    for (const reason of DROP_REASONS) drops[reason] = 0;
    let audited = 0;
    for (let index = 0; index < count; index++) {
      const key = decodeVerdictCounterKey(keys.subarray(index * keySize, (index + 1) * keySize));
      const value = decodeVerdictCounterValue(values.subarray(index * valueSize, (index + 1) * valueSize));
      const verdict = VERDICTS[key.verdict] ?? "none";
      const reason = DROP_REASONS[key.reason] ?? "forwarded";
      const total = { packets: Number(value.packets), bytes: Number(value.bytes) };
      this.#add({ verdict, reason, direction: key.direction === 0 ? "ingress" : "egress" }, total);
      if (verdict === "dropped") drops[reason] += total.packets;
      if (verdict === "audited") audited += total.packets;
    }
    this.#audited = audited;
    this.#drops = drops;
  }

  #add(labels: Readonly<Record<(typeof LABELS)[number], string>>, total: { packets: number; bytes: number }): void {
    const name = Object.values(labels).join();
    const last = this.#last.get(name) ?? { packets: 0, bytes: 0 };
    this.#packets.add(Math.max(0, total.packets - last.packets), labels);
    this.#bytes.add(Math.max(0, total.bytes - last.bytes), labels);
    this.#last.set(name, total);
  }
}
