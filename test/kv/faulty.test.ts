import assert from "node:assert/strict";
import { test } from "node:test";
import { faultyKv } from "../../src/kv/faulty.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { Recorder } from "../support/recorder.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const write = (key: string) => ({ operations: [{ put: { key, value: new Uint8Array([1]) } }] });

function setUp(seed = 1) {
  const clock = new VirtualClock();
  const etcd = new MemoryEtcd({ clock });
  const kv = faultyKv(etcd.client(), { clock, random: seededRandom(seed), timeoutMs: 2000 });
  return { clock, etcd, kv };
}

test("without faults it is not noticed", async () => {
  const { clock, etcd, kv } = setUp();
  const watch = new Recorder(kv, { key: "a" });
  watch.watch.requestProgress();
  assert((await clock.settle(kv.txn(write("a")))).succeeded);
  assert.equal((await clock.settle(kv.range({ key: "a" }))).count, 1);
  const { leaseId } = await clock.settle(kv.grantLease(5));
  assert.equal(await clock.settle(kv.renewLease(leaseId)), 5);
  await clock.settle(kv.revokeLease(leaseId));
  assert.equal((await clock.settle(kv.status())).revision, etcd.revision);
  assert.deepEqual([watch.createdAt, watch.events.length, watch.progress.length], [1, 1, 1]);
  watch.watch.cancel();
  await clock.settle(kv.txn(write("a")));
  assert.equal(watch.events.length, 1);
});

test("a refused write is not applied, a lost answer is: the caller cannot tell", async () => {
  for (const [faults, applied] of [
    [{ refused: 1 }, 0],
    [{ lostAnswers: 1 }, 1],
  ] as const) {
    const { clock, etcd, kv } = setUp();
    kv.inject(faults);
    await clock.settle(assert.rejects(kv.txn(write("a")), { code: "unavailable", outcomeUnknown: true }));
    await clock.settle(assert.rejects(kv.range({ key: "a" }), { code: "unavailable", outcomeUnknown: false }));
    assert.equal(etcd.entries().length, applied);
    kv.inject({});
    assert.equal((await clock.settle(kv.range({ key: "a" }))).count, applied);
  }
});

test("shares are shares, and a seed repeats", async () => {
  const run = async (): Promise<string> => {
    const { clock, kv } = setUp(7);
    kv.inject({ refused: 0.3, maxDelayMs: 20 });
    const calls = Array.from({ length: 200 }, () => kv.status());
    const outcomes = await clock.settle(Promise.allSettled(calls));
    return outcomes.map(({ status }) => status[0]).join("") + clock.nowMs();
  };
  const outcomes = await run();
  const refused = outcomes.split("r").length - 1;
  assert(refused > 40 && refused < 80, `${refused} of 200`);
  assert.equal(await run(), outcomes);
});

test("silence: calls end at their deadline, applied or not; watches are held up and go on", async () => {
  for (const [silence, applied] of [
    ["requests", 0],
    ["answers", 1],
  ] as const) {
    const { clock, etcd, kv } = setUp();
    const watch = new Recorder(kv, { key: "a", rangeEnd: "z" });
    await clock.advance(10);
    kv.inject({ silence });
    etcd.edit(write("seen-later"));
    await clock.settle(
      assert.rejects(kv.txn(write("a"), { timeoutMs: 500 }), { code: "deadline", outcomeUnknown: true }),
    );
    assert.equal(clock.nowMs(), 510);
    assert.deepEqual([etcd.entries().length, watch.events.length], [1 + applied, 0]);
    kv.inject({});
    assert.equal(watch.events.length, 1 + applied);
    assert.equal(watch.end, undefined);
  }
});

test("broken watches: at a message, or all at once; the server forgets them", async () => {
  const { clock, etcd, kv } = setUp();
  const watches = [new Recorder(kv, { key: "a" }), new Recorder(kv, { key: "a" })];
  await clock.advance(10);
  kv.breakWatches();
  etcd.edit(write("a"));
  await clock.advance(10);
  assert.deepEqual(
    watches.map(({ end, events }) => [end?.cause, events.length]),
    [
      ["broken", 0],
      ["broken", 0],
    ],
  );
  const next = new Recorder(kv, { key: "a" });
  await clock.advance(10);
  kv.inject({ brokenWatches: 1 });
  etcd.edit(write("a"));
  await clock.advance(10);
  assert.deepEqual([next.end?.cause, next.events.length], ["broken", 0]);
  kv.close();
  await clock.advance(10);
});
