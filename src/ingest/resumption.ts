/** How an agent gets its first view of the local etcd: from what an agent before it wrote down and what happened since, or by a listing, and why. */
import type { KeyRange, PagedListing } from "../follow/list.ts";
import type { Placed } from "../follow/listing-file.ts";
import type { Known, ListingStore } from "../follow/listing-store.ts";
import { askHeader, type ResumeSink, resume } from "../follow/resume.ts";
import type { SourceOptions } from "../follow/source.ts";
import type { FollowSink } from "../follow/watch.ts";
import type { KvClient, WatchEnd } from "../kv/client.ts";
import type { FirstView } from "../model/status.ts";
import { every } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { LocalWorld } from "./local-world.ts";

export interface ResumptionOptions extends Omit<SourceOptions, "resume"> {
  readonly ranges: readonly KeyRange[];
  readonly firstRanges: number;
  readonly store: ListingStore;
  /** Least time between two writes of what changed. */
  readonly saveIntervalMs: number;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly world: LocalWorld;
  /** What was known, before the etcd is asked whether it is still true. */
  readonly recalled: (known: Known) => void;
  readonly resumed: ResumeSink["resumed"];
}

/** Contact that is lost that often while it catches up: a listing may get through where a watch does not. */
const MAX_ATTEMPTS = 3;

export class Resumption {
  readonly #options: ResumptionOptions;
  #over = false;
  #attempts = 0;
  #reason = "nothing was written down before";
  #first: FirstView | undefined;

  constructor(options: ResumptionOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, saveIntervalMs, signal, store } = this.#options;
    every(clock, saveIntervalMs, signal, () => void store.save());
  }

  /** How the first view came; undefined: there is none yet. */
  get first(): FirstView | undefined {
    return this.#first;
  }

  /** `SourceOptions.resume` */
  async resume(kv: KvClient, signal: AbortSignal, sink: FollowSink): Promise<WatchEnd | undefined> {
    if (this.#over) return undefined;
    const { ranges, store, world } = this.#options;
    const header = await askHeader(kv, ranges);
    const known = await store.load();
    if (known === undefined) return this.#refuse(store.refusals.join("; ") || this.#reason);
    this.#options.recalled(known);
    if (this.#attempts++ >= MAX_ATTEMPTS) return this.#refuse("contact was lost each time while it caught up");
    const witnesses = world.witnesses(known.revision);
    const resumed: ResumeSink = {
      changed: (range, events) => sink.changed(range, events),
      progress: (revision) => sink.progress(revision),
      resumed: (listing, changes) => this.#resumed(known, listing, changes),
    };
    const outcome = await resume(kv, ranges, header, known, witnesses, resumed, { ...this.#options, signal });
    return outcome.ok ? outcome.end : this.#refuse(outcome.detail);
  }

  #refuse(reason: string): undefined {
    this.#over = true;
    this.#reason = reason;
  }

  async #resumed(known: Known, listing: PagedListing, changes: readonly Placed[]): Promise<void> {
    const { store } = this.#options;
    this.#over = true;
    store.goOn();
    for (const { range, event } of changes) store.happened(range, [event]);
    await this.#options.resumed(listing, changes);
    const missed = listing.revision - known.revision;
    this.#came({ how: "resumed", detail: `${missed} revisions were missed` });
  }

  /** The etcd was listed. */
  listed(): void {
    this.#over = true;
    this.#came({ how: "listed", detail: this.#reason });
  }

  #came(view: FirstView): void {
    const { metrics, log } = this.#options;
    metrics
      .counter("bulkhead_ingest_views_total", "Complete views of the local etcd, by how they came.", ["how"])
      .add(1, {
        how: view.how,
      });
    if (this.#first !== undefined) return;
    this.#first = view;
    log.info(view, "first view of the local etcd");
  }
}
