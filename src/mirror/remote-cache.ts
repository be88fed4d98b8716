/**
 * What of one remote may stand in the local cache: judges every value, parks those whose owner is not known yet, holds withdrawals that are too
 * many, and writes the rest. It outlives connections, so that a hold does.
 */
import assert from "node:assert/strict";
import type { KeyValue } from "../kv/client.ts";
import { type Cluster, FIRST_ALLOCATED_IDENTITY } from "../model/cluster.ts";
import type { Node, Rejection } from "../model/resource.ts";
import type { Writer } from "../publish/publisher.ts";
import type { Difference, Part } from "../publish/reconcile.ts";
import { type Clock, Slices } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Counter, Metrics } from "../runtime/metrics.ts";
import { cacheKey, judge, RESOURCES, type ResourceKind, type ResourceValue, resource } from "../wire/resources.ts";
import type { Guard, Withdrawal } from "./guard.ts";
import type { Ownership } from "./ownership.ts";
import { MAX_PARKED, type ParkedValue } from "./parked.ts";
import type { RemoteRecord } from "./record.ts";
import { writeHolds } from "./remembered.ts";
import type { Known } from "./remote-index.ts";
import { UNREADABLE, type Weight, weigh } from "./weight.ts";

export interface RemoteCacheOptions {
  readonly record: RemoteRecord;
  readonly guard: Guard;
  readonly ownership: Ownership;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What a value turned out to be. */
type Outcome =
  | { readonly kind: "accepted"; readonly value: ResourceValue; readonly weight: Weight }
  | { readonly kind: "refused"; readonly rejection: Rejection }
  | { readonly kind: "parked"; readonly waitsFor: string };

/** A kind on its way to a listing of the remote. By cache key. */
interface Relisting {
  readonly kind: ResourceKind;
  /** What will be known of each key. */
  readonly wanted: Map<string, Known>;
  /** What the listing takes away of keys that it has, and what the cache holds of them: to be written only if that is believed. */
  readonly shrunk: Map<string, { readonly withdrawal: Withdrawal; readonly before: Weight }>;
  /** What the cache holds and the listing lacks, whether that counts or not. */
  readonly lacking: Map<string, Withdrawal>;
  /** Weight of all that is cached. */
  standing: number;
  written: number;
}

/** Keys and values in the order of the keys. */
export interface ListedPage {
  readonly listed: Iterable<readonly [suffix: string, KeyValue]>;
  /** Suffix of the last one; absent: no other page follows. */
  readonly lastSuffix: string | undefined;
}

type Said = Pick<KeyValue, "value" | "modRevision">;

/** Of a listing of a kind. */
export interface ListedHow {
  /** What is missing from it is known to be withdrawn. */
  readonly complete: boolean;
  readonly listedAtMs: number;
  /** Whether it is too old by now to say so: what came back meanwhile is not in it either. */
  readonly isAged: () => boolean;
}

/** How to find out what the cache holds of the next part of a kind. */
export type CompareCache = (part: Part) => Promise<Difference>;

/** An identity that stands for other labels is lost to those who knew it. */
function isRelabelled(kind: ResourceKind, before: Weight, after: Weight): boolean {
  return kind === "identities" && before.tag !== "" && before.tag !== after.tag;
}

const NOT_CACHED = { cached: false, weight: 0, tag: "" } as const;
/** What a parked address waits for: any change of the remote's nodes, or one identity. */
const NODES = "nodes";
const identityName = (id: string | number): string => `identity ${id}`;

/** Values that may shrink without going: their weight has to be looked up before they are replaced. */
const SHRINKING: ReadonlySet<ResourceKind> = new Set(["services", "endpointslices"]);

export class RemoteCache {
  readonly #options: RemoteCacheOptions;
  readonly #name: string;
  readonly #rejections: Counter;
  #writer: Writer | undefined;
  #cluster: Cluster | undefined;
  #followedTo = 0;
  #newestTag = "";
  /** Cache key -> kind: gone at the remote, not yet believed. */
  readonly #gone = new Map<string, ResourceKind>();
  /** Kinds of which nothing that is missing is believed at once, until they were listed completely. */
  readonly #doubted = new Set<ResourceKind>();
  /** Cache key of a node -> its addresses. */
  readonly #nodes = new Map<string, readonly string[]>();
  /** All traffic has left the remote, or somebody marked it so: all its withdrawals are meant. */
  #draining = false;

