import assert from "node:assert/strict";
import { test } from "node:test";
import { Facts } from "../../src/follow/facts.ts";
import { absence, witness } from "../../src/follow/list.ts";
import type { KeyValue } from "../../src/kv/client.ts";

const kv = (key: string, modRevision: number): KeyValue => ({
  ...{ key, modRevision, createRevision: 1, version: 1, leaseId: 0n },
  value: new Uint8Array([modRevision]),
});
const HEARTBEAT = "beat";

function known(facts: Facts): readonly string[] {
  return facts.at(99).map(({ key, modRevision }) => `${key} ${modRevision}`);
}

test("of a listing the heartbeat and the four newest keys are remembered, wherever they stand", () => {
  const facts = new Facts(4, HEARTBEAT);
  facts.listed([[kv("a", 9), kv("b", 2)], [kv(HEARTBEAT, 1)], [kv("c", 7), kv("d", 3), kv("e", 8), kv("f", 4)]]);
  assert.deepEqual(known(facts), ["beat 1", "f 4", "c 7", "e 8", "a 9"]);
});

test("what happens takes the place of the oldest; a deletion is a fact too", () => {
  const facts = new Facts(4, HEARTBEAT);
  facts.listed([[kv("a", 1), kv("b", 2), kv("c", 3), kv("d", 4)]]);
  facts.happened([
    { type: "delete", key: "b", modRevision: 5 },
    { type: "put", kv: kv("e", 6) },
    { type: "put", kv: kv(HEARTBEAT, 7) },
  ]);
  assert.deepEqual(known(facts), ["beat 7", "c 3", "d 4", "b 0", "e 6"]);
  assert.equal(facts.at(99)[0]?.revision, 99);
  facts.happened([{ type: "delete", key: HEARTBEAT, modRevision: 8 }]);
  assert.deepEqual(
    known(facts),
    ["c 3", "d 4", "b 0", "e 6"],
    "a heartbeat that ran out is no fact: it may be there again",
  );
});

test("a listing does not show what was deleted: of what was known the newest two deletions stay, if it lacks those keys", () => {
  const facts = new Facts(4, HEARTBEAT);
  const before = [absence(20, "x"), absence(30, "y"), absence(40, "z"), absence(50, "d"), witness(60, kv("w", 60))];
  facts.listed([[kv("a", 1), kv("b", 2), kv("c", 3), kv("d", 4), kv(HEARTBEAT, 5)]], before);
  assert.deepEqual(known(facts), ["beat 5", "c 3", "d 4", "y 0", "z 0"]);
});
