import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeChanges, encodeListing, readChanges, readListing } from "../../src/follow/listing-file.ts";
import { sealed } from "../../src/model/sealed.ts";

const anyNumber = fc.nat(2 ** 31);
const anyPut = fc
  .record({
    key: fc.string({ unit: "grapheme", maxLength: 9 }),
    value: fc.uint8Array({ maxLength: 9 }),
    ...{ createRevision: anyNumber, modRevision: fc.maxSafeNat(), version: anyNumber },
    leaseId: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  })
  .map((kv) => ({ type: "put" as const, kv }));
const anyDeletion = fc.record({ type: fc.constant("delete" as const), key: fc.string(), modRevision: fc.maxSafeNat() });
const placed = <Event>(event: fc.Arbitrary<Event>) =>
  fc
    .array(fc.record({ range: fc.nat(9), event }), { maxLength: 5 })
    .map((records) => records.sort((left, right) => left.range - right.range));
const anyHead = fc.record({
  ...{ owner: fc.string(), ranges: fc.string(), revision: fc.maxSafeNat() },
  clusterId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
});
const anyChanges = fc.record({
  base: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  revision: fc.maxSafeNat(),
  events: placed(fc.oneof(anyPut, anyDeletion)),
  deletions: fc.array(anyDeletion, { maxLength: 3 }),
});
const joined = (pieces: Iterable<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat([...pieces]));
const bytesOf = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, part) =>
      typeof part === "bigint" ? `${part}` : part instanceof Uint8Array ? [...part] : part,
    ),
  );

test("what was written is read", () => {
  fc.assert(
    fc.property(anyHead, placed(anyPut), anyChanges, (head, keys, changes) => {
      const listing = readListing(joined(encodeListing(head, keys)));
      assert(listing.ok);
      const { digest: _, keys: found, ...rest } = listing.value;
      assert.deepEqual(bytesOf({ ...rest, keys: [...found()] }), bytesOf({ ...head, keys }));
      const read = readChanges(joined(encodeChanges(changes)));
      assert(read.ok);
      assert.deepEqual(bytesOf(read.value), bytesOf(changes));
    }),
    { numRuns: 100 },
  );
});

test("a body that makes no sense is refused though its checksum is right", () => {
  const refused: string[] = [];
  fc.assert(
    fc.property(anyHead, placed(anyPut), anyChanges, fc.nat(), fc.nat(255), (head, keys, changes, at, byte) => {
      for (const pieces of [encodeListing(head, keys), encodeChanges(changes)]) {
        const whole = Buffer.concat([...pieces]);
        const [magic, body] = [whole.subarray(0, 8), whole.subarray(8, -32)];
        const spoilt = body.map((old, index) => (index === at % body.length ? byte : old));
        const bytes = Buffer.concat([...sealed(magic, [spoilt.subarray(0, body.length - (at % 3))])]);
        for (const read of [readListing(bytes), readChanges(bytes)]) if (!read.ok) refused.push(read.detail);
        const listing = readListing(bytes);
        if (listing.ok) refused.push(thrownBy(() => [...listing.value.keys()]));
      }
    }),
    { numRuns: 200 },
  );
  for (const kind of [/its format is \d+/, /does not add up/, /it is no listing/])
    assert(refused.some((one) => kind.test(one)));
});

/** "" when nothing was. */
function thrownBy(action: () => unknown): string {
  try {
    action();
    return "";
  } catch (error) {
    assert(error instanceof Error && error.message === "what it holds does not add up");
    return error.message;
  }
}
