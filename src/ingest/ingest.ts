/**
 * The arrow from the local etcd to the tables, and from nothing else. A row goes when its key is deleted, or when a listing of a source that is
 * proved complete (config and canary) does not show it. Silence, an empty etcd, one that lacks a canary, and one that was restored take nothing away.
 */
import type { Disk } from "../disk/door.ts";
import type { ListedPage, PagedListing } from "../follow/list.ts";
import type { ListingCopy } from "../follow/listing-copy.ts";
import type { Placed } from "../follow/listing-file.ts";
import { type Known, ListingStore } from "../follow/listing-store.ts";
import { followForever, type SourceOptions, type SourceSink } from "../follow/source.ts";
import type { FollowSink } from "../follow/watch.ts";
import type { KeyValue, WatchEvent } from "../kv/client.ts";
import type { Cluster } from "../model/cluster.ts";
import type { FirstView, PeersStatus } from "../model/status.ts";
import { Slices, sleep } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { AgentTables } from "../tables/agent-tables.ts";
import type { SourceKind } from "../tables/tables-view.ts";
import { LOCAL_IDENTITIES_PREFIX, PEER_GRADES_KEY } from "../wire/keys.ts";
import { stateKey } from "../wire/resources.ts";
import { Canaries } from "./canaries.ts";
import { Clusters, type Numbered } from "./clusters.ts";
import { Doubt } from "./doubt.ts";
import { Drains } from "./drains.ts";
import { FollowedKeys } from "./keys.ts";
import { type Likeness, LocalWorld } from "./local-world.ts";
import { Locks, numberedLocks } from "./locks.ts";
import { Parking } from "./parking.ts";
import { Peers } from "./peers.ts";
import { Resumption } from "./resumption.ts";
import { type Row, Rows } from "./rows.ts";

/** One kind of one cluster. */
interface Source {
  readonly cluster: Cluster;
  readonly kind: SourceKind;
}

function sourceName({ cluster, kind }: Source): string {
  return `${kind}/${cluster.id}`;
}

export interface IngestOptions extends Omit<SourceOptions, "resume"> {
  readonly tables: AgentTables;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Values kept of clusters whose config is not known. */
  readonly maxParked: number;
  /** Least time between two listings that `recheck` asks for. */
  readonly recheckIntervalMs: number;
  /** For how long a local etcd that was restored is doubted at most. */
  readonly restoredConfirmMs: number;
  /** Told after the tables changed. */
  readonly changed: () => void;
  /** Where what the etcd says is written down, so that the next process need not list it; absent: it is not. */
  readonly written?: {
    readonly disk: Disk;
    readonly directory: string;
    readonly cluster: string;
    readonly node: string;
    readonly saveIntervalMs: number;
    /** A process that went on from there lists after that long at the latest, at random, in case a watch lost something. */
    readonly auditMs: number;
  };
}

export interface IngestStatus {
  readonly connected: boolean;
  /** At least one complete listing was taken in since start. */
  readonly listed: boolean;
  /** Every source, of the own cluster and of each configured one, is complete. */
  readonly synced: boolean;
  /** How the first view came; absent: there was none. */
  readonly first?: FirstView;
  /** Since the last proof that the tables are what the local etcd says; absent when there was none. */
  readonly ageMs?: number;
  readonly problems: readonly string[];
}

interface TakingIn {
  readonly copy?: ListingCopy | undefined;
  readonly missed?: readonly KeyValue[];
}

/** Least time between two listings that are written down, in intervals of what changed. */
const REWRITE_SAVES = 10;

/** Why the local etcd is doubted. */
const DOUBTED = {
  same: "",
  other: "it was restored, or is another one",
  unknown: "it was compacted past all that could prove that it was not restored",
} as const satisfies Record<Likeness, string>;

