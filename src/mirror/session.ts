/**
 * One remote between a listing and the end of the watch that follows it: brings the local cache to the listing, then keeps it there.
 * Order: config, then each kind (owners before what they own), each kind's canary after its data is acknowledged.
 */
import { type Witness, witnessOf } from "../follow/list.ts";
import { type FollowSink, watch } from "../follow/watch.ts";
import { eventKey, type KeyValue, type KvClient, type WatchEvent } from "../kv/client.ts";
import type { Rejection } from "../model/resource.ts";
import type { Writer } from "../publish/publisher.ts";
import { reconcile } from "../publish/reconcile.ts";
import type { BackoffSettings } from "../runtime/backoff.ts";
import { retry } from "../runtime/backoff.ts";
import { type Clock, Slices } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Counter, Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { adaptClusterConfig } from "../wire/cluster-config.ts";
import { canaryKey, clusterConfigKey } from "../wire/keys.ts";
import {
  cacheKey,
  DISABLED_CACHE_CANARIES,
  judge,
  RESOURCES,
  type Resource,
  type ResourceKind,
} from "../wire/resources.ts";
import {
  CANARY_RANGE,
  CONFIG_RANGE,
  completeKinds,
  FIRST_KIND_RANGE,
  HEARTBEAT_RANGE,
  type Reached,
  remoteCanary,
} from "./reach.ts";
import type { RemoteRecord } from "./record.ts";

export interface SessionOptions {
  readonly record: RemoteRecord;
  /** Of this remote: how far the writes of others have come is no concern of it. */
  readonly publisher: Writer;
  /** The local etcd, to read. */
  readonly local: KvClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Keys per page. */
  readonly pageSize: number;
  readonly progressIntervalMs: number;
  readonly progressTimeoutMs: number;
  /** Pauses while the local etcd cannot be read. */
  readonly backoff: BackoffSettings;
  readonly maxRemoteKeys: number;
  /** A watch that lives for the longest of these pauses has lasted. */
  readonly redial: BackoffSettings;
  /** Told at joint points once the watch has lasted: the remote has proved to be stable. */
  readonly lasted: () => void;
}

export class Session implements FollowSink {
  readonly #options: SessionOptions;
  readonly #name: string;
  /** All of what was reached but the keys: a remote's whole state is not kept for the length of the watch. */
  readonly #remote: Omit<Reached, "listing">;
  readonly #revision: number;
  readonly #clusterId: bigint;
  readonly #witness: Witness;
  /** Kinds that their canary vouches for; it may be withdrawn while we watch. */
  readonly #complete: Set<ResourceKind>;
  /** Canaries in the listing: key -> value. */
  readonly #listedCanaries: ReadonlyMap<string, Uint8Array>;
  #listedKinds: (readonly KeyValue[])[];
  readonly #over = new AbortController();
  readonly #rejections: Counter;
  #endedBy: string | undefined;
  /** A canary that the listing lacked came since: list again, now with the right to prune. */
  #canaryCame = false;
  #proving = false;
  /** Cache key -> kind: gone at the remote; believed at the next joint point, if config and canary still stand there. */
  readonly #gone = new Map<string, ResourceKind>();
  #watchedFromMs = 0;

