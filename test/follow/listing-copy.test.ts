import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryDisk } from "../../src/disk/memory.ts";
import { ListingCopy } from "../../src/follow/listing-copy.ts";
import { readListing } from "../../src/follow/listing-file.ts";

const HEAD = { owner: "osaka/n1", ranges: "a/ b/", clusterId: 7n, revision: 9 };
const PATH = "/d/listing";
const key = (name: string, bytes = 1) => {
  return { key: name, value: new Uint8Array(bytes), createRevision: 1, modRevision: 2, version: 1, leaseId: 0n };
};

function disk() {
  const made = memoryDisk({ [PATH]: "what was there" });
  return { writeAtomic: made.writeAtomic.bind(made), read: () => made.readBytes(PATH, 1024 ** 3) };
}

test("pages that come while it is written are one file; what comes after its end does not count", async () => {
  const { writeAtomic, read } = disk();
  const copy = new ListingCopy(HEAD);
  const written = writeAtomic(PATH, copy);
  copy.page({ range: 0, kvs: [key("a/1"), key("a/2", 600_000)] });
  await new Promise(setImmediate);
  copy.page({ range: 1, kvs: [key("b/1")] });
  copy.end();
  copy.drop();
  copy.page({ range: 1, kvs: [key("b/2")] });
  await written;
  const listing = readListing(await read());
  assert(listing.ok);
  assert.equal(listing.value.revision, HEAD.revision);
  const keys = [...listing.value.keys()].map(({ range, event }) => `${range} ${event.kv.key} ${event.kv.value.length}`);
  assert.deepEqual(keys, ["0 a/1 1", "0 a/2 600000", "1 b/1 1"]);
});

test("one that is dropped, or finds a disk that is too slow, leaves the file that was there", async () => {
  const { writeAtomic, read } = disk();
  const dropped = new ListingCopy(HEAD);
  const written = writeAtomic(PATH, dropped);
  dropped.page({ range: 0, kvs: [key("a/1", 600_000)] });
  dropped.drop();
  await assert.rejects(written, /not whole/);
  assert(dropped.isDropped);
  const tooMuch = new ListingCopy(HEAD);
  for (let at = 0; at < 70; at++) tooMuch.page({ range: 0, kvs: [key(`a/${at}`, 512 * 1024)] });
  tooMuch.end();
  await assert.rejects(writeAtomic(PATH, tooMuch), /disk is too slow/);
  assert.equal(tooMuch.isDropped, false);
  assert.equal(new TextDecoder().decode(await read()), "what was there");
});