export class Ingest implements SourceSink {
  readonly #options: IngestOptions;
  readonly #own: Cluster;
  readonly #keys: FollowedKeys;
  readonly #clusters: Clusters;
  #canaries = new Canaries();
  readonly #parking: Parking;
  readonly #rows: Rows;
  readonly #peers: Peers;
  readonly #world = new LocalWorld();
  readonly #locks = new Locks();
  readonly #doubt: Doubt;
  /** Since the doubt began, why. */
  #doubted: Likeness = "same";
  /** Doubted sources that their writer vouched for since the last listing, and how many these were at the last progress. */
  #vouched = 0;
  #vouchedBefore = 0;
  readonly #drains: Drains;
  readonly #store: ListingStore | undefined;
  readonly #resumption: Resumption | undefined;
  /** Complete when they were written down: an etcd that is another one has to vouch for them. */
  #recalled: readonly string[] = [];
  #writtenAtMs = Number.NEGATIVE_INFINITY;
  /** The last listing came too soon to be written down. */
  #unwritten = false;
  /** Clusters of which some values were turned away before their id was known: complete only after the next listing. */
  readonly #incomplete = new Set<string>();
  /** What the tables were told to be synced, `kind/id`. */
  #synced: ReadonlyMap<string, Source> = new Map();
  #connected = false;
  #lastError: string | undefined;
  #provenAtMs: number | undefined;
  #round = new AbortController();
  /** Between a listing taken in and the end of its watch: a listing is never cut off by the wish for another. */
  #watching = false;
  /** A listing was begun to be taken in, and was not whole yet. */
  #listing = false;
  /** It was asked for while one was taken in. */
  #relistWanted = false;
  #recheckWanted = false;
  #recheckedAtMs = Number.NEGATIVE_INFINITY;
  /** Revision of the tables that was told last. */
  #told = 0;

  constructor(options: IngestOptions) {
    this.#options = options;
    this.#own = options.tables.own;
    this.#keys = new FollowedKeys(this.#own.name);
    this.#clusters = new Clusters(this.#own);
    this.#parking = new Parking(options.maxParked);
    this.#rows = new Rows(options.tables, options.metrics);
    this.#peers = new Peers(options.clock);
    this.#doubt = new Doubt(options.restoredConfirmMs);
    this.#drains = new Drains(options.tables);
    const { ranges, firstRanges } = this.#keys;
    this.#store = options.written && new ListingStore({ ...options.written, ranges });
    this.#resumption =
      options.written &&
      this.#store &&
      new Resumption({
        ...options,
        ...options.written,
        ranges,
        firstRanges,
        store: this.#store,
        world: this.#world,
        recalled: (known) => this.#recall(known),
        resumed: (listing, changes) => this.#resumed(listing, changes),
      });
  }

