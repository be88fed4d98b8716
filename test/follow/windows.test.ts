import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { list, pagesAt, prefixRange } from "../../src/follow/list.ts";
import type { KvClient, RangeRequest } from "../../src/kv/client.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const PREFIX = "cache/ip/";
const { signal } = new AbortController();

async function collected<T>(values: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

/** Lists what is below PREFIX, and what was asked for it. */
async function listed(suffixes: readonly string[], pageSize: number) {
  const clock = new VirtualClock();
  const etcd = new MemoryEtcd({ clock });
  const writer = etcd.client();
  for (const suffix of suffixes) {
    const key = `${PREFIX}${suffix}`;
    await clock.settle(writer.txn({ operations: [{ put: { key, value: new Uint8Array() } }] }));
  }
  const kv = etcd.client();
  const asked: RangeRequest[] = [];
  const watched: KvClient = Object.create(kv, {
    range: { value: (request: RangeRequest) => (asked.push(request), kv.range(request)) },
  });
  const range = prefixRange(PREFIX);
  const listing = await clock.settle(list(watched, [range], { pageSize, clock, signal }));
  const pages = await clock.settle(collected(pagesAt(kv, range, listing, { pageSize, signal })));
  const paged = pages.flatMap(({ kvs }) => kvs);
  assert.deepEqual(paged, listing.ranges[0]);
  assert.deepEqual(
    pages.map(({ more }) => more),
    pages.map((_, index) => index < pages.length - 1),
    "each page but the last says that the range goes on",
  );
  assert(pages.slice(0, -1).every(({ kvs }) => kvs.length > 0));
  return { keys: paged.map(({ key }) => key.slice(PREFIX.length)), asked };
}

test("window by window, every key is listed once, in order", async () => {
  const text = fc.string({
    unit: fc.constantFrom("0", "1", "5", "9", ".", "/", "~", "\x7f", "\0", "é", "😀"),
    minLength: 1,
    maxLength: 6,
  });
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(text, { minLength: 40, maxLength: 200 }),
      fc.integer({ min: 1, max: 3 }),
      async (suffixes, pageSize) => {
        const { keys } = await listed(suffixes, pageSize);
        const bytewise = (left: string, right: string): number => Buffer.compare(Buffer.from(left), Buffer.from(right));
        assert.deepEqual(keys, suffixes.toSorted(bytewise));
      },
    ),
    { numRuns: 60 },
  );
});

test("pages of a large range are of windows of a few pages, and there are few more of them than without", async () => {
  const addresses = Array.from(
    { length: 2_000 },
    (_, pod) => `osaka/10.${16 + (pod >> 9)}.${(pod >> 4) & 31}.${pod & 15}`,
  );
  const { keys, asked } = await listed(addresses, 10);
  assert.equal(keys.length, addresses.length);
  assert(asked.length <= 300, `${asked.length} requests for 200 pages`);
  const whole = asked.filter(({ rangeEnd }) => rangeEnd === prefixRange(PREFIX).rangeEnd);
  assert(whole.length < 20, `${whole.length} of ${asked.length} were asked for to the end of the range`);
});
