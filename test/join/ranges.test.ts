import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fewest, outside, overlaps } from "../../src/join/ranges.ts";
import { cidrContains, parseCidr } from "../../src/model/address.ts";

test("addresses and ranges become the fewest that say the same", () => {
  assert.deepEqual(fewest(["10.0.0.0/25", "10.0.0.128/25", "10.0.1.0/24"]), ["10.0.0.0/23"]);
  assert.deepEqual(fewest(["10.0.1.0/24", "10.0.2.0/24"]), ["10.0.1.0/24", "10.0.2.0/24"], "no halves of one");
  assert.deepEqual(fewest(["10.0.0.7", "10.0.0.0/24", "10.0.0.6/31"]), ["10.0.0.0/24"]);
  assert.deepEqual(fewest(["fd00::1", "10.0.0.1", "fd00::"]), ["10.0.0.1/32", "fd00::/127"]);
  assert.deepEqual(fewest(["0.0.0.0/1", "128.0.0.0/1"]), ["0.0.0.0/0"]);
  assert.deepEqual(fewest(["nonsense", ""]), []);
});

test("every place where two sets meet is told, and none where they do not", () => {
  assert.deepEqual(overlaps(["10.1.0.0/16", "fd00::/64"], ["10.2.0.0/16", "fd01::/64"]), []);
  assert.deepEqual(overlaps(["10.1.0.0/16"], ["10.1.3.0/24", "10.1.9.9"]), [
    ["10.1.0.0/16", "10.1.3.0/24"],
    ["10.1.0.0/16", "10.1.9.9/32"],
  ]);
  assert.deepEqual(overlaps(["10.1.3.0/24"], ["10.1.0.0/16"]), [["10.1.3.0/24", "10.1.0.0/16"]]);
  assert.deepEqual(overlaps(["10.1.3.0/24"], ["10.1.3.0/24"]), [["10.1.3.0/24", "10.1.3.0/24"]]);
  assert.deepEqual(outside(["10.1.0.1/32", "10.2.0.0/24"], ["10.1.0.0/16"]), ["10.2.0.0/24"]);
});

test("property: nothing is added or lost, and overlaps are found just where an address is in both", () => {
  const texts = fc.array(
    fc.tuple(fc.integer({ min: 0, max: 63 }), fc.integer({ min: 27, max: 32 })).map(([low, bits]) => {
      const base = low & ~((1 << (32 - bits)) - 1);
      return `10.0.0.${base}/${bits}`;
    }),
    { maxLength: 8 },
  );
  const addresses = Array.from({ length: 64 }, (_, low) => `10.0.0.${low}`);
  const inside = (address: string, set: readonly string[]): boolean =>
    set.some((text) => {
      const cidr = parseCidr(text);
      const one = parseCidr(`${address}/32`);
      assert(cidr && one);
      return cidrContains(cidr, one.address);
    });
  fc.assert(
    fc.property(texts, texts, (left, right) => {
      const few = fewest(left);
      for (const address of addresses) assert.equal(inside(address, few), inside(address, left), address);
      assert.deepEqual(fewest(few), few);
      const meet = addresses.some((address) => inside(address, left) && inside(address, right));
      assert.equal(overlaps(left, right).length > 0, meet);
    }),
  );
});