  constructor(options: RemoteCacheOptions) {
    this.#options = options;
    this.#name = options.record.name;
    this.#rejections = options.metrics.counter(
      "bulkhead_mirror_rejected_total",
      "Values of remotes that were refused; the last good ones stay.",
      ["remote", "reason"],
    );
  }

  /** A term of leadership begins: where the remote's state goes. */
  open(writer: Writer): void {
    this.#writer = writer;
  }

  /** Nothing can be written any more. */
  close(): void {
    this.#writer = undefined;
  }

  /**
   * A connection begins: who the remote is, and up to which revision of its etcd it was followed before (0: of none that is still there). Deletions that were
   * not believed yet will be told again.
   */
  begin(cluster: Cluster, followedTo: number): void {
    this.#cluster = cluster;
    this.#followedTo = followedTo;
    this.#gone.clear();
  }

  /**
   * What the remote lacks of these kinds is not believed before it was confirmed: its etcd is another one than before, or an older one, or a process
   * before us held something of them.
   */
  doubt(kinds: readonly ResourceKind[]): void {
    for (const kind of kinds) this.#doubted.add(kind);
  }

  /** Whether its drain marker says that its withdrawals are meant. */
  drain(draining: boolean): void {
    this.#draining = draining;
    if (draining) for (const { kind } of RESOURCES) this.confirm(kind);
  }

  /** Whether withdrawals that are confirmed now can be written. */
  get isOpen(): boolean {
    return this.#writer !== undefined;
  }

  /** Believes what is held of a kind, or of those of its keys; returns how many keys that were. */
  confirm(kind: ResourceKind, keys?: Iterable<string>): number {
    const held = this.#options.guard.confirm(kind, keys);
    for (const withdrawal of held) this.#apply(kind, withdrawal);
    return held.length;
  }

  /**
   * Forgets what was said of a key and is refused or parked. The last good value of a refused one goes as if the remote had deleted it. Returns whether
   * there was one.
   */
  discardRefused(kind: ResourceKind, key: string): boolean {
    const { record, guard } = this.#options;
    if (record.parked.delete(key)) return false;
    record.accepted(key);
    const known = record.index.get(kind, key);
    if (!known?.cached) return false;
    guard.said(kind, key);
    this.#apply(kind, { key, weight: known.weight, tag: known.tag });
    return true;
  }

