/**
 * One remote between a listing (or the point where a watch goes on) and the end of the watch that follows: brings the local cache there, then
 * keeps it. Order: config, then each kind (owners before what they own), each kind's canary after its data is acknowledged.
 */
import { Facts } from "../follow/facts.ts";
import { absence, ListingSize, pagesAt, type Witness, witness } from "../follow/list.ts";
import { type FollowSink, watch } from "../follow/watch.ts";
import { eventKey, type KeyValue, type KvClient, revisionOf, type WatchEvent } from "../kv/client.ts";
import { isEmptied } from "../model/drain.ts";
import type { Writer } from "../publish/publisher.ts";
import { Comparison } from "../publish/reconcile.ts";
import type { BackoffSettings } from "../runtime/backoff.ts";
import { retry } from "../runtime/backoff.ts";
import { type Clock, encodeTime, Slices } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { adaptClusterConfig } from "../wire/cluster-config.ts";
import { judgeDrain } from "../wire/drain.ts";
import { cachedDrainCanary, cachedDrainKey, canaryKey, clusterConfigKey } from "../wire/keys.ts";
import { RESOURCES, type Resource, type ResourceKind } from "../wire/resources.ts";
import { Auditor } from "./auditor.ts";
import type { ResumePoint } from "./checkpoint.ts";
import type { Guard } from "./guard.ts";
import {
  type BegunListing,
  CANARY_RANGE,
  CONFIG_RANGE,
  completeKinds,
  DRAIN_RANGE,
  FIRST_KIND_RANGE,
  HEARTBEAT_RANGE,
  type Reached,
  remoteCanary,
} from "./reach.ts";
import type { RemoteRecord } from "./record.ts";
import type { ListedHow, ListedPage, RemoteCache } from "./remote-cache.ts";

/** A listing is believed about what is gone for as long as a silent watch would be, and for that many times what the remote took to be read: to compare takes as long. */
const COMPARED_IN_LISTINGS = 3;
/** Beside the heartbeat. Each is one read when the connection is made anew. */
const MAX_FACTS = 4;

export interface SessionOptions {
  readonly record: RemoteRecord;
  readonly cache: RemoteCache;
  readonly guard: Guard;
  /** Of this remote: how far the writes of others have come is no concern of it. */
  readonly publisher: Writer;
  /** The local etcd, to read. */
  readonly local: KvClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Keys per page. */
  readonly pageSize: number;
  readonly progressIntervalMs: number;
  readonly progressTimeoutMs: number;
  readonly auditIntervalMs: number;
  /** Pauses while the local etcd cannot be read. */
  readonly backoff: BackoffSettings;
  readonly maxRemoteKeys: number;
  /** Of what a watch that catches up may hold back. */
  readonly maxRemoteBytes: number;
  /** A watch that lives for the longest of these pauses has lasted. */
  readonly redial: BackoffSettings;
  /** Told at joint points once the watch has lasted: the remote has proved to be stable. */
  readonly lasted: () => void;
  /** Told whenever withdrawals may have been held, or believed. */
  readonly judged: () => void;
  /** Told how far the cache has come; undefined: only a listing can say. */
  readonly reached: (point: ResumePoint | undefined) => void;
}

/** Writes that may wait while the next page is judged: the local etcd has something to do, and a listing is never in memory as a whole. */
const WAITING_WRITES = 5_000;

/** Key at the remote -> what happened to it last. */
type Missed = Map<string, { readonly kind: Resource; readonly event: WatchEvent }>;

