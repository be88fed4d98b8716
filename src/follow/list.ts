/** Complete listings: every page of every range at one revision, so that what is missing from it was truly not there. */
import { createHash } from "node:crypto";
import {
  type Header,
  type KeyValue,
  type KvClient,
  KvError,
  keyAfter,
  prefixEnd,
  type RangeResponse,
} from "../kv/client.ts";
import { Pager } from "../kv/pager.ts";
import type { Clock } from "../runtime/clock.ts";
import { Windows } from "./windows.ts";

export interface KeyRange {
  readonly key: string;
  /** Exclusive end; absent: the one key. */
  readonly rangeEnd?: string;
}

export interface Listing {
  /** The one revision of all pages. */
  readonly revision: number;
  readonly clusterId: bigint;
  /** Keys in ascending order, one list per range asked for, in the same order. */
  readonly ranges: readonly (readonly KeyValue[])[];
}

/** Some keys of one range, in ascending order. */
export interface ListedPage {
  /** Its index among the ranges asked for. */
  readonly range: number;
  readonly kvs: readonly KeyValue[];
}

/** A listing that is worked on while it is read: the first ranges are at hand, whole; of the others there is never more than a page or two. */
export interface PagedListing extends Header {
  readonly first: readonly (readonly KeyValue[])[];
  /** All other ranges, in order; to be asked for once, and to the end. Throws as `list` rejects: what was listed so far proves nothing then. */
  readonly pages: Iterable<ListedPage> | AsyncIterable<ListedPage>;
}

export interface ListOptions {
  /** Keys per page. */
  readonly pageSize: number;
  /** Keys of all ranges together; absent: no bound. More of them end the listing with a ListingTooLargeError. */
  readonly maxKeys?: number;
  /** Bytes of keys and values, likewise. */
  readonly maxBytes?: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** The etcd holds more than we are willing to keep in memory. It may shrink again. */
export class ListingTooLargeError extends Error {
  override readonly name = "ListingTooLargeError";
  readonly retryable = true;
}

/** A fact that only the etcd that was listed can confirm: at `revision`, `key` stood just so. */
export interface Witness {
  readonly revision: number;
  readonly key: string;
  /** 0: the key did not exist. */
  readonly modRevision: number;
  readonly version: number;
  /** Of the value; "" when the key did not exist. */
  readonly digest: string;
}

/** Compactions in the middle of one listing before it is given up: more of them means pages that never catch up. */
const MAX_RESTARTS = 5;

export function prefixRange(prefix: string): KeyRange {
  return { key: prefix, rangeEnd: prefixEnd(prefix) };
}

export function witness(revision: number, kv: KeyValue): Witness {
  const { key, modRevision, version, value } = kv;
  return { revision, key, modRevision, version, digest: digestOf(value) };
}

/** At `revision` the key did not exist. */
export function absence(revision: number, key: string): Witness {
  return { revision, key, modRevision: 0, version: 0, digest: "" };
}

function digestOf(value: Uint8Array): string {
  return createHash("sha256").update(value).digest("base64url");
}

/** The newest key of a listing: an etcd that was wiped and filled again, even past our revision, does not have it just so. */
export class NewestKey {
  #newest: KeyValue | undefined;

