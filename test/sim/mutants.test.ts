import assert from "node:assert/strict";
import { test } from "node:test";
import { catches } from "./mutants/catch.ts";
import { MUTANTS } from "./mutants/table.ts";

/** A mutant that survives so many seeds is one that the simulation does not see. */
const SEEDS = 1_000;
const LEAST_MUTANTS = 20;

test("there are enough of them, each of its own name", () => {
  assert(MUTANTS.length >= LEAST_MUTANTS);
  assert.equal(new Set(MUTANTS.map(({ name }) => name)).size, MUTANTS.length);
});

for (const mutant of MUTANTS) {
  test(`caught: ${mutant.name} (${mutant.invariant})`, async (t) => {
    const seed = await catches(mutant, SEEDS);
    assert(seed !== undefined, `no seed of ${SEEDS} noticed`);
    t.diagnostic(`seed ${seed} caught: ${mutant.name}`);
  });
}
