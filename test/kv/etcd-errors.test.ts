import assert from "node:assert/strict";
import { test } from "node:test";
import { toKvError } from "../../src/kv/etcd-errors.ts";

const SAID = [
  [
    "14 UNAVAILABLE: No connection established. Last error: Error: connect ECONNREFUSED 10.0.0.1:2379. Resolution note: ",
    "unavailable",
    "connect ECONNREFUSED 10.0.0.1:2379",
  ],
  ["4 DEADLINE_EXCEEDED: Deadline exceeded after 2.001s", "deadline", "Deadline exceeded after 2.001s"],
  [
    "8 RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded",
    "no-space",
    "etcdserver: mvcc: database space exceeded",
  ],
  ["etcdserver: something new", "unavailable", "etcdserver: something new"],
] as const;

test("a failed call becomes a code, and one line that a person can use", () => {
  for (const [said, code, line] of SAID) {
    const error = toKvError(new Error(said), true);
    assert.deepEqual([error.code, error.message], [code, line]);
  }
});

test("a write counts as undone only when the server refused it for certain", () => {
  const unknown = SAID.map(([said]) => toKvError(new Error(said), true).outcomeUnknown);
  assert.deepEqual(unknown, [true, true, false, true]);
  assert.equal(toKvError(new Error(SAID[0][0]), false).outcomeUnknown, false);
});