export class Session implements FollowSink {
  readonly #options: SessionOptions;
  readonly #name: string;
  /** All of what was reached but the keys: a remote's whole state is not kept for the length of the watch. */
  readonly #remote: Omit<Reached, "from">;
  readonly #fromRevision: number;
  readonly #clusterId: bigint;
  #startWitness: Witness;
  /** Kinds that their canary vouches for; it may be withdrawn while we watch. */
  readonly #complete: Set<ResourceKind>;
  /** Canaries of the remote: key -> value. */
  readonly #canaries: Map<string, Uint8Array>;
  /** Until it is reconciled. */
  #begun: BegunListing | undefined;
  readonly #over = new AbortController();
  readonly #auditor: Auditor;
  #endedBy: string | undefined;
  /** A canary that the listing lacked came since: list again, now with the right to prune. */
  #canaryCame = false;
  /** A listing that had to wait lacked something: list again. */
  #aged = false;
  /** How long the remote took to answer the listing. */
  #readMs = 0;
  #proving = false;
  /** Its drain marker, as it was listed; undefined: none. */
  #marker: Uint8Array | undefined;
  #watchedFromMs = 0;
  /**
   * While a watch catches up with where it was resumed, or with a listing that was written down late: the newest event of each key. Told one by one they would
   * bring back for a moment what is gone already.
   */
  #missed: Missed | undefined = new Map();
  #missedBytes = 0;
  #catchingUp = false;
  /** Newest event received. */
  #applied: number;
  #lastSeen: WatchEvent | undefined;
  readonly #facts: Facts;