  /** Writes down what is held. */
  remember(holds: Parameters<typeof writeHolds>[2]): void {
    writeHolds(this.#writing(), this.#name, holds);
  }

  /** A watched put. One that is not newer than what is known was seen before. */
  put(kind: ResourceKind, suffix: string, said: Said): void {
    const { record } = this.#options;
    const key = cacheKey(kind, this.#name, suffix);
    const known = record.index.get(kind, key);
    if (known && known.modRevision >= said.modRevision) return;
    this.#receive({ kind, suffix, ...said }, key, known);
  }

  #receive(said: Omit<ParkedValue, "waitsFor">, key: string, known: Known | undefined): void {
    const { record } = this.#options;
    const { kind, suffix, value, modRevision } = said;
    const wasGone = this.#gone.delete(key);
    record.parked.delete(key);
    const outcome = this.#refuseSecondLabels(this.#judge(kind, suffix, value), said, wasGone ? undefined : known);
    if (outcome.kind !== "accepted") {
      record.index.set(kind, key, { ...(known ?? NOT_CACHED), modRevision });
      this.#setAside(said, key, outcome);
      return;
    }
    record.accepted(key);
    this.#accept(kind, key, said, outcome.weight);
    this.#ownerCame(kind, suffix, outcome.value);
  }

  /** A watched deletion: believed at the next joint point. */
  delete(kind: ResourceKind, suffix: string, revision: number): void {
    const { record } = this.#options;
    const key = cacheKey(kind, this.#name, suffix);
    const known = record.index.get(kind, key);
    if (known && known.modRevision > revision) return;
    record.parked.delete(key);
    this.#gone.set(key, kind);
  }

  /** Every watch stands at the same revision: deletions of these kinds are believed, unless they are too many. */
  joint(complete: ReadonlySet<ResourceKind>): void {
    if (this.#gone.size === 0) return;
    const { record } = this.#options;
    for (const { kind } of RESOURCES) {
      if (!complete.has(kind)) continue;
      const batch: Withdrawal[] = [];
      for (const [key, of] of this.#gone) {
        if (of !== kind) continue;
        this.#gone.delete(key);
        const known = record.index.get(kind, key);
        if (known?.cached) {
          record.index.set(kind, key, { ...known, modRevision: 0 });
          batch.push({ key, weight: known.weight, tag: known.tag });
        } else if (known) this.#forget(kind, key);
      }
      for (const withdrawal of this.#believe(kind, batch)) this.#apply(kind, withdrawal);
    }
  }

  #believe(kind: ResourceKind, batch: readonly Withdrawal[]): readonly Withdrawal[] {
    const { record, guard } = this.#options;
    if (this.#draining || batch.length === 0) return batch;
    return guard.judge(kind, batch, { weight: record.index.weight(kind), newWorld: false });
  }

  /** All kinds are about to be listed anew: what was refused or parked is said again, if it still stands. */
  forget(): void {
    this.#options.record.forgetRejections();
    this.#options.record.parked.clear();
    this.#gone.clear();
  }

  /**
   * Brings a kind to a listing of the remote, page by page. Resolves when all is queued; `doubted`: keys that it lacks, and was too old to be believed about.
   * Rejects as the pages and `compareCache` do: then it has to be done again.
   */
  async relist(
    kind: ResourceKind,
    pages: AsyncIterable<ListedPage>,
    how: ListedHow,
    compareCache: CompareCache,
  ): Promise<{ readonly written: number; readonly removed: number; readonly doubted: number }> {
    const relisting: Relisting = {
      ...{ kind, wanted: new Map(), shrunk: new Map(), lacking: new Map() },
      ...{ standing: 0, written: 0 },
    };
    for await (const page of pages) await this.#relistPage(relisting, page, compareCache);
    const isAged = how.isAged();
    const complete = how.complete && !isAged;
    const removed = await this.#settle(relisting, complete, how.listedAtMs);
    if (complete && kind === "nodes") this.#onlyCached(kind);
    return { written: relisting.written, removed, doubted: how.complete && isAged ? relisting.lacking.size : 0 };
  }

  /** Of hundreds of thousands each byte counts: one shape without a spread, and one string of the tag for neighbours, which are mostly of one node. */
  #cached(modRevision: number, { weight, tag }: Weight): Known {
    if (tag !== this.#newestTag) this.#newestTag = tag;
    return { modRevision, cached: true, weight, tag: this.#newestTag };
  }

  /** What takes nothing away is queued at once: neither the whole listing nor what differs is ever held. */
  async #relistPage(relisting: Relisting, page: ListedPage, compareCache: CompareCache): Promise<void> {
    const { kind, wanted } = relisting;
    const slices = new Slices(this.#options.clock);
    const prefix = resource(kind).cachePrefix(this.#name);
    const desired = new Map<string, Uint8Array>();
    const keep = new Map<string, number>();
    /** Identities that stood before we last looked. */
    const old = new Set<string>();
    for (const [suffix, { value, modRevision, createRevision }] of page.listed) {
      const key = prefix + suffix;
      if (kind === "identities" && !this.#mayMeanOthers(key) && createRevision <= this.#followedTo) old.add(key);
      const outcome = this.#judge(kind, suffix, value);
      if (outcome.kind === "accepted") {
        desired.set(key, value);
        wanted.set(key, this.#cached(modRevision, outcome.weight));
        this.#ownerCame(kind, suffix, outcome.value);
      } else {
        keep.set(key, modRevision);
        this.#setAside({ kind, suffix, value, modRevision }, key, outcome);
      }
      if (slices.areOver) await slices.rest();
    }
    const lastKey = page.lastSuffix === undefined ? undefined : prefix + page.lastSuffix;
    const found = await compareCache({ desired, keep: new Set(keep.keys()), lastKey });
    const difference = this.#withoutSecondLabels(found, old, wanted);
    for (const [key, modRevision] of keep) {
      const value = difference.kept.get(key);
      const weight = value === undefined ? UNREADABLE : this.#weighCached(kind, key, value);
      wanted.set(
        key,
        difference.kept.has(key) ? { ...weight, cached: true, modRevision } : { ...NOT_CACHED, modRevision },
      );
      if (slices.areOver) await slices.rest();
    }
    await this.#weighDifference(relisting, desired, difference);
    await this.#write(relisting, desired, difference);
  }

  /** What neither is said nor stands counts no more, wherever it was known from. */
  #onlyCached(kind: ResourceKind): void {
    const from = resource(kind).cachePrefix(this.#name).length;
    const suffixes = new Set([...this.#options.record.index.cachedKeys(kind)].map((key) => key.slice(from)));
    this.#options.ownership.only(kind, suffixes);
  }

  /** The same as while watching: an identity that was not deleted in between keeps its labels. */
  #withoutSecondLabels(difference: Difference, old: ReadonlySet<string>, wanted: Map<string, Known>): Difference {
    if (old.size === 0) return difference;
    const puts = new Map(difference.puts);
    for (const key of old) {
      const value = puts.get(key);
      const next = wanted.get(key);
      if (value === undefined || next === undefined) continue;
      const before = this.#weighCached("identities", key, value);
      if (before.tag === next.tag) continue;
      puts.delete(key);
      wanted.set(key, { modRevision: next.modRevision, cached: true, ...before });
      this.#refuse(key, this.#secondLabels(key.slice(resource("identities").cachePrefix(this.#name).length)));
    }
    return { ...difference, puts };
  }

  /** Whether what replaces a cached value may take something away. */
  #looksBack(kind: ResourceKind, key: string): boolean {
    return SHRINKING.has(kind) || (kind === "identities" && this.#mayMeanOthers(key));
  }

  /** Another etcd may say other labels of an identity, also later, while that is held. What was followed and has others now was deleted in between. */
  #mayMeanOthers(key: string): boolean {
    return this.#followedTo === 0 || this.#options.guard.isHeld("identities", key);
  }

  /** What the difference takes away. */
  async #weighDifference(
    relisting: Relisting,
    desired: ReadonlyMap<string, Uint8Array>,
    { puts, extra, kept, unchanged }: Difference,
  ): Promise<void> {
    const { kind, wanted, shrunk, lacking } = relisting;
    const slices = new Slices(this.#options.clock);
    for (const keys of [unchanged, kept.keys()]) {
      for (const key of keys) {
        relisting.standing += wanted.get(key)?.weight ?? 0;
        if (slices.areOver) await slices.rest();
      }
    }
    for (const [key, value] of puts) {
      // Nothing stands there.
      if (value === undefined) continue;
      const left = wanted.get(key) ?? NOT_CACHED;
      const before = this.#looksBack(kind, key) ? this.#weighCached(kind, key, value) : left;
      relisting.standing += before.weight;
      const others = isRelabelled(kind, before, left);
      const lost = others ? before.weight : before.weight - left.weight;
      if (lost > 0) {
        // The value is a view into a page, and may be held for long.
        const rest = { value: (desired.get(key) as Uint8Array).slice(), weight: left };
        const withdrawal = { key, weight: lost, tag: "", left: rest, ...(others && { doubtful: true as const }) };
        shrunk.set(key, { withdrawal, before });
      }
      if (slices.areOver) await slices.rest();
    }
    for (const [key, value] of extra) {
      const { weight, tag } = value === undefined ? NOT_CACHED : this.#weighCached(kind, key, value);
      relisting.standing += weight;
      lacking.set(key, { key, weight, tag });
      if (slices.areOver) await slices.rest();
    }
  }

  async #write(
    relisting: Relisting,
    desired: ReadonlyMap<string, Uint8Array>,
    { puts }: Pick<Difference, "puts">,
  ): Promise<void> {
    const writer = this.#writing();
    const slices = new Slices(this.#options.clock);
    for (const key of puts.keys()) {
      if (relisting.shrunk.has(key)) continue;
      writer.put(key, desired.get(key) as Uint8Array, "bulk");
      relisting.written++;
      if (slices.areOver) await slices.rest();
    }
  }

  /** All pages are compared. Applies what is believed of that which they take away; resolves to how many keys go. */
  async #settle(relisting: Relisting, complete: boolean, listedAtMs: number): Promise<number> {
    const { kind, wanted, shrunk, lacking } = relisting;
    const slices = new Slices(this.#options.clock);
    const batch = Array.from(shrunk.values(), ({ withdrawal }) => withdrawal);
    if (complete) for (const withdrawal of lacking.values()) batch.push(withdrawal);
    const standing = { weight: relisting.standing, newWorld: this.#doubted.has(kind) };
    const lacks = complete ? { listedAtMs } : { listedAtMs, unsaid: lacking };
    const believed = this.#draining ? batch : this.#options.guard.relist(kind, batch, standing, lacks);
    if (complete) this.#doubted.delete(kind);
    const removing = new Set(believed.map(({ key }) => key));
    for (const [key, { before }] of shrunk) {
      const next = wanted.get(key);
      if (next && !removing.has(key)) wanted.set(key, { ...next, ...before });
    }
    for (const [key, { weight, tag }] of lacking) wanted.set(key, { weight, tag, cached: true, modRevision: 0 });
    this.#options.record.index.replace(kind, wanted);
    for (const withdrawal of believed) {
      this.#apply(kind, withdrawal, "bulk");
      if (withdrawal.left) relisting.written++;
      if (slices.areOver) await slices.rest();
    }
    return believed.filter(({ left }) => !left).length;
  }

  #weighCached(kind: ResourceKind, key: string, value: Uint8Array): Weight {
    const suffix = key.slice(resource(kind).cachePrefix(this.#name).length);
    const judged = judge(kind, this.#whom(), suffix, value);
    if (!judged.ok) return UNREADABLE;
    if (kind === "nodes") this.#nodes.set(key, addressesOf(judged.value as Node));
    return weigh(kind, judged.value);
  }

  #judge(kind: ResourceKind, suffix: string, value: Uint8Array): Outcome {
    const { ownership, record } = this.#options;
    const judged = judge(kind, this.#whom(), suffix, value);
    if (!judged.ok) return { kind: "refused", rejection: judged.rejection };
    const verdict = ownership.judge(kind, judged.value);
    if (verdict.kind === "rejected") {
      const { reason, detail } = verdict;
      return { kind: "refused", rejection: { key: resource(kind).statePrefix(this.#name) + suffix, reason, detail } };
    }
    if (verdict.kind === "parked") return { kind: "parked", waitsFor: NODES };
    if ("identity" in judged.value && judged.value.identity >= FIRST_ALLOCATED_IDENTITY) {
      const { identity } = judged.value;
      const owner = record.index.get("identities", cacheKey("identities", this.#name, String(identity)));
      if (owner === undefined) return { kind: "parked", waitsFor: identityName(identity) };
    }
    return { kind: "accepted", value: judged.value, weight: weigh(kind, judged.value) };
  }

  /** An identity means one set of labels for as long as it stands. */
  #refuseSecondLabels(
    outcome: Outcome,
    { kind, suffix }: Omit<ParkedValue, "waitsFor">,
    known: Known | undefined,
  ): Outcome {
    if (kind !== "identities" || outcome.kind !== "accepted" || !known?.cached || known.modRevision === 0)
      return outcome;
    if (known.tag === outcome.weight.tag) return outcome;
    return { kind: "refused", rejection: this.#secondLabels(suffix) };
  }

  #secondLabels(suffix: string): Rejection {
    const detail = `identity ${suffix} stands for other labels already; it must be deleted before it can mean these`;
    return { key: resource("identities").statePrefix(this.#name) + suffix, reason: "identity-changed", detail };
  }

  #refuse(key: string, rejection: Rejection): void {
    const { record, log } = this.#options;
    record.rejected(key, rejection);
    this.#rejections.add(1, { remote: this.#name, reason: rejection.reason });
    log.debug({ remote: this.#name, ...rejection }, "value refused");
  }

  /** Not accepted: the last good value, if there is one, stays. */
  #setAside(said: Omit<ParkedValue, "waitsFor">, key: string, outcome: Exclude<Outcome, { kind: "accepted" }>): void {
    const { record } = this.#options;
    if (outcome.kind === "parked") {
      record.accepted(key);
      if (record.parked.add(key, { ...said, waitsFor: outcome.waitsFor })) return;
    }
    const rejection =
      outcome.kind === "refused"
        ? outcome.rejection
        : {
            key,
            reason: "parking-full",
            detail: `it waits for ${outcome.waitsFor}, as ${MAX_PARKED} others do: no more are kept`,
          };
    this.#refuse(key, rejection);
  }

  #accept(kind: ResourceKind, key: string, { value, modRevision }: Said, weight: Weight): void {
    const { record, guard } = this.#options;
    const known = record.index.get(kind, key);
    const lost = known?.cached ? known.weight - weight.weight : 0;
    if (known && lost > 0) {
      const withdrawal = { key, weight: lost, tag: "", left: { value, weight } };
      if (this.#believe(kind, [withdrawal]).length === 0) {
        record.index.set(kind, key, { ...known, modRevision });
        return;
      }
    } else guard.said(kind, key);
    this.#writing().put(key, value, "live");
    record.index.set(kind, key, this.#cached(modRevision, weight));
  }

  #apply(kind: ResourceKind, { key, left }: Withdrawal, lane: "live" | "bulk" = "live"): void {
    const { record } = this.#options;
    const modRevision = record.index.get(kind, key)?.modRevision ?? 0;
    if (left) {
      this.#writing().put(key, left.value, lane);
      record.index.set(kind, key, { modRevision, cached: true, ...left.weight });
      return;
    }
    this.#writing().delete(key, lane);
    if (modRevision > 0) record.index.set(kind, key, { ...NOT_CACHED, modRevision });
    else this.#forget(kind, key);
    this.#ownerGone(kind, key);
  }

  #forget(kind: ResourceKind, key: string): void {
    this.#options.record.index.delete(kind, key);
    this.#options.record.accepted(key);
  }

  /** What waited for this value is judged again. */
  #ownerCame(kind: ResourceKind, suffix: string, value: ResourceValue): void {
    const { ownership, record } = this.#options;
    const moved = ownership.came(kind, suffix, value);
    if (kind === "nodes") this.#nodeCame(cacheKey(kind, this.#name, suffix), value as Node);
    if (record.parked.size === 0 || (kind === "nodes" ? !moved : kind !== "identities")) return;
    for (const parked of record.parked.take(kind === "nodes" ? NODES : identityName(suffix))) {
      const key = cacheKey(parked.kind, this.#name, parked.suffix);
      this.#receive(parked, key, record.index.get(parked.kind, key));
    }
  }

  #nodeCame(key: string, node: Node): void {
    this.#nodes.set(key, addressesOf(node));
    this.#options.guard.nodesCame(addressesOf(node));
  }

  #ownerGone(kind: ResourceKind, key: string): void {
    this.#options.ownership.gone(kind, key.slice(resource(kind).cachePrefix(this.#name).length));
    if (kind !== "nodes") return;
    const addresses = this.#nodes.get(key) ?? [];
    this.#nodes.delete(key);
    for (const withdrawal of this.#options.guard.nodesGone(addresses)) this.#apply("ip", withdrawal);
  }

  #writing(): Writer {
    assert(this.#writer, "only between open and close");
    return this.#writer;
  }

  #whom(): Cluster {
    assert(this.#cluster, "only after begin");
    return this.#cluster;
  }
}

function addressesOf({ addresses }: Node): readonly string[] {
  return addresses.map(({ address }) => address);
}
