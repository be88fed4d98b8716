/** One etcd followed for ever: list (or resume), hand over, watch; whatever ends the watch, again after a jittered pause. */
import type { KvClient, WatchEnd } from "../kv/client.ts";
import { Backoff, type BackoffSettings } from "../runtime/backoff.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { type KeyRange, type ListedPage, listInPages, NewestKey, type PagedListing } from "./list.ts";
import { type FollowSink, watch } from "./watch.ts";

export interface SourceSink extends FollowSink {
  /**
   * The complete state; the sink reads all of its pages, which ends with an error when the rest cannot be had. Changes since arrive after the
   * promise resolves. A rejection is treated like a lost connection.
   */
  listed(listing: PagedListing): Promise<void>;
  /** Contact is lost: it changes nothing but the age of what is known. */
  lost(detail: string): void;
}

export interface SourceOptions {
  readonly kv: KvClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Keys per page. */
  readonly pageSize: number;
  /** How many of the ranges are needed whole before the others are looked at; absent: one. */
  readonly firstRanges?: number;
  readonly progressIntervalMs: number;
  readonly progressTimeoutMs: number;
  readonly backoff: BackoffSettings;
  /**
   * Asked before each listing: goes on from what was known before instead, and resolves to how that ended; undefined: it cannot. Rejects when contact
   * is lost before anything was told.
   */
  readonly resume?: (sink: FollowSink) => Promise<WatchEnd | undefined>;
}

/** Resolves when `signal` aborts; never rejects. */
export async function followForever(
  options: SourceOptions,
  ranges: readonly KeyRange[],
  sink: SourceSink,
): Promise<void> {
  const backoff = new Backoff(options.random, options.backoff);
  while (!options.signal.aborted) {
    const detail = await followOnce(options, ranges, sink, backoff).catch(messageOf);
    if (options.signal.aborted) return;
    sink.lost(detail);
    await sleep(options.clock, backoff.nextMs(), options.signal);
  }
}

/** Resolves to what ended it. The pause is forgotten only once the watch has proved itself: a list alone may flap. */
async function followOnce(
  options: SourceOptions,
  ranges: readonly KeyRange[],
  sink: SourceSink,
  backoff: Backoff,
): Promise<string> {
  const proved: FollowSink = {
    changed: (index, events) => sink.changed(index, events),
    progress(revision) {
      backoff.reset();
      sink.progress(revision);
    },
  };
  const end = (await options.resume?.(proved)) ?? (await listAndWatch(options, ranges, sink, proved));
  return `watch ${end.cause}: ${end.detail}`;
}

async function listAndWatch(
  options: SourceOptions,
  ranges: readonly KeyRange[],
  sink: SourceSink,
  proved: FollowSink,
): Promise<WatchEnd> {
  const listing = await listInPages(options.kv, ranges, options.firstRanges ?? 1, options);
  const { revision, clusterId } = listing;
  const newest = new NewestKey();
  for (const kvs of listing.first) newest.saw(kvs);
  await sink.listed({ ...listing, pages: seenBy(newest, listing.pages) });
  const witness = newest.witness(revision, ranges);
  return watch(options.kv, ranges, revision + 1, proved, { ...options, clusterId, witness });
}

async function* seenBy(newest: NewestKey, pages: PagedListing["pages"]): AsyncGenerator<ListedPage> {
  for await (const page of pages) {
    newest.saw(page.kvs);
    yield page;
  }
}
