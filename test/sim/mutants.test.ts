import assert from "node:assert/strict";
import { test } from "node:test";
import { MUTANTS } from "./mutants.ts";
import { simulate } from "./simulation.ts";

/** A mutant that survives so many seeds is one that the simulation does not see. */
const SEEDS = 30;

for (const { name, invariant, warps } of MUTANTS) {
  test(`caught: ${name} (${invariant})`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { violations } = await simulate(seed, warps);
      if (violations.some((line) => line.startsWith(`${invariant}: `))) return;
    }
    assert.fail(`no seed of ${SEEDS} noticed`);
  });
}
