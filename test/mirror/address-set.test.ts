/** Ranges as a set, against a list that is searched from end to end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type AddressRange, AddressSet, rangeOf } from "../../src/mirror/address-set.ts";
import { cidrOf } from "../../src/wire/addresses.ts";

const range = (text: string): AddressRange => rangeOf(cidrOf(text));
const holds = (outer: AddressRange, inner: AddressRange): boolean =>
  outer.first <= inner.first && inner.last <= outer.last;

/** Few addresses, so that ranges meet: nested, equal, side by side, of both families. */
const cidr = fc.tuple(fc.nat(63), fc.integer({ min: 0, max: 6 }), fc.boolean()).map(([at, free, v4]) => {
  const start = (at >> free) << free;
  return v4 ? `10.0.0.${start}/${32 - free}` : `fd00::${start.toString(16)}/${128 - free}`;
});

test("whatever is added and deleted, it holds and overlaps what one of its ranges does", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), cidr), { maxLength: 60 }),
      fc.array(cidr, { maxLength: 20 }),
      (steps, asked) => {
        const set = new AddressSet();
        const model: string[] = [];
        for (const [isAdded, text] of steps) {
          if (isAdded) {
            set.add(range(text));
            model.push(text);
          } else {
            set.delete(range(text));
            const at = model.indexOf(text);
            if (at >= 0) model.splice(at, 1);
          }
          const ranges = model.map(range);
          assert.equal(set.isEmpty, ranges.length === 0);
          for (const one of [...asked, text].map(range)) {
            assert.equal(
              set.contains(one),
              ranges.some((other) => holds(other, one)),
            );
            assert.equal(
              set.overlaps(one),
              ranges.some((other) => holds(other, one) || holds(one, other)),
            );
          }
        }
        assert.equal(set.ranges().length, new Set(model).size);
      },
    ),
    { numRuns: 1_000 },
  );
});

test("two halves hold their addresses, and together not the whole", () => {
  const set = new AddressSet();
  for (const half of ["10.0.0.0/25", "10.0.0.128/25"]) set.add(range(half));
  assert(set.contains(range("10.0.0.200/32")));
  assert(!set.contains(range("10.0.0.0/24")));
  assert(set.overlaps(range("10.0.0.0/24")));
});