  constructor({ from, ...remote }: Reached, options: SessionOptions) {
    this.#options = options;
    this.#name = options.record.name;
    this.#remote = remote;
    const { record, cache, clock } = options;
    cache.begin({ name: this.#name, id: remote.config.id }, remote.followedTo);
    if ("listing" in from) {
      const { listing } = from;
      if (remote.world === "other") cache.doubt(RESOURCES.map(({ kind }) => kind));
      this.#fromRevision = listing.revision;
      this.#clusterId = listing.clusterId;
      this.#startWitness = absence(listing.revision, "\0");
      this.#canaries = new Map(listing.ranges[CANARY_RANGE]?.map(({ key, value }) => [key, value]));
      this.#complete = new Set(completeKinds(this.#name, remote.config, this.#canaries));
      this.#marker = listing.ranges[DRAIN_RANGE]?.[0]?.value;
      this.#begun = from;
      this.#readMs = clock.nowMs() - from.listedAtMs;
      this.#facts = new Facts(MAX_FACTS, remote.ranges[HEARTBEAT_RANGE]?.key);
      this.#facts.beginListing(remote.known);
      for (const kvs of listing.ranges) this.#facts.saw(kvs);
      for (const { modRevision } of listing.ranges[HEARTBEAT_RANGE] ?? []) record.heartbeat(modRevision, clock.nowMs());
    } else {
      const { resume } = from;
      this.#fromRevision = resume.revision;
      this.#clusterId = resume.clusterId;
      this.#startWitness = resume.witnesses[0] as Witness;
      this.#canaries = new Map(resume.canaries);
      this.#complete = new Set(resume.complete);
      this.#facts = resume.facts;
      // The witnesses stand, but what came between them and here was taken from no listing.
      record.audited = false;
    }
    this.#applied = this.#fromRevision;
    record.introduced(remote.config, this.#clusterId);
    record.readKinds = new Set(this.#complete);
    this.#auditor = new Auditor({
      ...options,
      kv: remote.kv,
      signal: this.#over.signal,
      ranges: this.#audited(),
      resumed: "resume" in from,
    });
  }

  /**
   * The newest event that was received, or the newest key of a listing that was cut, as a fact: whoever lost it is not the etcd that we followed, however much we
   * acknowledged.
   */
  get lastSeen(): Witness | undefined {
    const event = this.#lastSeen;
    if (event?.type === "delete") return absence(event.modRevision, event.key);
    const kv = event?.kv ?? this.#facts.listedSoFar;
    return kv && witness(kv.modRevision, kv);
  }

  /** Ends the connection. */
  close(): void {
    this.#over.abort();
    this.#begun?.leaveGate();
    this.#remote.kv.close();
  }

  /** Resolves to why it ended. Rejects when the right to write is lost, `signal` aborts or the remote cannot be listed to its end. */
  async run(signal: AbortSignal): Promise<string> {
    const { record, clock, progressIntervalMs, progressTimeoutMs } = this.#options;
    record.phase = "reconciling";
    signal.addEventListener("abort", () => this.close(), { once: true, signal: this.#over.signal });
    if (this.#begun) await this.#reconcile(signal, this.#begun);
    else this.#judgeSynced();
    if (this.#endedBy !== undefined) return this.#endedBy;
    record.phase = "watching";
    this.#watchedFromMs = clock.nowMs();
    const end = await watch(this.#remote.kv, this.#remote.ranges, this.#fromRevision + 1, this, {
      clock,
      signal: AbortSignal.any([signal, this.#over.signal]),
      clusterId: this.#clusterId,
      witness: this.#startWitness,
      progressIntervalMs,
      progressTimeoutMs,
      proveDeletions: true,
    });
    if (!this.#over.signal.aborted && !signal.aborted) record.lost(clock.wallMs());
    return this.#endedBy ?? `watch ${end.cause}: ${end.detail}`;
  }

  async #reconcile(signal: AbortSignal, { listedAtMs, leaveGate }: BegunListing): Promise<void> {
    const { record, cache, publisher } = this.#options;
    const size = new ListingSize({ maxBytes: this.#options.maxRemoteBytes });
    const isAged = (): boolean => this.#isAged(listedAtMs);
    this.#options.reached(undefined);
    await this.#write(signal, new Map([[clusterConfigKey(this.#name), this.#adaptedConfig()]]));
    cache.forget();
    await this.#mirrorDrain();
    for (const kind of RESOURCES) {
      const complete = this.#complete.has(kind.kind);
      await this.#reconcileKind(kind, this.#pages(kind, size, signal), { complete, listedAtMs, isAged }, signal);
      await publisher.drained();
      if (complete && !this.#aged) this.#vouch(kind);
    }
    leaveGate();
    this.#facts.endListing();
    this.#startWitness = this.#facts
      .at(this.#fromRevision)
      .reduce((newest, one) => (one.modRevision > newest.modRevision ? one : newest), this.#startWitness);
    await publisher.drained();
    this.#begun = undefined;
    this.#options.judged();
    if (this.#aged) return this.restart("its listing was too old to say what is gone when it was written down");
    record.audited = true;
    this.#judgeSynced();
    if (record.synced) record.prove(listedAtMs);
    // Known from here on: an etcd that takes the place of this one is told from it, be it a moment later.
    this.#options.reached(this.#resumePoint(this.#fromRevision));
  }

  #judgeSynced(): void {
    const { record } = this.#options;
    const missing = RESOURCES.filter(({ kind }) => !this.#complete.has(kind)).map(({ kind }) => kind);
    record.synced = missing.length === 0;
    record.syncedKinds = new Set(this.#complete);
    record.lastError = record.synced ? undefined : `its exporter has not written everything yet: ${missing.join(", ")}`;
  }

  async #reconcileKind(
    kind: Resource,
    listed: AsyncIterable<ListedPage>,
    how: ListedHow,
    signal: AbortSignal,
  ): Promise<void> {
    const { cache, publisher, local, clock, pageSize, log } = this.#options;
    const comparison = new Comparison(publisher, local, kind.cachePrefix(this.#name), { pageSize, clock, signal });
    const { written, removed, doubted } = await cache.relist(kind.kind, listed, how, (part) =>
      this.#patiently(signal, () => comparison.part(part)),
    );
    this.#aged ||= doubted > 0;
    const counts = { written, removed, doubted };
    if (written + removed + doubted > 0)
      log.info({ remote: this.#name, kind: kind.kind, ...counts }, "cache reconciled");
  }

  /** What the remote has of a kind, in pages; one without keys if it does not offer the kind. */
  async *#pages(kind: Resource, size: ListingSize, signal: AbortSignal): AsyncGenerator<ListedPage> {
    const { kv, ranges, kinds } = this.#remote;
    const range = ranges[FIRST_KIND_RANGE + kinds.indexOf(kind)];
    if (!kinds.includes(kind) || !range) return yield { listed: [], lastSuffix: undefined };
    const at = { revision: this.#fromRevision, clusterId: this.#clusterId };
    const { clock, publisher, pageSize } = this.#options;
    let askedMs = clock.nowMs();
    for await (const { kvs, more } of pagesAt(kv, range, at, { pageSize, signal })) {
      this.#readMs += clock.nowMs() - askedMs;
      size.add(kvs);
      this.#facts.saw(kvs);
      const lastSuffix = more ? kvs.at(-1)?.key.slice(range.key.length) : undefined;
      yield { listed: bySuffix(kvs, range.key), lastSuffix };
      await publisher.room(WAITING_WRITES);
      askedMs = clock.nowMs();
    }
  }

  #isAged(listedAtMs: number): boolean {
    const { clock, progressTimeoutMs } = this.#options;
    return clock.nowMs() - listedAtMs > progressTimeoutMs + (1 + COMPARED_IN_LISTINGS) * this.#readMs;
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

  /** Everything of the kind was compared: the canary says when, also where one stands, for a backup has one too (decision 0026). */
  #vouch({ cacheCanary }: Resource): void {
    const { publisher, clock } = this.#options;
    publisher.put(canaryKey(this.#name, cacheCanary), encodeTime(clock.wallMs()), "live");
  }

  #remotePrefix(kind: Resource): string {
    return this.#remote.ranges[FIRST_KIND_RANGE + this.#remote.kinds.indexOf(kind)]?.key ?? "";
  }

  #audited() {
    return this.#remote.kinds.map((kind) => ({ kind, prefix: this.#remotePrefix(kind) }));
  }

  changed(rangeIndex: number, events: readonly WatchEvent[]): void {
    const last = events.at(-1);
    if (last && revisionOf(last) >= this.#applied) {
      this.#applied = revisionOf(last);
      this.#lastSeen = last;
    }
    this.#facts.happened(events);
    if (rangeIndex === CONFIG_RANGE) this.#configChanged(events);
    else if (rangeIndex === CANARY_RANGE) this.#canariesChanged(events);
    else if (rangeIndex === HEARTBEAT_RANGE) this.#heartbeatChanged(events);
    else if (rangeIndex === DRAIN_RANGE) this.#drainChanged(events);
    else this.#kindChanged(this.#remote.kinds[rangeIndex - FIRST_KIND_RANGE], events);
  }

  #kindChanged(kind: Resource | undefined, events: readonly WatchEvent[]): void {
    if (!kind || this.#over.signal.aborted) return;
    for (const event of events) {
      if (this.#missed) this.#keepMissed(this.#missed, kind, event);
      else this.#tell(kind, event);
    }
    this.#judgeSize();
  }

  /** I7: neither what is known of a remote nor what waits to be told grows without end. */
  #judgeSize(): void {
    const { record, maxRemoteKeys, maxRemoteBytes } = this.#options;
    if (Math.max(record.size, this.#missed?.size ?? 0) > maxRemoteKeys) {
      this.restart(`its etcd holds more than ${maxRemoteKeys} keys`);
    } else if (this.#missedBytes > maxRemoteBytes) {
      this.restart(`its etcd changed more than ${maxRemoteBytes} bytes at once`);
    }
  }

  #keepMissed(missed: Missed, kind: Resource, event: WatchEvent): void {
    const key = eventKey(event);
    this.#missedBytes += bytesOf(event) - bytesOf(missed.get(key)?.event);
    missed.set(key, { kind, event });
  }

  #tell(resource: Resource, event: WatchEvent): void {
    const { cache } = this.#options;
    const { kind } = resource;
    const suffix = eventKey(event).slice(this.#remotePrefix(resource).length);
    this.#auditor.touch(kind, suffix);
    if (event.type === "put") cache.put(kind, suffix, event.kv);
    else cache.delete(kind, suffix, event.modRevision);
  }

  /** Owners before what they own, as in a listing. What comes meanwhile waits behind it. */
  async #catchUp(missed: Missed): Promise<void> {
    if (this.#catchingUp) return;
    this.#catchingUp = true;
    const slices = new Slices(this.#options.clock);
    while (missed.size > 0 && !this.#over.signal.aborted) {
      for (const kind of this.#remote.kinds) {
        for (const [key, one] of missed) {
          if (one.kind !== kind) continue;
          missed.delete(key);
          this.#missedBytes -= bytesOf(one.event);
          this.#tell(kind, one.event);
          await slices.rest();
        }
      }
    }
    this.#missed = undefined;
    this.#judgeSize();
  }

  #configChanged(events: readonly WatchEvent[]): void {
    const last = events.at(-1);
    const same = last?.type === "put" && Buffer.compare(last.kv.value, this.#remote.configBytes) === 0;
    if (!same) this.restart(last?.type === "delete" ? "its cluster config was deleted" : "its cluster config changed");
  }

  #canariesChanged(events: readonly WatchEvent[]): void {
    const { config } = this.#remote;
    for (const event of events) {
      if (event.type === "put") this.#canaries.set(event.kv.key, event.kv.value.slice());
      else this.#canaries.delete(event.key);
      const about = RESOURCES.find((kind) => remoteCanary(this.#name, kind, config) === eventKey(event));
      if (!about?.offers(config)) continue;
      if (event.type === "put") this.#canaryCame ||= !this.#complete.has(about.kind);
      else if (config.syncedCanaries) this.#complete.delete(about.kind);
    }
    this.#judgeSynced();
  }

  #heartbeatChanged(events: readonly WatchEvent[]): void {
    const { record, clock } = this.#options;
    for (const event of events) if (event.type === "put") record.heartbeat(event.kv.modRevision, clock.nowMs());
  }

  #drainChanged(events: readonly WatchEvent[]): void {
    const last = events.at(-1);
    this.#takeMarker(last?.type === "put" ? last.kv.value : undefined);
  }

  /** The marker before its canary, and both before the services that it is of. */
  async #mirrorDrain(): Promise<void> {
    this.#takeMarker(this.#marker);
    const { publisher, clock } = this.#options;
    await publisher.drained();
    publisher.put(cachedDrainCanary(this.#name), encodeTime(clock.wallMs()), "live");
  }

  /** One that is refused changes nothing. An empty one, put by hand, moves no traffic and says that withdrawals are meant. */
  #takeMarker(marker: Uint8Array | undefined): void {
    const { cache, publisher, record } = this.#options;
    const key = cachedDrainKey(this.#name);
    const judged = marker && judgeDrain(this.#remote.ranges[DRAIN_RANGE]?.key ?? key, marker);
    if (judged && !judged.ok) return void record.rejected(key, judged.rejection);
    record.accepted(key);
    if (marker) publisher.put(key, marker, "live");
    else publisher.delete(key, "live");
    cache.drain(marker?.length === 0 || (judged !== undefined && isEmptied(judged.value)));
  }

  progress(revision: number): void {
    const { clock, redial, lasted, judged, record, cache, guard } = this.#options;
    if (clock.nowMs() - this.#watchedFromMs >= redial.capMs) lasted();
    if (this.#missed && (this.#missed.size > 0 || this.#catchingUp)) return void this.#catchUp(this.#missed);
    this.#missed = undefined;
    cache.joint(this.#complete);
    judged();
    if (this.#canaryCame) this.restart("it has written more");
    else if (guard.due) this.restart("it is listed again to confirm what is held");
    else if (record.synced) this.#prove(revision);
    if (this.#applied <= revision) void this.#auditor.joint(revision).then((line) => line && this.restart(line));
  }

  /** What was received up to now is the remote's state; it counts once it is acknowledged in the local cache. */
  #prove(revision: number): void {
    if (this.#proving) return;
    const { publisher, record, clock, reached } = this.#options;
    const atMs = clock.nowMs();
    const point = this.#applied <= revision ? this.#resumePoint(revision) : undefined;
    this.#proving = true;
    const done = (): void => {
      this.#proving = false;
    };
    publisher.drained().then(() => {
      record.prove(atMs);
      if (point && !this.#over.signal.aborted) reached(point);
      done();
    }, done);
  }

  #resumePoint(revision: number): ResumePoint | undefined {
    const witnesses = this.#facts.at(revision);
    if (witnesses.length === 0) return undefined;
    return {
      clusterId: this.#clusterId,
      revision,
      witnesses,
      facts: this.#facts,
      configBytes: this.#remote.configBytes,
      canaries: new Map(this.#canaries),
      complete: new Set(this.#complete),
    };
  }

  /** Ends it: only a new listing can help. */
  restart(reason: string): void {
    if (this.#over.signal.aborted) return;
    this.#endedBy ??= reason;
    this.#options.reached(undefined);
    this.#over.abort();
  }
}

function* bySuffix(kvs: readonly KeyValue[], prefix: string): Generator<readonly [string, KeyValue]> {
  for (const kv of kvs) yield [kv.key.slice(prefix.length), kv];
}

function bytesOf(event: WatchEvent | undefined): number {
  return event?.type === "put" ? event.kv.value.length : 0;
}
