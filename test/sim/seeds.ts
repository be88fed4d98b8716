/** What the test files share: seeds in halves, so that two processes run them at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Coverage } from "./coverage.ts";
import { ROWS } from "./faults/table.ts";
import { type Outcome, simulate } from "./simulation.ts";

/** A run that did not do much proves nothing. */
const LEAST_LINES = 200;
/** A replay costs as much as the seed itself. */
const REPLAY_EVERY = 10;
/** Two files share the fixed seeds. */
const STEP = 2;
/** Changes between clusters at which nothing was wrong, over all seeds of a file: what I8 is judged by. */
const LEAST_SAMPLES = 1_000;

/** Fails with what went wrong and how to see it again. */
export function assertHolds(seed: number, { violations, lines, tail }: Outcome): void {
  const again = `npm run sim -- --seeds 1 --seed ${seed} --trace`;
  if (violations.length > 0) {
    assert.fail(`seed ${seed} (${again}):\n${violations.join("\n")}\nlast lines:\n${tail.join("\n")}`);
  }
  assert(lines >= LEAST_LINES, `seed ${seed} did too little: ${lines} lines`);
}

/** Registers the tests of `count` fixed seeds: `first` and every second one after it. `leastStrikes`: in how many of them each row must show itself. */
export function testSeeds(first: number, count: number, leastStrikes: number): void {
  const coverage = new Coverage(ROWS);
  const hashes = new Set<string>();
  let samples = 0;

  test(`every second seed from ${first} to ${first + STEP * (count - 1)}: every invariant holds, and every ${REPLAY_EVERY}th replays byte for byte`, async () => {
    for (let at = 0; at < count; at++) {
      const seed = first + STEP * at;
      const outcome = await simulate(seed);
      assertHolds(seed, outcome);
      coverage.add(outcome);
      hashes.add(outcome.hash);
      samples += outcome.samples;
      if (at % REPLAY_EVERY !== 0) continue;
      const again = await simulate(seed);
      assert.deepEqual([again.hash, again.lines], [outcome.hash, outcome.lines], `seed ${seed} went another way`);
    }
  });

  test(`every row struck in at least ${leastStrikes} of these seeds, no two are the same, and I8 had its load`, () => {
    assert.deepEqual(coverage.below(leastStrikes), []);
    assert.equal(hashes.size, count);
    assert(samples >= LEAST_SAMPLES, `${samples} changes`);
  });
}
