import assert from "node:assert/strict";
import { test } from "node:test";
import { isOf, parseKeys, type StoredKey } from "../../deploy/lab/etcd.ts";
import {
  ExpectationFailed,
  expectNoFailure,
  expectNoneGone,
  expectShares,
  expectUnchanged,
  InvalidRun,
  keyChanges,
  requireLoad,
} from "../../deploy/lab/tour/expect.ts";
import { statusRow } from "../../deploy/lab/tour/step-2-outage.ts";
import { byCluster, type JobResult, Tally } from "../../deploy/lab/workload/jobs.ts";

const GOOD: JobResult = {
  calls: 5_000,
  seconds: 20,
  answers: { "amsterdam/a": 2_000, "osaka/o": 1_500, "osaka/p": 1_500 },
  failures: {},
  unstarted: 0,
  latencyMs: { p50: 1, p99: 2, max: 3 },
};

test("one failed call fails the run; a client without ports makes it invalid", () => {
  expectNoFailure("x", GOOD);
  assert.throws(() => expectNoFailure("x", { ...GOOD, failures: { ECONNREFUSED: 1 } }), ExpectationFailed);
  assert.throws(() => expectNoFailure("x", { ...GOOD, unstarted: 1 }), InvalidRun);
});

test("a stream that is too slow or too short is invalid, not passed", () => {
  requireLoad("x", GOOD);
  assert.throws(() => requireLoad("x", { ...GOOD, calls: 3_999 }), InvalidRun);
  assert.throws(() => requireLoad("x", { ...GOOD, seconds: 19.9 }), InvalidRun);
});

test("answers come from all clusters asked for, and from no other", () => {
  expectShares("x", GOOD, ["amsterdam", "osaka"], 0.2);
  assert.throws(() => expectShares("x", GOOD, ["amsterdam"], 0.2), /answers from osaka/);
  assert.throws(() => expectShares("x", GOOD, ["amsterdam", "osaka", "virginia"], 0.2), /virginia gave 0\.0 %/);
});

test("answers are counted by cluster", () => {
  assert.deepEqual(
    [...byCluster(GOOD.answers)],
    [
      ["amsterdam", 2_000],
      ["osaka", 3_000],
    ],
  );
});

const key = (name: string, modRevision: number): StoredKey => ({ key: name, value: "", modRevision, lease: "0" });

test("a key that appeared, vanished or was written again is a change", () => {
  const before = [key("a", 1), key("b", 2), key("c", 3)];
  assert.deepEqual(keyChanges(before, before), []);
  assert.deepEqual(keyChanges(before, [key("a", 1), key("b", 9), key("d", 4)]), [
    "b was written",
    "d appeared",
    "c vanished",
  ]);
  assert.throws(() => expectUnchanged("x", before, before.slice(1)), ExpectationFailed);
});

test("of keys that others may still write none may vanish", () => {
  const before = [key("a", 1), key("b", 2)];
  expectNoneGone("x", before, [key("c", 9), key("b", 7), key("a", 1)]);
  assert.throws(() => expectNoneGone("x", before, [key("a", 1)]), /x: 1 keys vanished, the first: b; expected none/);
});

test("nothing at all does not count as unchanged", () => {
  assert.throws(() => expectUnchanged("x", [], []), /nothing to begin with/);
});

test("etcdctl's JSON is read without losing digits of a lease", () => {
  const text = (value: string): string => Buffer.from(value).toString("base64");
  const json = `{"kvs":[{"key":"${text("k")}","value":"${text("v")}","mod_revision":7,"lease":7587870432195711747},{"key":"${text("l")}","mod_revision":8}]}`;
  assert.deepEqual(parseKeys(json), [
    { key: "k", value: "v", modRevision: 7, lease: "7587870432195711747" },
    { key: "l", value: "", modRevision: 8, lease: "0" },
  ]);
  assert.deepEqual(parseKeys('{"header":{}}'), []);
});

test("a cache key belongs to the cluster that it names, whatever the kind", () => {
  assert.ok(isOf("cilium/cache/ip/v1/osaka/10.2.0.1", "osaka"));
  assert.ok(isOf("cilium/cache/identities/v1/osaka/id/131328", "osaka"));
  assert.ok(!isOf("cilium/cache/services/v1/virginia/osaka/x", "osaka"));
});

test("the row of a remote is found under its cluster's heading", () => {
  const text = [
    "amsterdam\n  kvstoremesh: leader\n    REMOTE  AGE\n    osaka     idle  no  yes  5613  18.9 s (stale)  open  0  no",
    "virginia\n    osaka     idle  no  yes  5613  3.0 s (suspect)  half-open  0",
  ].join("\n\n");
  assert.deepEqual(statusRow(text, "amsterdam", "osaka"), { ageMs: 18_900, grade: "stale", breaker: "open" });
  assert.equal(statusRow(text, "virginia", "osaka").breaker, "half-open");
  assert.equal(statusRow(text, "virginia", "tokyo").breaker, "");
});

test("a tally separates answers, failures and calls that were never made", () => {
  const tally = new Tally();
  for (const latencyMs of [3, 1, 2]) tally.answered("osaka/o", latencyMs);
  tally.failed("ECONNREFUSED");
  tally.failed("EADDRNOTAVAIL");
  assert.deepEqual(tally.result(2), {
    calls: 5,
    seconds: 2,
    answers: { "osaka/o": 3 },
    failures: { ECONNREFUSED: 1 },
    unstarted: 1,
    latencyMs: { p50: 2, p99: 3, max: 3 },
  });
});
