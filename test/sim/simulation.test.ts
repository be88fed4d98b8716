import assert from "node:assert/strict";
import { test } from "node:test";
import { FAULT_NAMES } from "./faults.ts";
import { type Outcome, simulate } from "./simulation.ts";

const SEEDS = 50;
/** A run that did not do much proves nothing. */
const LEAST_LINES = 200;

const outcomes: Outcome[] = [];

test(`${SEEDS} seeds of outage and return: every invariant holds, and each replays byte for byte`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = await simulate(seed);
    outcomes.push(outcome);
    const { violations, lines, tail, hash } = outcome;
    if (violations.length > 0) assert.fail(`seed ${seed}:\n${violations.join("\n")}\nlast lines:\n${tail.join("\n")}`);
    assert(lines >= LEAST_LINES, `seed ${seed} did too little: ${lines} lines`);
    const again = await simulate(seed);
    assert.deepEqual([again.hash, again.lines], [hash, lines], `seed ${seed} went another way`);
  }
});

test("every fault struck in some seed, and no two seeds are the same", () => {
  const struck = new Set(outcomes.flatMap(({ faults }) => [...faults.keys()]));
  assert.deepEqual([...struck].sort(), [...FAULT_NAMES].sort());
  assert.equal(new Set(outcomes.map(({ hash }) => hash)).size, SEEDS);
});
