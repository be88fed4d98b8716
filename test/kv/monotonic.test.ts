import assert from "node:assert/strict";
import { test } from "node:test";
import { type Header, type KvClient, KvError, type RangeResponse } from "../../src/kv/client.ts";
import { monotonicKv } from "../../src/kv/monotonic.ts";

/** Answers ranges with these headers, in order. */
function answering(...headers: readonly Header[]): KvClient {
  const left = [...headers];
  const range = (): Promise<RangeResponse> => {
    const header = left.shift();
    assert.ok(header);
    return Promise.resolve({ ...header, kvs: [], count: 0, more: false });
  };
  return { range } as unknown as KvClient;
}

const at = (revision: number, clusterId = 1n): Header => ({ revision, clusterId });
const ask = (kv: KvClient): Promise<number> => kv.range({ key: "a" }).then(({ revision }) => revision);

test("an answer from before one that was seen is refused, and may be asked for again", async () => {
  const kv = monotonicKv(answering(at(7), at(5), at(7)));
  assert.equal(await ask(kv), 7);
  await assert.rejects(ask(kv), (error) => error instanceof KvError && error.code === "unavailable" && error.retryable);
  assert.equal(await ask(kv), 7);
});

test("of calls that are under way together either may be answered first", async () => {
  const kv = monotonicKv(answering(at(8), at(7)));
  assert.deepEqual(await Promise.all([ask(kv), ask(kv)]), [8, 7]);
});

test("another etcd has revisions of its own: who judges its cluster id hears of it", async () => {
  const kv = monotonicKv(answering(at(9), at(3, 2n), at(2, 2n)));
  assert.equal(await ask(kv), 9);
  assert.equal(await ask(kv), 3);
  await assert.rejects(ask(kv), /answered from revision 2, after 3 was seen/);
});
