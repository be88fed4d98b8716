/** What the in-memory etcd does that a real one is not asked for in equivalence.test.ts: accidents, time, delivery. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventKey, type KvClient, KvError, type KvErrorCode, revisionOf } from "../../src/kv/client.ts";
import { MemoryEtcd, type MemoryEtcdOptions } from "../../src/kv/memory.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { Recorder } from "../support/recorder.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const encoder = new TextEncoder();

function put(key: string, leaseId = 0n) {
  return { put: { key, value: encoder.encode(key), leaseId } };
}

function setUp(options: Partial<MemoryEtcdOptions> = {}): { clock: VirtualClock; etcd: MemoryEtcd; kv: KvClient } {
  const clock = new VirtualClock();
  const etcd = new MemoryEtcd({ clock, latencyMs: 2, ...options });
  return { clock, etcd, kv: etcd.client({ timeoutMs: 1000 }) };
}

async function failure(clock: VirtualClock, call: Promise<unknown>): Promise<[KvErrorCode, boolean, number]> {
  const error = await clock.settle(call.catch((caught: unknown) => caught));
  assert(error instanceof KvError);
  return [error.code, error.outcomeUnknown, clock.nowMs()];
}

const keysOf = (etcd: MemoryEtcd): readonly string[] => etcd.entries().map(({ key }) => key);

test("a call takes one latency each way, an event one after its commit", async () => {
  const { clock, etcd, kv } = setUp();
  const watch = new Recorder(kv, { key: "a" });
  await clock.advance(10);
  const call = kv.txn({ operations: [put("a")] });
  await clock.advance(1.5);
  assert.equal(etcd.revision, 1);
  await clock.advance(1);
  assert.deepEqual([etcd.revision, watch.events.length], [2, 0]);
  await clock.settle(call);
  assert.equal(clock.nowMs(), 14);
  await clock.advance(0);
  assert.equal(watch.events.length, 1);
});

test("a stopped server: calls fail, watches break, leases stand still; then it is all there", async () => {
  const { clock, etcd, kv } = setUp();
  const { leaseId } = await clock.settle(kv.grantLease(5));
  await clock.settle(kv.txn({ operations: [put("leased", leaseId)] }));
  const watch = new Recorder(kv, { key: "leased" });
  await clock.advance(10);
  const cut = kv.txn({ operations: [put("cut")] });
  etcd.stop();
  assert.deepEqual((await failure(clock, cut)).slice(0, 2), ["unavailable", true]);
  assert.deepEqual((await failure(clock, kv.range({ key: "a" }))).slice(0, 2), ["unavailable", false]);
  await clock.advance(60_000);
  assert.equal(watch.end?.cause, "broken");
  const refused = new Recorder(kv, { key: "leased" });
  await clock.advance(10);
  assert.equal(refused.end?.cause, "broken");
  etcd.start();
  await clock.advance(4900);
  assert.deepEqual(keysOf(etcd), ["leased"]);
  await clock.advance(200);
  assert.deepEqual(keysOf(etcd), []);
});

test("L13: a paused server answers nothing, and applies late what was sent to it", async () => {
  const { clock, etcd, kv } = setUp();
  const watch = new Recorder(kv, { key: "late" });
  await clock.advance(10);
  etcd.pause();
  assert.deepEqual(await failure(clock, kv.txn({ operations: [put("late")] })), ["deadline", true, 1010]);
  assert.deepEqual(await failure(clock, kv.range({ key: "late" })), ["deadline", false, 2010]);
  assert.deepEqual([keysOf(etcd), watch.events.length, watch.end], [[], 0, undefined]);
  etcd.resume();
  await clock.advance(10);
  assert.deepEqual([keysOf(etcd), watch.events.length], [["late"], 1]);
});

test("with randomness, some of what was given up on is applied and some is not", async () => {
  const { clock, etcd, kv } = setUp({ random: seededRandom(3) });
  etcd.pause();
  const calls = Array.from({ length: 20 }, (_, index) => kv.txn({ operations: [put(`late/${index}`)] }));
  await clock.settle(Promise.allSettled(calls));
  etcd.resume();
  await clock.advance(10);
  const applied = keysOf(etcd).length;
  assert(applied > 0 && applied < 20, `${applied}`);
});

test("a lease that ran out while the server was paused goes at resume, unless a renewal was waiting", async () => {
  for (const renewed of [false, true]) {
    const { clock, etcd, kv } = setUp();
    const { leaseId } = await clock.settle(kv.grantLease(5));
    await clock.settle(kv.txn({ operations: [put("leased", leaseId)] }));
    etcd.pause();
    const renewal = renewed ? kv.renewLease(leaseId).catch(() => 0) : undefined;
    await clock.advance(30_000);
    assert.deepEqual(keysOf(etcd), ["leased"]);
    etcd.resume();
    await clock.advance(10);
    assert.deepEqual(keysOf(etcd), renewed ? ["leased"] : []);
    await renewal;
  }
});

test("a lease lives as long as it is renewed, and its keys go in one revision", async () => {
  const { clock, etcd, kv } = setUp();
  const { leaseId } = await clock.settle(kv.grantLease(3));
  await clock.settle(kv.txn({ operations: [put("a", leaseId), put("b", leaseId), put("c", leaseId)] }));
  await clock.settle(kv.txn({ operations: [put("b")] }));
  const watch = new Recorder(kv, { key: "a", rangeEnd: "z" });
  for (let renewal = 0; renewal < 5; renewal++) {
    await clock.advance(2000);
    assert.equal(await clock.settle(kv.renewLease(leaseId)), 3);
  }
  await clock.advance(3100);
  assert.deepEqual(keysOf(etcd), ["b"]);
  assert.deepEqual(watch.events.map(revisionOf), [4, 4]);
  assert.equal(await clock.settle(kv.renewLease(leaseId)), 0);
});

test("W10, W13: wiped or restored, the revision is lower and the cluster id the same", async () => {
  const { clock, etcd, kv } = setUp();
  const { clusterId } = await clock.settle(kv.txn({ operations: [put("old")] }));
  const backup = etcd.snapshot();
  await clock.settle(kv.txn({ operations: [put("new")] }));
  const watch = new Recorder(kv, { key: "a", rangeEnd: "z" });
  await clock.advance(10);
  etcd.restore(backup);
  assert.deepEqual([etcd.revision, keysOf(etcd)], [2, ["old"]]);
  await clock.advance(10);
  assert.equal(watch.end?.cause, "broken");
  etcd.wipe();
  const { revision, clusterId: same } = await clock.settle(kv.range({ key: "a", rangeEnd: "z" }));
  assert.deepEqual([revision, same], [1, clusterId]);
  etcd.edit({ operations: [put("x")] });
  etcd.restore(backup);
  assert.deepEqual(keysOf(etcd), ["old"], "a backup does not change");
});

test("a watch that is far behind is paced: 1,000 revisions at a time, the store's revision in the header", async () => {
  const { clock, etcd, kv } = setUp();
  for (let index = 0; index < 2500; index++) etcd.edit({ operations: [put("many")] });
  const watch = new Recorder(kv, { key: "many", startRevision: 2 });
  await clock.advance(10);
  watch.watch.requestProgress();
  await clock.advance(10);
  assert.deepEqual([watch.responses, watch.progress], [[{ revision: 2501, events: 1000 }], []]);
  etcd.edit({ operations: [put("many")] });
  await clock.advance(300);
  assert.deepEqual(
    watch.events.map(revisionOf),
    Array.from({ length: 2501 }, (_, index) => index + 2),
  );
  watch.watch.requestProgress();
  await clock.advance(10);
  assert.deepEqual(watch.progress, [{ revision: 2502, events: 2501 }]);
});

test("a compaction overtakes a watch that catches up", async () => {
  const { clock, etcd, kv } = setUp();
  for (let index = 0; index < 2500; index++) etcd.edit({ operations: [put("many")] });
  const watch = new Recorder(kv, { key: "many", startRevision: 2 });
  await clock.advance(10);
  etcd.compact(2000);
  await clock.advance(300);
  assert.deepEqual([watch.events.length, watch.end?.cause, watch.end?.compactRevision], [1000, "compacted", 2000]);
});

test("no space: puts and leases are refused, deletes go through, and it passes", async () => {
  const { clock, etcd, kv } = setUp();
  await clock.settle(kv.txn({ operations: [put("a")] }));
  etcd.setNoSpace(true);
  assert.equal((await failure(clock, kv.txn({ operations: [put("b")] })))[0], "no-space");
  assert.equal((await failure(clock, kv.grantLease(5)))[0], "no-space");
  assert.equal((await clock.settle(kv.txn({ operations: [{ delete: { key: "a" } }] }))).deleted, 1);
  etcd.setNoSpace(false);
  assert((await clock.settle(kv.txn({ operations: [put("b")] }))).succeeded);
});

test("canceled watches end with the server's reason; cut connections break those that were there", async () => {
  const { clock, etcd, kv } = setUp();
  const canceled = new Recorder(kv, { key: "a" });
  await clock.advance(10);
  etcd.cancelWatches("etcdserver: no leader");
  await clock.advance(10);
  assert.deepEqual(canceled.end, { cause: "canceled", detail: "etcdserver: no leader" });
  const cut = new Recorder(kv, { key: "a" });
  const call = kv.txn({ operations: [put("a")] });
  await clock.advance(3);
  etcd.cut();
  assert.deepEqual((await failure(clock, call)).slice(0, 2), ["unavailable", true]);
  await clock.advance(10);
  assert.deepEqual([cut.end?.cause, keysOf(etcd)], ["broken", ["a"]]);
});

test("a lease that runs out while the server is silent is gone afterwards, also when connections were cut meanwhile", async () => {
  const { clock, etcd, kv } = setUp();
  const { leaseId } = await clock.settle(kv.grantLease(2));
  await clock.settle(kv.txn({ operations: [{ put: { key: "a", value: new Uint8Array(), leaseId } }] }));
  etcd.pause();
  await clock.advance(5_000);
  etcd.cut();
  assert.deepEqual(keysOf(etcd), ["a"]);
  etcd.resume();
  await clock.advance(10);
  assert.deepEqual(keysOf(etcd), []);
});

test("W16: a response in fragments is told whole and in order, or not at all when the connection breaks between them", async () => {
  const { clock, etcd, kv } = setUp({ latencyMs: 10, fragmentBytes: 100 });
  const watch = new Recorder(kv, { key: "a", rangeEnd: "b" });
  await clock.advance(100);
  const write = (key: string, bytes: number): void =>
    void etcd.edit({ operations: [{ put: { key, value: new Uint8Array(bytes) } }] });
  write("a-large", 450);
  write("a-small", 1);
  await clock.advance(45);
  assert.deepEqual(watch.events.map(eventKey), [], "four of five fragments are in, and the small one waits behind");
  await clock.advance(10);
  assert.deepEqual(watch.events.map(eventKey), ["a-large", "a-small"]);
  write("a-lost", 450);
  await clock.advance(30);
  etcd.cut();
  await clock.advance(100);
  assert.deepEqual([watch.events.map(eventKey), watch.end?.cause], [["a-large", "a-small"], "broken"]);
});

test("closing ends calls and watches, and leaves no timer behind", async () => {
  const { clock, kv } = setUp();
  const watch = new Recorder(kv, { key: "a" });
  await clock.advance(10);
  const call = failure(clock, kv.txn({ operations: [put("a")] }));
  kv.close();
  kv.close();
  assert.deepEqual((await call).slice(0, 2), ["canceled", true]);
  assert.equal(watch.end?.cause, "broken");
  await assert.rejects(kv.range({ key: "a" }), { code: "canceled", outcomeUnknown: false });
  const late = new Recorder(kv, { key: "a" });
  await clock.advance(100);
  assert.equal(late.end?.cause, "broken");
  assert.equal(clock.pending, 0);
});

test("it runs on the system's clock too", async () => {
  const kv = new MemoryEtcd({ clock: systemClock }).client();
  await kv.txn({ operations: [put("a")] });
  const revisions = await new Promise((resolve) => {
    const nothing = (): void => undefined;
    const events = (events: Parameters<typeof revisionOf>[0][]): void => resolve(events.map(revisionOf));
    kv.watch(
      { key: "a", startRevision: 2 },
      { created: nothing, events: (seen) => events([...seen]), progress: nothing, ended: nothing },
    );
  });
  assert.deepEqual(revisions, [2]);
  kv.close();
});
