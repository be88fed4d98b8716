/**
 * Watches several ranges of one etcd as one stream of changes. `progress` is the only point at which all ranges are known to
 * stand at the same revision, and the only proof that silence means "nothing changed".
 */
import { type Header, type KvClient, revisionOf, type Watch, type WatchEnd, type WatchEvent } from "../kv/client.ts";
import { type Clock, every } from "../runtime/clock.ts";
import { messageOf } from "../runtime/user-error.ts";
import { confirms, type KeyRange, type Witness } from "./list.ts";

export interface FollowSink {
  /** Whole revisions, ascending, each event once. */
  changed(rangeIndex: number, events: readonly WatchEvent[]): void;
  /** Every range delivered everything up to `revision`. */
  progress(revision: number): void;
}

export interface WatchOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The etcd that was listed; an answer of another one ends the watch. */
  readonly clusterId: bigint;
  /** Of the listing; asked for once the watches stand, because an etcd may be wiped and keep its id. Nothing counts as proved before. */
  readonly witness: Witness;
  /** How often a proof is asked for. */
  readonly progressIntervalMs: number;
  /** Silence that long means the stream is dead, whatever TCP says. */
  readonly progressTimeoutMs: number;
  /** Asks for a joint point as soon as something was deleted, for a sink that believes deletions only there. */
  readonly proveDeletions?: boolean;
}

/**
 * Follows `ranges` from `fromRevision` (the first one wanted) until one of the watches ends or `signal` aborts
 * (`canceled`, "stopped"). Never rejects; all watches are over when it resolves.
 */
export function watch(
  kv: KvClient,
  ranges: readonly KeyRange[],
  fromRevision: number,
  sink: FollowSink,
  options: WatchOptions,
): Promise<WatchEnd> {
  return new Promise((resolve) => new Watching(kv, ranges, fromRevision, sink, options, resolve));
}

class Watching {
  readonly #kv: KvClient;
  readonly #sink: FollowSink;
  readonly #options: WatchOptions;
  readonly #resolve: (end: WatchEnd) => void;
  readonly #over = new AbortController();
  readonly #watches: Watch[] = [];
  /** By range: newest event applied. Not moved by progress, which old servers may send ahead of events. */
  readonly #applied: number[];
  /** By range: everything up to here was delivered. */
  readonly #delivered: number[];
  /** Ranges that proved themselves alive since the last joint point. */
  readonly #proofs = new Set<number>();
  /** Ranges whose watch stands. */
  #created = 0;
  /** A joint point was asked for because of a deletion, and has not come yet. */
  #asked = false;
  #joint: number;
  #provenAtMs: number;
  #world: "unknown" | "asking" | "same" = "unknown";

  constructor(
    kv: KvClient,
    ranges: readonly KeyRange[],
    fromRevision: number,
    sink: FollowSink,
    options: WatchOptions,
    resolve: (end: WatchEnd) => void,
  ) {
    this.#kv = kv;
    this.#sink = sink;
    this.#options = options;
    this.#resolve = resolve;
    this.#joint = fromRevision - 1;
    this.#applied = ranges.map(() => this.#joint);
    this.#delivered = ranges.map(() => this.#joint);
    this.#provenAtMs = options.clock.nowMs();
    this.#begin(ranges, fromRevision);
  }

  #begin(ranges: readonly KeyRange[], startRevision: number): void {
    const { signal, clock, progressIntervalMs } = this.#options;
    const over = this.#over.signal;
    if (signal.aborted) {
      this.#stop();
      return;
    }
    signal.addEventListener("abort", () => this.#stop(), { once: true, signal: over });
    for (const [index, range] of ranges.entries()) {
      if (over.aborted) break;
      this.#watches.push(this.#kv.watch({ ...range, startRevision }, this.#watchSink(index)));
    }
    // A body may end a watch while it is being made.
    if (over.aborted) this.#cancelAll();
    else every(clock, progressIntervalMs, over, () => this.#tick());
  }

  #watchSink(index: number) {
    const live = (header: Header): boolean => !this.#over.signal.aborted && this.#sameEtcd(header);
    return {
      created: (header: Header) => {
        // A first joint point says that what had happened before is told.
        if (live(header) && ++this.#created === this.#applied.length) this.#watches[0]?.requestProgress();
      },
      events: (events: readonly WatchEvent[], header: Header) => {
        if (live(header)) this.#events(index, events);
      },
      progress: (header: Header) => {
        if (live(header)) this.#progress(index, header.revision);
      },
      ended: (end: WatchEnd) => this.#end(end),
    };
  }

  #sameEtcd(header: Header): boolean {
    if (header.clusterId === this.#options.clusterId) return true;
    this.#end({ cause: "broken", detail: "another etcd cluster answered" });
    return false;
  }

  #events(index: number, events: readonly WatchEvent[]): void {
    const applied = this.#applied[index] ?? 0;
    const fresh = events.filter((event) => revisionOf(event) > applied);
    const last = fresh.at(-1);
    if (last === undefined) return;
    this.#applied[index] = revisionOf(last);
    // A catch-up answer carries the store's revision in its header: only the events themselves say how far it got.
    this.#delivered[index] = Math.max(this.#delivered[index] ?? 0, revisionOf(last));
    this.#sink.changed(index, fresh);
    if (!this.#options.proveDeletions || this.#asked || !fresh.some(({ type }) => type === "delete")) return;
    this.#asked = true;
    this.#watches[0]?.requestProgress();
  }

  #progress(index: number, revision: number): void {
    this.#delivered[index] = Math.max(this.#delivered[index] ?? 0, revision);
    if (revision < this.#joint) return;
    const joint = Math.min(...this.#delivered);
    this.#proofs.add(index);
    if (joint < this.#joint || this.#proofs.size < this.#delivered.length) return;
    this.#proofs.clear();
    if (this.#world !== "same") return void this.#confirmWorld();
    this.#joint = joint;
    this.#asked = false;
    this.#provenAtMs = this.#options.clock.nowMs();
    this.#sink.progress(joint);
  }

  async #confirmWorld(): Promise<void> {
    if (this.#world === "asking") return;
    this.#world = "asking";
    try {
      const same = await confirms(this.#kv, this.#options.witness);
      this.#world = "same";
      if (!same) this.#end({ cause: "broken", detail: "the etcd was replaced since the listing" });
      else if (!this.#over.signal.aborted) this.#watches[0]?.requestProgress();
    } catch (error) {
      this.#end({ cause: "broken", detail: `the listing cannot be confirmed: ${messageOf(error)}` });
    }
  }

  #tick(): void {
    const silentMs = this.#options.clock.nowMs() - this.#provenAtMs;
    if (silentMs >= this.#options.progressTimeoutMs) {
      this.#end({ cause: "broken", detail: `no sign of life for ${Math.round(silentMs)} ms` });
      return;
    }
    // All watches of a client share a stream, and it answers for all of them.
    this.#watches[0]?.requestProgress();
  }

  #stop(): void {
    this.#end({ cause: "canceled", detail: "stopped" });
  }

  #end(end: WatchEnd): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.#cancelAll();
    this.#resolve(end);
  }

  #cancelAll(): void {
    for (const watch of this.#watches) watch.cancel();
  }
}