  constructor({ listing, ...remote }: Reached, options: SessionOptions) {
    this.#options = options;
    this.#name = options.record.name;
    this.#remote = remote;
    this.#revision = listing.revision;
    this.#clusterId = listing.clusterId;
    this.#witness = witnessOf(listing, remote.ranges);
    this.#listedCanaries = new Map(listing.ranges[CANARY_RANGE]?.map(({ key, value }) => [key, value]));
    this.#complete = new Set(completeKinds(this.#name, remote.config, this.#listedCanaries));
    this.#listedKinds = listing.ranges.slice(FIRST_KIND_RANGE);
    this.#rejections = options.metrics.counter(
      "bulkhead_mirror_rejected_total",
      "Values of remotes that were refused; the last good ones stay.",
      ["remote", "reason"],
    );
    options.record.clusterId = remote.config.id;
    for (const { modRevision } of listing.ranges[HEARTBEAT_RANGE] ?? []) {
      options.record.heartbeat(modRevision, options.clock.nowMs());
    }
  }

  /** Ends the connection. */
  close(): void {
    this.#remote.kv.close();
  }

  /** Resolves to why it ended. Rejects when the right to write is lost or `signal` aborts while reconciling. */
  async run(signal: AbortSignal): Promise<string> {
    const { record, clock, progressIntervalMs, progressTimeoutMs } = this.#options;
    record.phase = "reconciling";
    await this.#reconcile(signal);
    record.phase = "watching";
    this.#watchedFromMs = clock.nowMs();
    const end = await watch(this.#remote.kv, this.#remote.ranges, this.#revision + 1, this, {
      clock,
      signal: AbortSignal.any([signal, this.#over.signal]),
      clusterId: this.#clusterId,
      witness: this.#witness,
      progressIntervalMs,
      progressTimeoutMs,
      proveDeletions: true,
    });
    return this.#endedBy ?? `watch ${end.cause}: ${end.detail}`;
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    const { record, publisher } = this.#options;
    await this.#write(signal, new Map([[clusterConfigKey(this.#name), this.#adaptedConfig()]]));
    await this.#write(signal, this.#canariesOf(DISABLED_CACHE_CANARIES));
    record.forgetRejections();
    for (const [index, kind] of RESOURCES.entries()) {
      const complete = this.#complete.has(kind.kind);
      await this.#reconcileKind(kind, this.#listedKinds[index] ?? [], complete, signal);
      await publisher.drained();
      if (complete) await this.#write(signal, this.#canariesOf([kind.cacheCanary]));
    }
    this.#listedKinds = [];
    this.#judgeSynced();
    if (record.synced) record.prove(this.#remote.listedAtMs);
  }

  #judgeSynced(): void {
    const { record } = this.#options;
    const missing = this.#unvouched().map(({ kind }) => kind);
    record.synced = missing.length === 0;
    record.lastError = record.synced ? undefined : `its exporter has not written everything yet: ${missing.join(", ")}`;
  }

  #unvouched(): readonly Resource[] {
    return RESOURCES.filter(({ kind }) => !this.#complete.has(kind));
  }

  async #reconcileKind(kind: Resource, kvs: readonly KeyValue[], prune: boolean, signal: AbortSignal): Promise<void> {
    const { record, publisher, local, clock, pageSize, log } = this.#options;
    const slices = new Slices(clock);
    const desired = new Map<string, Uint8Array>();
    const keep = new Set<string>();
    for (const kv of kvs) {
      const { key, rejection } = this.#judge(kind, kv);
      if (rejection) keep.add(key);
      else desired.set(key, kv.value);
      await slices.rest();
    }
    const prefix = kind.cachePrefix(this.#name);
    const options = { prune, keep, pageSize, clock, signal };
    const { written, removed, keys } = await this.#patiently(signal, () =>
      reconcile(publisher, local, prefix, desired, options),
    );
    record.listed(kind.kind, keys);
    if (written + removed > 0) log.info({ remote: this.#name, kind: kind.kind, written, removed }, "cache reconciled");
  }

  /** Puts what is not in the local etcd just so (same bytes, no lease), and waits until it is. */
  async #write(signal: AbortSignal, desired: ReadonlyMap<string, Uint8Array>): Promise<void> {
    const { local, publisher } = this.#options;
    for (const [key, value] of desired) {
      const { kvs } = await this.#patiently(signal, () => local.range({ key }));
      const [found] = kvs;
      if (found?.leaseId === 0n && Buffer.compare(found.value, value) === 0) continue;
      publisher.put(key, value, "live");
    }
    await publisher.drained();
  }

  /** The local etcd's troubles are no reason to list the remote again: the remote waits until it can be read. */
  #patiently<T>(signal: AbortSignal, action: () => Promise<T>): Promise<T> {
    const { clock, random, backoff, log } = this.#options;
    const onFailure = (error: unknown): void => log.debug({ reason: messageOf(error) }, "local etcd not read yet");
    return retry({ clock, random, backoff, signal, onFailure }, action);
  }

  #adaptedConfig(): Uint8Array {
    const adapted = adaptClusterConfig(this.#remote.configBytes);
    if (!adapted.ok) throw new Error(adapted.rejection.detail);
    return adapted.value;
  }

  /** Readers look at the key only; the value is the remote's own where it has one, so that writing it again changes nothing. */
  #canariesOf(cacheCanaries: readonly string[]): ReadonlyMap<string, Uint8Array> {
    const fallback = this.#listedCanaries.values().next().value ?? new Uint8Array();
    const canaries = new Map<string, Uint8Array>();
    for (const cacheCanary of cacheCanaries) {
      const kind = RESOURCES.find((row) => row.cacheCanary === cacheCanary);
      const value = kind && this.#listedCanaries.get(remoteCanary(this.#name, kind, this.#remote.config));
      canaries.set(canaryKey(this.#name, cacheCanary), value ?? fallback);
    }
    return canaries;
  }

  #judge(kind: Resource, { key, value }: KeyValue): { readonly key: string; readonly rejection?: Rejection } {
    const { record, log } = this.#options;
    const suffix = key.slice(this.#remotePrefix(kind).length);
    const target = cacheKey(kind.kind, this.#name, suffix);
    const judged = judge(kind.kind, { name: this.#name, id: this.#remote.config.id }, suffix, value);
    if (judged.ok) return { key: target };
    const { rejection } = judged;
    record.rejected(target, rejection);
    this.#rejections.add(1, { remote: this.#name, reason: rejection.reason });
    log.debug({ remote: this.#name, ...rejection }, "value refused");
    return { key: target, rejection };
  }

  #remotePrefix(kind: Resource): string {
    return this.#remote.ranges[FIRST_KIND_RANGE + RESOURCES.indexOf(kind)]?.key ?? "";
  }

  changed(rangeIndex: number, events: readonly WatchEvent[]): void {
    if (rangeIndex === CONFIG_RANGE) this.#configChanged(events);
    else if (rangeIndex === CANARY_RANGE) this.#canariesChanged(events);
    else if (rangeIndex === HEARTBEAT_RANGE) this.#heartbeatChanged(events);
    else this.#kindChanged(RESOURCES[rangeIndex - FIRST_KIND_RANGE], events);
  }

  #kindChanged(kind: Resource | undefined, events: readonly WatchEvent[]): void {
    if (!kind || this.#over.signal.aborted) return;
    const { record, publisher, maxRemoteKeys } = this.#options;
    for (const event of events) {
      if (event.type === "put") {
        const { key, rejection } = this.#judge(kind, event.kv);
        if (rejection) continue;
        this.#gone.delete(key);
        publisher.put(key, event.kv.value, "live");
        record.written(kind.kind, key);
      } else
        this.#gone.set(cacheKey(kind.kind, this.#name, event.key.slice(this.#remotePrefix(kind).length)), kind.kind);
    }
    if (record.size > maxRemoteKeys) this.#restart(`its etcd holds more than ${maxRemoteKeys} keys`);
  }

  /** What a kind without canary lost is found by the listing that follows the canary. */
  #withdraw(): void {
    const { record, publisher } = this.#options;
    for (const [key, kind] of this.#gone) {
      if (!this.#complete.has(kind)) continue;
      publisher.delete(key, "live");
      record.removed(kind, key);
    }
    this.#gone.clear();
  }

  #configChanged(events: readonly WatchEvent[]): void {
    const last = events.at(-1);
    const same = last?.type === "put" && Buffer.compare(last.kv.value, this.#remote.configBytes) === 0;
    if (!same) this.#restart(last?.type === "delete" ? "its cluster config was deleted" : "its cluster config changed");
  }

  #canariesChanged(events: readonly WatchEvent[]): void {
    const { config } = this.#remote;
    for (const event of events) {
      const about = RESOURCES.find((kind) => remoteCanary(this.#name, kind, config) === eventKey(event));
      if (!about) continue;
      if (event.type === "put") this.#canaryCame ||= !this.#complete.has(about.kind);
      else if (config.syncedCanaries) this.#complete.delete(about.kind);
    }
    this.#judgeSynced();
  }

  #heartbeatChanged(events: readonly WatchEvent[]): void {
    const { record, clock } = this.#options;
    for (const event of events) if (event.type === "put") record.heartbeat(event.kv.modRevision, clock.nowMs());
  }

  progress(_revision: number): void {
    const { clock, redial, lasted, record } = this.#options;
    if (clock.nowMs() - this.#watchedFromMs >= redial.capMs) lasted();
    this.#withdraw();
    if (this.#canaryCame) this.#restart("it has written more");
    else if (record.synced) this.#prove();
  }

  /** What was received up to now is the remote's state; it counts once it is acknowledged in the local cache. */
  #prove(): void {
    if (this.#proving) return;
    const { publisher, record, clock } = this.#options;
    const atMs = clock.nowMs();
    this.#proving = true;
    const done = (): void => {
      this.#proving = false;
    };
    publisher.drained().then(() => {
      record.prove(atMs);
      done();
    }, done);
  }

  #restart(reason: string): void {
    this.#endedBy ??= reason;
    this.#over.abort();
  }
}
