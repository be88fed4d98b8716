/**
 * The arrow from the local etcd to the tables, and from nothing else. A row goes when its key is deleted, or when a listing of a source that is
 * proved complete (config and canary) does not show it. Silence, an empty etcd, and one that lacks a canary take nothing away.
 */
import type { Listing } from "../follow/list.ts";
import { followForever, type SourceOptions, type SourceSink } from "../follow/source.ts";
import type { WatchEvent } from "../kv/client.ts";
import type { Cluster } from "../model/cluster.ts";
import { Slices } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { AgentTables } from "../tables/agent-tables.ts";
import { Canaries } from "./canaries.ts";
import { Clusters, type Numbered } from "./clusters.ts";
import { followedRanges, SOURCE_KINDS, type Subject, sourceCanary, subjectOf } from "./keys.ts";
import { Parking } from "./parking.ts";
import { type Row, Rows } from "./rows.ts";

export interface IngestOptions extends SourceOptions {
  readonly tables: AgentTables;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Values kept of clusters whose config is not known. */
  readonly maxParked: number;
  /** Told after the tables changed. */
  readonly changed: () => void;
}

export interface IngestStatus {
  readonly connected: boolean;
  /** At least one complete listing was taken in since start. */
  readonly listed: boolean;
  /** Every source, of the own cluster and of each configured one, is complete. */
  readonly synced: boolean;
  /** Since the last proof that the tables are what the local etcd says; absent when there was none. */
  readonly ageMs?: number;
  readonly problems: readonly string[];
}

export class Ingest implements SourceSink {
  readonly #options: IngestOptions;
  readonly #own: Cluster;
  readonly #clusters: Clusters;
  readonly #canaries = new Canaries();
  readonly #parking: Parking;
  readonly #rows: Rows;
  /** Clusters of which some values were turned away before their id was known: complete only after the next listing. */
  readonly #incomplete = new Set<string>();
  /** Ids that the tables were told of as synced, by kind. */
  #synced: ReadonlySet<string> = new Set();
  #connected = false;
  #lastError: string | undefined;
  #provenAtMs: number | undefined;
  #round = new AbortController();
  /** Revision of the tables that was told last. */
  #told = 0;

  constructor(options: IngestOptions) {
    this.#options = options;
    this.#own = options.tables.own;
    this.#clusters = new Clusters(this.#own);
    this.#parking = new Parking(options.maxParked);
    this.#rows = new Rows(options.tables, options.metrics);
  }

  /** Resolves when the signal aborts. */
  async run(): Promise<void> {
    const { signal } = this.#options;
    while (!signal.aborted) {
      this.#round = new AbortController();
      const either = AbortSignal.any([signal, this.#round.signal]);
      await followForever({ ...this.#options, signal: either }, followedRanges(this.#own.name), this);
    }
  }

  status(): IngestStatus {
    const proven = this.#provenAtMs;
    return {
      connected: this.#connected,
      listed: proven !== undefined,
      synced: this.#clusters.all().every((cluster) => !this.#unproven(cluster)),
      ...(proven !== undefined && { ageMs: this.#options.clock.nowMs() - proven }),
      problems: this.#problems(),
    };
  }

  async listed(listing: Listing): Promise<void> {
    const slices = new Slices(this.#options.clock);
    this.#incomplete.clear();
    this.#parking.clear();
    this.#clusters.mark();
    this.#rows.mark();
    const kvs = listing.ranges.flat();
    this.#canaries.listed(
      kvs.filter(({ key }) => this.#subject(key)?.what === "canary"),
      listing.revision,
    );
    for (const { key, value } of kvs) {
      this.#put(key, value);
      await slices.rest();
    }
    this.#prove();
    this.#settle(true);
  }

  changed(_range: number, events: readonly WatchEvent[]): void {
    for (const event of events) {
      if (event.type === "delete") this.#delete(event.key);
      else if (this.#subject(event.kv.key)?.what === "canary") this.#canaries.put(event.kv.key, event.kv.modRevision);
      else this.#put(event.kv.key, event.kv.value);
    }
    this.#settle(false);
  }

  progress(revision: number): void {
    this.#canaries.progress(revision);
    this.#prove();
    this.#settle(false);
  }

  lost(detail: string): void {
    this.#connected = false;
    this.#lastError = detail;
    this.#options.log.warn({ detail }, "local etcd lost; everything known stays");
  }

  #subject(key: string): Subject | undefined {
    return subjectOf(key, this.#own.name);
  }

  #put(key: string, value: Uint8Array): void {
    const subject = this.#subject(key);
    if (subject?.what === "row") this.#putRow(key, subject, value);
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
    const subject = this.#subject(key);
    if (subject?.what === "canary") this.#canaries.delete(key);
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
    this.#round.abort();
  }

  #prove(): void {
    this.#connected = true;
    this.#lastError = undefined;
    this.#provenAtMs = this.#options.clock.nowMs();
  }

  #unproven(cluster: Cluster): boolean {
    return SOURCE_KINDS.some((kind) => !this.#synced.has(`${kind}/${cluster.id}`));
  }

  /** Sweeps sources that became complete (all complete ones after a listing) and tells who waits for the tables. */
  #settle(afterListing: boolean): void {
    const { tables } = this.#options;
    const synced = new Set<string>();
    for (const cluster of this.#clusters.all()) {
      for (const kind of SOURCE_KINDS) {
        const source = `${kind}/${cluster.id}`;
        const canary = sourceCanary(this.#own.name, cluster.name, kind);
        if (!this.#clusters.isConfigured(cluster.name) || this.#incomplete.has(cluster.name)) continue;
        if (!this.#canaries.proves(canary)) continue;
        synced.add(source);
        if (afterListing || !this.#synced.has(source)) tables.sweep(cluster, kind);
        tables.setSynced(cluster.id, kind, true);
      }
    }
    for (const source of this.#synced.difference(synced)) {
      const [kind, id] = source.split("/");
      tables.setSynced(Number(id), kind === "ip" ? "ip" : "services", false);
    }
    this.#synced = synced;
    const hasRows = (name: string): boolean => SOURCE_KINDS.some((kind) => tables.count(name, kind).rows > 0);
    for (const numbered of this.#clusters.forget(hasRows)) this.#unpark(numbered);
    this.#tell(afterListing);
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
    const held = this.#clusters.all().flatMap((cluster) => this.#heldLine(cluster));
    const lost = this.#lastError === undefined ? [] : [`local etcd: ${this.#lastError}; serving what is known`];
    return [...lost, ...this.#clusters.problems(), ...parked, ...held, ...this.#rows.problems()];
  }

  #heldLine({ name }: Cluster): readonly string[] {
    const { tables } = this.#options;
    const held = SOURCE_KINDS.reduce((sum, kind) => sum + tables.count(name, kind).held, 0);
    if (held === 0) return [];
    return [
      `cluster ${name}: ${held} entries are kept that the local etcd lacks; they go once its config and canaries are there`,
    ];
  }
}
