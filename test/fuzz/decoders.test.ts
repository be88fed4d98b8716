import assert from "node:assert/strict";
import { test } from "node:test";
import { rounds } from "../support/rounds.ts";
import { FuzzFailure, fuzz } from "./run.ts";
import { TARGETS } from "./targets.ts";

const RUNS = rounds(1_600, 4_000);

for (const target of TARGETS) {
  const runs = RUNS / (target.cost ?? 1);
  test(`${target.name}: ${runs} damaged values are judged, never thrown at`, () => {
    assert.equal(target.check(target.suffix, target.seed), true, "the golden value itself is accepted");
    const { accepted, rejected } = fuzz(target, runs, 1);
    assert(accepted > 0 && rejected > runs / 4, `accepted ${accepted}, rejected ${rejected}: the damage is of no use`);
  });
}

test("a decoder that throws is found", () => {
  const [first] = TARGETS;
  assert(first);
  const check = (_: string, bytes: Uint8Array): boolean => JSON.parse(new TextDecoder().decode(bytes)) !== undefined;
  const fragile = { ...first, check };
  assert.throws(() => fuzz(fragile, 100, 1), FuzzFailure);
});
