// A slice of the random comparison, always the same; `main.ts` runs more of it, with other seeds.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { rounds } from "../../support/rounds.ts";
import { SPOILERS } from "../ways/spoilers.ts";
import { compareLife, emptyComparison, TUPLES_PER_SEED } from "./compare.ts";

const SEED = 3_000;
const TUPLES = rounds(20_000, 50_000);
const SPOILT_WORLDS = 10;
const OUTCOMES = [
  "allowed forwarded",
  "audited identity-unknown",
  "audited policy-denied",
  "dropped endpoint-unknown",
  "dropped identity-unknown",
  "dropped policy-denied",
  "dropped policy-deny-rule",
  "dropped spoofed-source",
];

test(`${TUPLES} random packets: reference and compiled entries agree`, () => {
  const comparison = emptyComparison();
  for (let world = 0; world < TUPLES / TUPLES_PER_SEED; world++) compareLife(SEED + world, comparison);
  assert.deepEqual(comparison.faults.slice(0, 10), []);
  assert.equal(comparison.tuples, TUPLES);
  assert.deepEqual([...comparison.outcomes.keys()].sort(), OUTCOMES, "every outcome there is");
  const [most = 0] = [...comparison.outcomes.values()].sort((left, right) => right - left);
  assert(most < TUPLES * 0.7, "no outcome drowns the others");
});

describe("a mistake in the compiled way is noticed", () => {
  for (const spoiler of SPOILERS) {
    test(spoiler, () => {
      const comparison = emptyComparison();
      for (let world = 0; comparison.faults.length === 0 && world < SPOILT_WORLDS; world++) {
        compareLife(SEED + world, comparison, spoiler);
      }
      assert(comparison.faults.length > 0);
    });
  }
});