  saw(kvs: readonly KeyValue[]): void {
    let newest = this.#newest;
    for (const kv of kvs) if (kv.modRevision > (newest?.modRevision ?? 0)) newest = kv;
    // The value may be a view into a whole page.
    if (newest !== undefined && newest !== this.#newest) this.#newest = { ...newest, value: newest.value.slice() };
  }

  /** As it can be read at `revision`; of a listing without keys that the first one is not there. */
  witness(revision: number, ranges: readonly KeyRange[]): Witness {
    if (this.#newest) return witness(revision, this.#newest);
    return absence(revision, ranges[0]?.key ?? "\0");
  }
}

/** Rejects with a KvError when the fact cannot be asked for, also because it was compacted or lies in the future. */
export async function confirms(
  kv: KvClient,
  { revision, key, modRevision, version, digest }: Witness,
): Promise<boolean> {
  const { kvs } = await kv.range({ key, revision });
  const [found] = kvs;
  if (!found) return modRevision === 0;
  return found.modRevision === modRevision && found.version === version && digestOf(found.value) === digest;
}

/**
 * Lists `ranges` at one revision, the newest when it begins. A compaction past that revision starts it again.
 * Rejects with a KvError, or with the signal's reason.
 */
export async function list(kv: KvClient, ranges: readonly KeyRange[], options: ListOptions): Promise<Listing> {
  for (let restarts = 0; ; restarts++) {
    try {
      return await listOnce(kv, ranges, options);
    } catch (error) {
      const compacted = error instanceof KvError && error.code === "compacted";
      if (!compacted || restarts >= MAX_RESTARTS) throw error;
    }
  }
}

/** Adds up a listing. Throws a ListingTooLargeError. */
export class ListingSize {
  readonly #maxKeys: number;
  readonly #maxBytes: number;
  #keys = 0;
  #bytes = 0;

  constructor({
    maxKeys = Number.POSITIVE_INFINITY,
    maxBytes = Number.POSITIVE_INFINITY,
  }: Pick<ListOptions, "maxKeys" | "maxBytes">) {
    this.#maxKeys = maxKeys;
    this.#maxBytes = maxBytes;
  }

  add(kvs: readonly KeyValue[]): void {
    this.#keys += kvs.length;
    for (const { key, value } of kvs) this.#bytes += key.length + value.length;
    if (this.#keys > this.#maxKeys) throw new ListingTooLargeError(`its etcd holds more than ${this.#maxKeys} keys`);
    if (this.#bytes > this.#maxBytes)
      throw new ListingTooLargeError(`its etcd holds more than ${this.#maxBytes} bytes`);
  }
}

async function listOnce(kv: KvClient, ranges: readonly KeyRange[], options: ListOptions): Promise<Listing> {
  let pinned: Header | undefined;
  const size = new ListingSize(options);
  const pager = new Pager(kv, options.pageSize, options.signal);
  const listed: KeyValue[][] = [];
  for (const range of ranges) {
    const found: KeyValue[] = [];
    for await (const page of pagesOf(pager, range, pinned)) {
      pinned ??= { revision: page.revision, clusterId: page.clusterId };
      for (const kv of page.kvs) found.push(kv);
      size.add(page.kvs);
      if (page.more) await options.clock.breathe();
    }
    listed.push(found);
  }
  return { revision: pinned?.revision ?? 0, clusterId: pinned?.clusterId ?? 0n, ranges: listed };
}

/**
 * As `list`, but for what comes behind the first ranges, of which a page is read while the one before it is worked on. Rejects as `list` does.
 * @param firstCount how many ranges are wanted whole, one at least.
 */
export async function listInPages(
  kv: KvClient,
  ranges: readonly KeyRange[],
  firstCount: number,
  options: Pick<ListOptions, "pageSize" | "clock" | "signal">,
): Promise<PagedListing> {
  const { ranges: first, ...at } = await list(kv, ranges.slice(0, firstCount), options);
  async function* pages(): AsyncGenerator<ListedPage> {
    for (const [index, range] of ranges.entries()) {
      if (index < firstCount) continue;
      for await (const { kvs } of pagesAt(kv, range, at, options)) yield { range: index, kvs };
    }
  }
  return { ...at, first, pages: pages() };
}

/** All of it at once. */
export async function wholeListing({ revision, clusterId, first, pages }: PagedListing): Promise<Listing> {
  const ranges = first.map((kvs) => [...kvs]);
  for await (const { range, kvs } of pages) {
    while (ranges.length <= range) ranges.push([]);
    for (const kv of kvs) ranges[range]?.push(kv);
  }
  return { revision, clusterId, ranges };
}

/** The pages of one more range of a listing, for what is too large to be kept. Fails as `list` does, also when the revision was compacted. */
export function pagesAt(
  kv: KvClient,
  range: KeyRange,
  at: Header,
  options: Pick<ListOptions, "pageSize" | "signal">,
): AsyncGenerator<RangeResponse> {
  return pagesOf(new Pager(kv, options.pageSize, options.signal), range, at);
}

/** Each page is asked for while the one before it is worked on. `more` says that the range goes on; only its last page may be empty. @param at absent: at the newest revision. */
async function* pagesOf(pager: Pager, range: KeyRange, at: Header | undefined): AsyncGenerator<RangeResponse> {
  let pinned = at;
  let asked = pager.page({ ...range, ...(at && { revision: at.revision }) });
  const windows = new Windows(range.rangeEnd ?? "");
  for (let end = range.rangeEnd; ; ) {
    const page = await asked;
    pinned ??= page;
    if (page.clusterId !== pinned.clusterId) throw new KvError("unavailable", "another etcd cluster answered");
    windows.saw(page.kvs, page.count);
    const last = page.kvs.at(-1);
    const next = page.more && last ? keyAfter(last.key) : end;
    if (next === undefined || next === range.rangeEnd) return yield page;
    end = windows.endFrom(next);
    asked = pager.page({ key: next, rangeEnd: end, revision: pinned.revision });
    // Told when it is awaited.
    asked.catch(() => undefined);
    if (last) yield { ...page, more: true };
  }
}
