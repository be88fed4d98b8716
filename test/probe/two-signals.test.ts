import assert from "node:assert/strict";
import { test } from "node:test";
import type { ControlPlane, DataPath, HealthDecision } from "../../src/model/health.ts";
import type { PeerGrade } from "../../src/model/status.ts";
import { controlPlaneOf, decide } from "../../src/probe/two-signals.ts";

const TABLE: readonly (readonly [ControlPlane, DataPath, HealthDecision, HealthDecision])[] = [
  ["talking", "alive", "normal", "normal"],
  ["talking", "unknown", "normal", "normal"],
  ["talking", "dead", "demote", "normal"],
  ["silent", "alive", "keep", "keep"],
  ["silent", "unknown", "keep", "keep"],
  ["silent", "dead", "take-out", "keep"],
  ["unknown", "alive", "normal", "normal"],
  ["unknown", "unknown", "normal", "normal"],
  ["unknown", "dead", "demote", "normal"],
];

for (const [control, path, decision, suspecting] of TABLE) {
  test(`control plane ${control}, data path ${path}: ${decision}; ${suspecting} on a node that suspects itself`, () => {
    assert.equal(decide(control, path, false), decision);
    assert.equal(decide(control, path, true), suspecting);
  });
}

test("only a stale remote is silent: what is not proven, or not told, never counts as silence", () => {
  const grades: readonly PeerGrade[] = ["fresh", "suspect", "stale", "unproven", "unknown"];
  assert.deepEqual(grades.map(controlPlaneOf), ["talking", "talking", "silent", "unknown", "unknown"]);
});
