/** What is known best of a remote, of two words for it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { absence } from "../../src/follow/list.ts";
import { type Checkpoint, furthest, seenTo } from "../../src/mirror/checkpoint.ts";

const at = (revision: number, clusterId = 1n): Checkpoint => ({
  clusterId,
  revision,
  witnesses: [absence(revision, `key-${revision}`)],
});

test("a record of one that came further stands alone; an older one, or of another etcd, stands beside what is remembered", () => {
  assert.deepEqual(furthest(at(9), at(5)), at(9));
  assert.deepEqual(furthest(at(5), undefined), at(5));
  assert.deepEqual(furthest(undefined, at(5)), at(5));
  const both = [...at(9).witnesses, ...at(5).witnesses];
  assert.deepEqual(furthest(at(5), at(9)), { clusterId: 1n, revision: 5, witnesses: both });
  assert.deepEqual(furthest(at(5, 2n), at(9))?.witnesses, both);
});

test("terms that come and go before the remote answers neither forget what is remembered nor add to it", () => {
  const once = furthest(at(5), at(9));
  const twice = furthest(at(5), once);
  assert.deepEqual(twice, once);
  assert.equal(twice && seenTo(twice), 9);
});
