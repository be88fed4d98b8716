import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeHolds, judgeHolds, MAX_DISCARDED_KEYS } from "../../src/wire/holds.ts";

const LONGEST_NAME = 253;

test("as many discarded keys as are allowed, each the longest that there is, are read as they were written", () => {
  const names = Array.from({ length: MAX_DISCARDED_KEYS }, (_, index) => {
    const [cluster, namespace] = ["c".repeat(32), "n".repeat(63)];
    return `cilium/cache/endpointslices/v1/${cluster}/${namespace}/${String(index).padStart(LONGEST_NAME, "s")}`;
  });
  const rows = [
    { kind: "ip", state: "held", keys: 7, names: [] },
    { kind: "endpointslices", state: "discarded", keys: names.length, names },
  ] as const;
  assert.deepEqual(judgeHolds("k", encodeHolds(rows)), { ok: true, value: rows });
});

test("names that are no texts are refused; a row without them is what it was before there were any", () => {
  const judged = (row: string) => judgeHolds("k", new TextEncoder().encode(`{"holds":[${row}]}`));
  const old = judged('{"kind":"ip","state":"discarded","keys":1}');
  assert.deepEqual(old, { ok: true, value: [{ kind: "ip", state: "discarded", keys: 1, names: [] }] });
  const torn = judged('{"kind":"ip","state":"discarded","keys":1,"names":[1]}');
  assert(!torn.ok);
  assert.match(torn.rejection.detail, /names\[0\]/);
});
