/** What changed since a listing: the last event of each key of each range. */
import { eventKey, type KeyValue, type WatchEvent } from "../kv/client.ts";
import type { Placed, PlacedKey } from "./listing-file.ts";

/** What an entry takes beside its key and value, in memory and in a file, about. */
const ENTRY_BYTES = 64;

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

  /** The keys there are after these changes; new ones last. */
  *over(base: Iterable<PlacedKey>): Generator<PlacedKey> {
    const met = this.#ranges.map(() => new Set<string>());
    for (const placed of base) {
      const { key } = placed.event.kv;
      const event = this.#ranges[placed.range]?.get(key);
      if (event === undefined) yield placed;
      else met[placed.range]?.add(key);
      if (event?.type === "put") yield { range: placed.range, event };
    }
    for (const { range, event } of this.all()) {
      if (event.type === "put" && !met[range]?.has(event.kv.key)) yield { range, event };
    }
  }
}

function sizeOf(event: WatchEvent | undefined): number {
  if (event === undefined) return 0;
  return ENTRY_BYTES + eventKey(event).length + (event.type === "put" ? event.kv.value.length : 0);
}

/** One list for each range, keys in ascending order. */
export function rangesOf(keys: Iterable<PlacedKey>, count: number): readonly (readonly KeyValue[])[] {
  const ranges = Array.from({ length: count }, (): KeyValue[] => []);
  const unordered = new Set<KeyValue[]>();
  for (const { range, event } of keys) {
    const kvs = ranges[range];
    if (kvs === undefined) continue;
    const before = kvs.at(-1);
    if (before !== undefined && before.key >= event.kv.key) unordered.add(kvs);
    kvs.push(event.kv);
  }
  for (const kvs of unordered) kvs.sort((left, right) => (left.key < right.key ? -1 : 1));
  return ranges;
}

export function* placedKeys(ranges: readonly (readonly KeyValue[])[]): Generator<PlacedKey> {
  for (const [range, kvs] of ranges.entries()) for (const kv of kvs) yield { range, event: { type: "put", kv } };
}