  /** Resolves when the signal aborts. */
  async run(): Promise<void> {
    const { signal, kv } = this.#options;
    const resumption = this.#resumption;
    resumption?.start();
    while (!signal.aborted) {
      this.#watching = false;
      this.#round = new AbortController();
      const either = AbortSignal.any([signal, this.#round.signal]);
      const resume = resumption && { resume: (sink: FollowSink) => resumption.resume(kv, either, sink) };
      const { ranges, firstRanges } = this.#keys;
      await followForever({ ...this.#options, ...resume, firstRanges, signal: either }, ranges, this);
    }
    await this.#store?.save();
  }

  /**
   * Somebody met what the tables do not know: lists again, in case the watch lost something. At most once in `recheckIntervalMs`; what is asked
   * meanwhile waits until then.
   */
  recheck(): void {
    this.#recheckWanted = true;
    this.#recheckIfDue();
  }

  status(): IngestStatus {
    const proven = this.#provenAtMs;
    return {
      connected: this.#connected,
      listed: proven !== undefined,
      ...(this.#resumption?.first && { first: this.#resumption.first }),
      synced: this.#clusters.all().every((cluster) => !this.#unproven(cluster)),
      ...(proven !== undefined && { ageMs: this.#options.clock.nowMs() - proven }),
      problems: this.#problems(),
    };
  }

  /** How fresh the remotes are, as the mirror says. Nothing is ever removed or changed because of it here. */
  peers(): PeersStatus {
    const [, ...others] = this.#clusters.all();
    return this.#peers.status(others.map(({ name }) => name));
  }

  async listed(listing: PagedListing): Promise<void> {
    const likeness = await this.#meet(listing);
    const isDue = this.#isRewriteDue();
    const copy = isDue ? this.#store?.copy(listing) : undefined;
    try {
      await this.#takeIn(listing, likeness, { copy });
      this.#unwritten = !isDue && this.#doubt.sources.size === 0;
      this.#writeDown(listing, copy);
    } finally {
      copy?.drop();
    }
    this.#resumption?.listed();
  }

  /** A whole listing is much to write: those that follow each other soon are not, and then what was written before stays until the next one. */
  #writeDown(listing: PagedListing, copy: ListingCopy | undefined): void {
    if (this.#doubt.sources.size > 0 || copy === undefined) {
      this.#store?.suspend();
      return;
    }
    this.#writtenAtMs = this.#options.clock.nowMs();
    this.#store?.listed(listing, copy, this.#world.deletions());
  }

  #isRewriteDue(): boolean {
    const { clock, written } = this.#options;
    return clock.nowMs() - this.#writtenAtMs >= REWRITE_SAVES * (written?.saveIntervalMs ?? 0);
  }

  /** As if it had been listed; soon it will be. */
  async #resumed(listing: PagedListing, changes: readonly Placed[]): Promise<void> {
    const { clock, random, signal, written } = this.#options;
    const missed = changes.flatMap(({ event }) => (event.type === "put" ? event.kv : []));
    await this.#takeIn(listing, await this.#meet(listing), { missed });
    if (this.#doubt.sources.size > 0) this.#store?.suspend();
    const auditMs = random.next() * (written?.auditMs ?? 0);
    void sleep(clock, auditMs, signal).then(() => this.recheck());
  }

  /** What is known before the etcd was asked: what it must not contradict. */
  #recall(known: Known): void {
    const clusters = new Clusters(this.#own);
    const canaries: KeyValue[] = [];
    const locks: KeyValue[] = [];
    for (const { range, event } of known.keys()) {
      if (range >= this.#keys.firstRanges) break;
      const { kv } = event;
      const subject = this.#keys.subject(kv.key);
      if (subject?.what === "canary") canaries.push(kv);
      if (subject?.what === "lock") locks.push(kv);
      if (subject?.what === "config") clusters.put(subject.cluster, kv.value);
    }
    this.#world.recall(known);
    this.#locks.listed(numberedLocks(locks), "same");
    this.#canaries = this.#canaries.listed(canaries, known.revision, false);
    const sources = clusters.all().flatMap((cluster) => this.#sources(cluster));
    const complete = sources.filter(({ cluster: { name }, kind }) => {
      const canary = this.#keys.canary(name, kind);
      return canary !== undefined && clusters.isConfigured(name) && this.#canaries.proves(canary);
    });
    this.#recalled = complete.map(sourceName);
  }

  /**
   * Puts what it shows, as it comes. What it lacks goes once all of it was there: one that breaks off takes nothing away and proves nothing.
   * @param likeness see `#meet`
   * @param missed keys of it that nobody knew before: they are told before the others are looked at, but for those of the own cluster.
   */
  async #takeIn(listing: PagedListing, likeness: Likeness, { copy, missed = [] }: TakingIn): Promise<void> {
    const other = likeness !== "same";
    this.#listing = true;
    this.#relistWanted = false;
    this.#world.beginListing(other);
    this.#incomplete.clear();
    this.#parking.clear();
    this.#clusters.mark();
    this.#rows.mark();
    this.#drains.mark();
    const canaries = this.#canaries.listed(this.#firstOf(listing, "canary"), listing.revision, other);
    let grades: Uint8Array | undefined;
    const slices = new Slices(this.#options.clock);
    const put = async (kvs: readonly KeyValue[]): Promise<void> => {
      for (const { key, value } of kvs) {
        if (key === PEER_GRADES_KEY) grades = value;
        else if (this.#doubt.sources.size === 0 || !this.#isDoubted(key, canaries)) this.#put(key, value);
        await slices.rest();
      }
    };
    const take = (page: ListedPage): Promise<void> => {
      this.#world.saw(page.kvs);
      copy?.page(page);
      return put(page.kvs);
    };
    for (const [range, kvs] of listing.first.entries()) await take({ range, kvs });
    // Drains and preferences are of clusters by name: those of whom nothing came yet too.
    this.#options.tables.setClusters(this.#clusters.all());
    let own = true;
    for await (const page of listing.pages) {
      const others = page.range >= this.#keys.otherRanges;
      if (own && others) await put(missed);
      own &&= !others;
      await take(page);
      // What the own cluster says comes first into the maps, and what others may not say of it is known by then.
      if (others) this.#tell(false);
    }
    this.#world.endListing(listing);
    this.#canaries = canaries;
    this.#locks.listed(this.#locksIn(listing), likeness);
    this.#peers.listed(grades);
    this.#drains.sweep((cluster) => this.#canaries.proves(this.#keys.drainCanary(cluster)));
    this.#listing = false;
    this.#prove();
    this.#settle(true);
    this.#watching = true;
    if (this.#relistWanted) this.#relist();
  }

  /** Is it the etcd that was followed? If not, or if that is unknown, only what happens from here on counts at first. */
  async #meet(listing: PagedListing): Promise<Likeness> {
    const { kv, clock, log } = this.#options;
    const locks = this.#locksIn(listing);
    const found = await this.#world.compare(kv, listing);
    // Where no lock is numbered nothing ever tells: that etcd is believed, or backends that are gone would be kept whenever an agent was away for longer.
    const likeness = found === "unknown" && this.#locks.prove(locks) !== false ? "same" : found;
    if (likeness !== "same") {
      this.#doubt.begin([...this.#recalled, ...this.#synced.keys()], clock.nowMs());
      this.#doubted = likeness;
      log.warn(
        { sources: this.#doubt.sources.size, reason: DOUBTED[likeness] },
        "the local etcd is doubted; what was known stays",
      );
    } else if (this.#locks.vouch(locks)) this.#believe(this.#doubt.sources);
    this.#recalled = [];
    return likeness;
  }

  #locksIn(listing: PagedListing): ReturnType<typeof numberedLocks> {
    return numberedLocks(this.#firstOf(listing, "lock"));
  }

  #firstOf({ first }: PagedListing, what: "canary" | "lock"): readonly KeyValue[] {
    return first.flat().filter(({ key }) => this.#keys.subject(key)?.what === what);
  }

  /** @param canaries of the listing that it is in. */
  #isDoubted(key: string, canaries: Canaries): boolean {
    const subject = this.#keys.subject(key);
    if (subject?.what === "drain") return !canaries.proves(this.#keys.drainCanary(subject.cluster));
    const cluster = subject?.what === "row" ? this.#clusters.get(subject.cluster) : undefined;
    if (subject?.what !== "row" || cluster === undefined) return false;
    const source = { cluster, kind: subject.kind };
    return this.#doubt.sources.has(sourceName(source)) && !this.#isComplete(source, canaries);
  }

  changed(range: number, events: readonly WatchEvent[]): void {
    this.#world.happened(events);
    this.#store?.happened(range, events);
    for (const event of events) {
      if (event.type === "delete") this.#delete(event.key);
      else this.#putEvent(event.kv);
    }
    this.#settle(false);
  }

  progress(revision: number): void {
    this.#canaries.progress(revision);
    this.#world.progress(revision);
    this.#store?.progress(revision, this.#world.deletions());
    this.#prove();
    this.#settle(false);
    this.#relistIfVouched();
    if (this.#unwritten && this.#isRewriteDue()) this.recheck();
    this.#recheckIfDue();
  }

  lost(detail: string): void {
    this.#connected = false;
    this.#watching = false;
    this.#lastError = detail;
    this.#options.log.warn({ detail }, "local etcd lost; everything known stays");
  }

  /** The etcd is as its writers want it; what this means for what we know only a listing says. Once no more of them are about to vouch. */
  #relistIfVouched(): void {
    const isOver = this.#locks.vouch() || this.#doubt.isOver(this.#options.clock.nowMs());
    if (isOver) this.#believe(this.#doubt.sources);
    const settled = this.#vouched > 0 && this.#vouched === this.#vouchedBefore;
    this.#vouchedBefore = this.#vouched;
    if (isOver || settled) this.#round.abort();
  }

  #recheckIfDue(): void {
    const nowMs = this.#options.clock.nowMs();
    if (!this.#recheckWanted || !this.#watching) return;
    if (nowMs - this.#recheckedAtMs < this.#options.recheckIntervalMs) return;
    this.#recheckWanted = false;
    this.#recheckedAtMs = nowMs;
    this.#round.abort();
  }

  #putEvent(kv: KeyValue): void {
    const subject = this.#keys.subject(kv.key);
    if (subject?.what === "canary") this.#canaries.put(kv);
    else if (subject?.what === "lock") this.#locks.put(kv);
    else if (subject?.what === "grades") this.#peers.written(kv.value);
    else this.#put(kv.key, kv.value);
  }

  #put(key: string, value: Uint8Array): void {
    const subject = this.#keys.subject(key);
    if (subject?.what === "row") this.#putRow(key, subject, value);
    if (subject?.what === "drain") this.#drains.put(key, subject.cluster, value);
    if (subject?.what !== "config") return;
    const numbered = this.#clusters.put(subject.cluster, value);
    if (numbered !== undefined) this.#unpark(numbered);
  }

  #putRow(key: string, row: Row, value: Uint8Array): void {
    const cluster = this.#clusters.get(row.cluster);
    if (cluster === undefined) this.#parking.put(row.cluster, { key, value });
    else this.#rows.put(key, row, cluster, value);
  }

  #delete(key: string): void {
    const subject = this.#keys.subject(key);
    if (subject?.what === "canary") this.#canaries.delete(key);
    if (subject?.what === "grades") this.#peers.gone();
    if (subject?.what === "lock") this.#locks.delete(key);
    if (subject?.what === "drain") this.#drains.delete(subject.cluster);
    if (subject?.what === "config") this.#clusters.delete(subject.cluster);
    if (subject?.what !== "row") return;
    this.#parking.delete(subject.cluster, key);
    this.#rows.delete(key, subject);
  }

  /** The cluster's id became known: its values can be judged. */
  #unpark({ cluster, renumbered }: Numbered): void {
    const { values, complete } = this.#parking.take(cluster.name);
    for (const { key, value } of values) this.#put(key, value);
    if (complete && !renumbered) return;
    this.#incomplete.add(cluster.name);
    this.#relist();
  }

  /** Not before the listing that is being taken in is whole. */
  #relist(): void {
    this.#relistWanted = this.#listing;
    if (!this.#listing) this.#round.abort();
  }

  #prove(): void {
    this.#connected = true;
    this.#lastError = undefined;
    this.#provenAtMs = this.#options.clock.nowMs();
  }

  #unproven(cluster: Cluster): boolean {
    return this.#sources(cluster).some((source) => !this.#synced.has(sourceName(source)));
  }

  #sources(cluster: Cluster): readonly Source[] {
    return this.#keys.kinds(cluster.name).map((kind) => ({ cluster, kind }));
  }

  #isComplete({ cluster: { name }, kind }: Source, canaries = this.#canaries): boolean {
    if (!this.#clusters.isConfigured(name) || this.#incomplete.has(name)) return false;
    const canary = this.#keys.canary(name, kind);
    return canary !== undefined && canaries.proves(canary);
  }

  /** Sweeps sources that became complete (all complete ones after a listing) and tells who waits for the tables. */
  #settle(afterListing: boolean): void {
    const { tables } = this.#options;
    const clusters = this.#clusters.all();
    tables.setClusters(clusters);
    const complete = clusters.flatMap((cluster) => this.#sources(cluster)).filter((source) => this.#isComplete(source));
    const synced = new Map(complete.map((source) => [sourceName(source), source]));
    const vouched = [...this.#doubt.sources].filter((name) => synced.has(name));
    if (afterListing) this.#believe(vouched);
    else for (const name of vouched) synced.delete(name);
    this.#vouched = afterListing ? 0 : vouched.length;
    for (const [name, { cluster, kind }] of synced) {
      if (afterListing || !this.#synced.has(name)) tables.sweep(cluster, kind);
      tables.setSynced(cluster.id, kind, true);
    }
    for (const [name, { cluster, kind }] of this.#synced) {
      if (!synced.has(name)) tables.setSynced(cluster.id, kind, false);
    }
    this.#synced = synced;
    const hasRows = (name: string, id?: number): boolean =>
      id === undefined ? this.#count(name).rows > 0 : tables.speaksAs(name, id);
    for (const numbered of this.#clusters.forget(hasRows)) this.#unpark(numbered);
    this.#tell(afterListing);
  }

  #believe(sources: Iterable<string>): void {
    if (!this.#doubt.vouched(sources)) return;
    this.#canaries.believe();
    this.#locks.believe();
  }

  #count(cluster: string): { readonly rows: number; readonly held: number } {
    const counts = this.#keys.kinds(cluster).map((kind) => this.#options.tables.count(cluster, kind));
    return {
      rows: counts.reduce((sum, { rows }) => sum + rows, 0),
      held: counts.reduce((sum, { held }) => sum + held, 0),
    };
  }

  #tell(always: boolean): void {
    const { tables, metrics, changed } = this.#options;
    metrics.gauge("bulkhead_ingest_parked", "Values that wait for a cluster's config.").set(this.#parking.size);
    if (tables.revision === this.#told && !always) return;
    this.#told = tables.revision;
    changed();
  }

  #problems(): readonly string[] {
    const parked = [...this.#parking.counts()].map(
      ([cluster, count]) => `cluster ${cluster}: ${count} values wait for its cluster config in the local etcd`,
    );
    const held = this.#clusters.all().flatMap(({ name }) => this.#heldLine(name));
    const lost = this.#lastError === undefined ? [] : [`local etcd: ${this.#lastError}; serving what is known`];
    const doubted = this.#doubt.sources.size;
    const restored =
      doubted === 0
        ? []
        : [
            `local etcd: ${DOUBTED[this.#doubted]}; ${doubted} sources stay as they were until exporter and kvstoremesh have compared everything`,
          ];
    const twofold = this.#options.tables
      .contradictions()
      .map(
        (id) =>
          `identity ${id}: ${stateKey("identities", this.#own.name, String(id))} and ${LOCAL_IDENTITIES_PREFIX}${id} say different labels; the first counts`,
      );
    return [
      ...lost,
      ...restored,
      ...this.#clusters.problems(),
      ...parked,
      ...held,
      ...twofold,
      ...this.#rows.problems(),
      ...this.#peers.problems(),
      ...this.#drains.problems(),
      ...(this.#store?.problems() ?? []),
    ];
  }

  #heldLine(cluster: string): readonly string[] {
    const { held } = this.#count(cluster);
    if (held === 0 || this.#listing) return [];
    return [
      `cluster ${cluster}: ${held} entries are kept that the local etcd lacks; they go once its config and canaries are there`,
    ];
  }
}
