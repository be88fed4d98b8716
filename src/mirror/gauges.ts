/** The mirror's state as gauges, taken from its own status records so that the two never differ. */
import type { RemoteStatus } from "../model/status.ts";
import type { Gauge, Metrics } from "../runtime/metrics.ts";

const BREAKER_LEVEL = { closed: 0, "half-open": 1, open: 2 } as const;

export class MirrorGauges {
  readonly #leader: Gauge;
  readonly #connected: Gauge;
  readonly #synced: Gauge;
  readonly #ageSeconds: Gauge;
  readonly #entries: Gauge;
  readonly #breaker: Gauge;
  readonly #failures: Gauge;
  readonly #rejected: Gauge;

  constructor(metrics: Metrics) {
    const gauge = (name: string, help: string, ...labels: string[]): Gauge =>
      metrics.gauge(`bulkhead_mirror_${name}`, help, labels);
    this.#leader = gauge("leader", "1 while this process leads.");
    this.#connected = gauge("connected", "1 while a remote is connected.", "remote");
    this.#synced = gauge("synced", "1 when a remote is completely in the cache.", "remote");
    this.#ageSeconds = gauge("age_seconds", "Since the last proof that the cache is the remote's state.", "remote");
    this.#entries = gauge("entries", "Keys of a remote in the cache.", "remote", "kind");
    this.#breaker = gauge("breaker", "0 closed, 1 half-open, 2 open.", "remote");
    this.#failures = gauge("failures", "Failed tries to reach a remote.", "remote");
    this.#rejected = gauge("rejected", "Keys of a remote whose newest value is refused.", "remote");
  }

  show(leader: boolean, remotes: readonly RemoteStatus[]): void {
    this.#leader.set(leader ? 1 : 0);
    for (const status of remotes) this.#showRemote(status);
  }

  #showRemote(status: RemoteStatus): void {
    const labels = { remote: status.name };
    this.#connected.set(status.connected ? 1 : 0, labels);
    this.#synced.set(status.synced ? 1 : 0, labels);
    this.#breaker.set(BREAKER_LEVEL[status.breaker], labels);
    this.#failures.set(status.failures, labels);
    this.#rejected.set(status.rejected, labels);
    if (status.ageMs !== undefined) this.#ageSeconds.set(status.ageMs / 1000, labels);
    for (const [kind, count] of Object.entries(status.entries)) this.#entries.set(count, { ...labels, kind });
  }
}
