/** What changed since a listing: the last event of each key of each range. */
import { eventKey, type Header, type KeyValue, type WatchEvent } from "../kv/client.ts";
import type { ListedPage, PagedListing } from "./list.ts";
import type { Placed, PlacedKey } from "./listing-file.ts";

/** What an entry takes beside its key and value, in memory and in a file, about. */
const ENTRY_BYTES = 64;
/** Of a page of keys that are read from elsewhere than an etcd. */
const PAGE_KEYS = 1_000;

export class Overlay {
  readonly #ranges: readonly Map<string, WatchEvent>[];
  #bytes = 0;

  constructor(ranges: number) {
    this.#ranges = Array.from({ length: ranges }, () => new Map());
  }

  /** About. */
  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#ranges.reduce((sum, { size }) => sum + size, 0);
  }

  /** Newer than all before it. Keeps the event: a value must be no view into something larger. */
  put({ range, event }: Placed): void {
    const events = this.#ranges[range];
    if (events === undefined) return;
    const key = eventKey(event);
    this.#bytes += sizeOf(event) - sizeOf(events.get(key));
    events.set(key, event);
  }

  /** As they are now. */
  all(): readonly Placed[] {
    return this.#ranges.flatMap((events, range) => [...events.values()].map((event) => ({ range, event })));
  }

  /** The keys there are after these changes, range by range like `base`; new ones last of each. */
  *over(base: Iterable<PlacedKey>): Generator<PlacedKey> {
    let at = 0;
    let met = new Set<string>();
    for (const placed of base) {
      for (; at < placed.range; at++) {
        yield* this.#new(at, met);
        met = new Set();
      }
      const { key } = placed.event.kv;
      const event = this.#ranges[at]?.get(key);
      if (event === undefined) yield placed;
      else met.add(key);
      if (event?.type === "put") yield { range: at, event };
    }
    for (; at < this.#ranges.length; at++) {
      yield* this.#new(at, met);
      met = new Set();
    }
  }

  *#new(range: number, met: ReadonlySet<string>): Generator<PlacedKey> {
    for (const [key, event] of this.#ranges[range] ?? []) {
      if (event.type === "put" && !met.has(key)) yield { range, event };
    }
  }
}

function sizeOf(event: WatchEvent | undefined): number {
  if (event === undefined) return 0;
  return ENTRY_BYTES + eventKey(event).length + (event.type === "put" ? event.kv.value.length : 0);
}

/** @param keys range by range. @param firstCount see `PagedListing.first`. */
export function pagedKeys(
  { revision, clusterId }: Header,
  keys: Iterable<PlacedKey>,
  firstCount: number,
): PagedListing {
  const first = Array.from({ length: firstCount }, (): KeyValue[] => []);
  const pages = pagesOf(keys);
  const isFirst = ({ range, kvs }: ListedPage): boolean => {
    first[range]?.push(...kvs);
    return range < firstCount;
  };
  let next = pages.next();
  while (!next.done && isFirst(next.value)) next = pages.next();
  function* others(): Generator<ListedPage> {
    if (!next.done) yield next.value;
    yield* pages;
  }
  return { revision, clusterId, first, pages: others() };
}

/** Keys that follow each other and are of one range. */
export function* pagesOf(keys: Iterable<PlacedKey>): Generator<ListedPage> {
  let range = 0;
  let kvs: KeyValue[] = [];
  for (const placed of keys) {
    if (placed.range !== range || kvs.length >= PAGE_KEYS) {
      if (kvs.length > 0) yield { range, kvs };
      range = placed.range;
      kvs = [];
    }
    kvs.push(placed.event.kv);
  }
  if (kvs.length > 0) yield { range, kvs };
}
