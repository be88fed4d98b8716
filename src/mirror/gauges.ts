/** The mirror's state as gauges, taken from its own status so that the two never differ. What it does not tell any more disappears. */
import type { MirrorStatus, RemoteStatus } from "../model/status.ts";
import type { Counter, Gauge, Metrics } from "../runtime/metrics.ts";
import { RESOURCES } from "../wire/resources.ts";

/** Of the metrics that Cilium's kvstoremesh has: names, labels and meanings are its own. */
export const CILIUM_PREFIX = "cilium_kvstoremesh_";

const BREAKER_LEVEL = { closed: 0, "half-open": 1, open: 2 } as const;

/** Writes that wait: by remote, and by scope of their keys. */
export type Depths = ReadonlyMap<string, ReadonlyMap<string, number>>;

type Labels = Readonly<Record<string, string>>;
type Show = (remote: RemoteStatus, depths: ReadonlyMap<string, number>) => void;

export class MirrorGauges {
  readonly #metrics: Metrics;
  readonly #gauges: Gauge[] = [];
  readonly #shows: Show[] = [];
  readonly #leader: Gauge;
  readonly #master: Gauge;
  readonly #clusters: Gauge;
  readonly #bootstrap: Gauge;
  readonly #quorumErrors: Counter;
  #silent: ReadonlySet<string> = new Set();
  #bootstrapped = false;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
    this.#leader = metrics.gauge("bulkhead_mirror_leader", "1 while this process leads.");
    this.#master = this.#gauge(`${CILIUM_PREFIX}leader_election_master_status`, "1 while this process leads.", "name");
    this.#clusters = metrics.gauge(`${CILIUM_PREFIX}remote_clusters`, "Remotes that are configured.");
    this.#bootstrap = metrics.gauge(`${CILIUM_PREFIX}bootstrap_seconds`, "From the start until ready.");
    this.#quorumErrors = metrics.counter(
      `${CILIUM_PREFIX}kvstore_quorum_errors_total`,
      "Times that an etcd was not known to have a quorum.",
      ["error"],
    );
    this.#ours();
    this.#ciliums();
  }

  #gauge(name: string, help: string, ...labels: readonly string[]): Gauge {
    const gauge = this.#metrics.gauge(name, help, labels);
    this.#gauges.push(gauge);
    return gauge;
  }

  /** One value a remote; undefined: none. */
  #each(name: string, label: string, help: string, ask: (remote: RemoteStatus) => number | undefined): void {
    const gauge = this.#gauge(name, help, label);
    this.#shows.push((remote) => {
      const value = ask(remote);
      if (value !== undefined) gauge.set(value, { [label]: remote.name });
    });
  }

  #ours(): void {
    const each = (name: string, help: string, ask: (remote: RemoteStatus) => number | undefined): void =>
      this.#each(`bulkhead_mirror_${name}`, "remote", help, ask);
    each("connected", "1 while a remote is connected.", ({ connected }) => Number(connected));
    each("synced", "1 when a remote is completely in the cache.", ({ synced }) => Number(synced));
    each("age_seconds", "Since the last proof that the cache is the remote's state.", ({ ageMs }) => seconds(ageMs));
    each("breaker", "0 closed, 1 half-open, 2 open.", ({ breaker }) => BREAKER_LEVEL[breaker]);
    each("failures", "Failed tries to reach a remote.", ({ failures }) => failures);
    each("rejected", "Keys of a remote whose newest value is refused.", ({ rejected }) => rejected);
    each("parked", "Values of a remote that wait for what they belong to.", ({ parked }) => parked);
    const entries = this.#gauge("bulkhead_mirror_entries", "Keys of a remote in the cache.", "remote", "kind");
    const held = this.#gauge("bulkhead_mirror_held", "Keys whose withdrawal is not believed.", "remote", "kind");
    const queued = this.#gauge("bulkhead_mirror_queued", "Writes of a remote that wait.", "remote");
    this.#shows.push(({ name: remote, ...status }, depths) => {
      for (const [kind, count] of Object.entries(status.entries)) entries.set(count, { remote, kind });
      for (const [kind, holds] of Map.groupBy(status.holds, (hold) => hold.kind)) {
        held.set(sum(holds.map(({ keys }) => keys)), { remote, kind });
      }
      queued.set(sum(depths.values()), { remote });
    });
  }

  #ciliums(): void {
    const each = (name: string, help: string, ask: (remote: RemoteStatus) => number | undefined): void =>
      this.#each(`${CILIUM_PREFIX}remote_cluster_${name}`, "target_cluster", help, ask);
    each("readiness_status", "1 while connected and its config is known.", ({ connected, config }) =>
      Number(connected && config !== undefined),
    );
    each("failures", "Established connections that failed.", ({ losses }) => losses);
    each("last_failure_ts", "When the last of them failed, in seconds since 1970.", ({ lastLossAt }) =>
      lastLossAt === undefined ? undefined : Date.parse(lastLossAt) / 1000,
    );
    each("cache_revocations", "Always 0: nothing of a remote is taken away because it is silent.", () => 0);
    const of = ["scope", "source_cluster"];
    const depth = this.#gauge(`${CILIUM_PREFIX}kvstore_sync_queue_size`, "Writes that wait.", ...of);
    const sync = this.#gauge(
      `${CILIUM_PREFIX}kvstore_initial_sync_completed`,
      "1 when all of a kind was read from the remote, and written to the cache.",
      ...of,
      "action",
    );
    this.#shows.push(({ name, readKinds, syncedKinds }, depths) => {
      for (const { kind } of RESOURCES) {
        const scope = `${kind}/v1`;
        const labels: Labels = { scope, source_cluster: name };
        depth.set(depths.get(scope) ?? 0, labels);
        sync.set(Number(readKinds[kind] === true), { ...labels, action: "read" });
        sync.set(Number(syncedKinds[kind] === true), { ...labels, action: "write" });
      }
    });
  }

  show(status: Omit<MirrorStatus, "pid">, ready: boolean, depths: Depths): void {
    for (const gauge of this.#gauges) gauge.clear();
    this.#leader.set(Number(status.leader));
    this.#master.set(Number(status.leader), { name: "kvstoremesh" });
    this.#clusters.set(status.remotes.filter(({ configured }) => configured).length);
    if (ready && !this.#bootstrapped) this.#bootstrap.set(status.uptimeMs / 1000);
    this.#bootstrapped ||= ready;
    for (const remote of status.remotes) {
      for (const show of this.#shows) show(remote, depths.get(remote.name) ?? new Map());
    }
    this.#countSilent(status.remotes);
  }

  #countSilent(remotes: readonly RemoteStatus[]): void {
    const silent = new Set(remotes.filter(({ heartbeatSilent }) => heartbeatSilent).map(({ name }) => name));
    this.#quorumErrors.add(silent.difference(this.#silent).size, { error: "no event received" });
    this.#silent = silent;
  }

  /** The leader's lease was not renewed in time. */
  leaseOverdue(): void {
    this.#quorumErrors.add(1, { error: "lock timeout" });
  }
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000;
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
