/** A listing at hand, written down as if it had come in pages. */
import type { Listing } from "../../src/follow/list.ts";
import type { ListingStore } from "../../src/follow/listing-store.ts";

export function writeDown(store: ListingStore, listing: Listing): void {
  const copy = store.copy(listing);
  for (const [range, kvs] of listing.ranges.entries()) copy.page({ range, kvs });
  store.listed(listing, copy, []);
}
