import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { type KvClient, KvError, type TxnRequest } from "../../src/kv/client.ts";
import { FaultyKv } from "../../src/kv/faulty.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import type { Fence } from "../../src/model/fence.ts";
import { FenceLostError, Publisher } from "../../src/publish/publisher.ts";
import { reconcile } from "../../src/publish/reconcile.ts";
import { sleep } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { below, seededRandom } from "../../src/runtime/random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (value: Uint8Array | undefined): string | undefined => value && new TextDecoder().decode(value);
const FENCE_KEY = "lock/1";

let clock: VirtualClock;
let etcd: MemoryEtcd;
let stop: AbortController;
let fence: Fence;

beforeEach(() => {
  clock = new VirtualClock();
  etcd = new MemoryEtcd({ clock });
  stop = new AbortController();
  fence = moveFence();
});

/** Writes the fence key at the server itself. */
function moveFence(): Fence {
  etcd.edit({ operations: [{ put: { key: FENCE_KEY, value: bytes("") } }] });
  return { key: FENCE_KEY, modRevision: etcd.revision };
}

async function renewThrough(kv: KvClient): Promise<Fence> {
  const answer = await kv.txn({ operations: [{ put: { key: FENCE_KEY, value: bytes("") } }] });
  return { key: FENCE_KEY, modRevision: answer.revision };
}

interface Given {
  readonly kv?: KvClient;
  readonly renewFence?: () => Promise<Fence>;
  readonly maxOperations?: number;
  readonly maxTxnsInFlight?: number;
}

function newPublisher(given: Given = {}): Publisher {
  const kv = given.kv ?? etcd.client({ timeoutMs: 500 });
  return new Publisher({
    kv,
    fence,
    renewFence: () => renewThrough(kv),
    renewIntervalMs: 60_000,
    clock,
    random: seededRandom(1),
    log: silentLogger,
    metrics: new Metrics(),
    backoff: { baseMs: 50, capMs: 500 },
    ...given,
  });
}

/** Keeps each Txn that passes. */
function recording(kv: KvClient, txns: TxnRequest[]): KvClient {
  return {
    ...passing(kv),
    txn: (request) => {
      txns.push(request);
      return kv.txn(request);
    },
  };
}

function passing(kv: KvClient): KvClient {
  return {
    range: (...args) => kv.range(...args),
    txn: (...args) => kv.txn(...args),
    watch: (...args) => kv.watch(...args),
    grantLease: (...args) => kv.grantLease(...args),
    renewLease: (...args) => kv.renewLease(...args),
    revokeLease: (...args) => kv.revokeLease(...args),
    status: () => kv.status(),
    close: () => kv.close(),
  };
}

function storedValue(key: string): string | undefined {
  return textOf(etcd.entries(key).find((kv) => kv.key === key)?.value);
}

test("with the right fence everything is written, without a lease, in few transactions", async () => {
  const txns: TxnRequest[] = [];
  const publisher = newPublisher({ kv: recording(etcd.client(), txns) });
  for (let index = 0; index < 300; index++) publisher.put(`k/${index}`, bytes("v"), "bulk");
  publisher.delete("k/0", "bulk");
  const running = publisher.run(stop.signal);
  await clock.settle(publisher.drained());
  assert.equal(etcd.entries("k/").length, 299);
  assert(etcd.entries("k/").every(({ leaseId }) => leaseId === 0n));
  assert.equal(txns.length, 3);
  assert(txns.every(({ compare }) => compare?.[0]?.key === FENCE_KEY && compare[0].target === "mod"));
  assert.equal(publisher.queued, 0);
  stop.abort();
  await clock.settle(running);
  assert.equal(clock.pending, 0);
});

test("with a wrong fence nothing is written, and the run ends when the fence is lost", async () => {
  fence = { ...fence, modRevision: fence.modRevision - 1 };
  const lost = Object.assign(new Error("someone else leads"), { retryable: false });
  const publisher = newPublisher({ renewFence: () => Promise.reject(lost) });
  publisher.put("k/1", bytes("v"), "live");
  const drained = publisher.drained();
  const running = publisher.run(stop.signal);
  await assert.rejects(clock.settle(Promise.allSettled([drained]).then(() => running)), FenceLostError);
  await assert.rejects(drained, FenceLostError);
  await assert.rejects(publisher.drained(), FenceLostError);
  assert.deepEqual(etcd.entries("k/"), []);
});

test("a fence that only moved is taken up again", async () => {
  const publisher = newPublisher();
  moveFence();
  publisher.put("k/1", bytes("v"), "live");
  void publisher.run(stop.signal);
  await clock.settle(publisher.drained());
  assert.equal(storedValue("k/1"), "v");
  stop.abort();
});

test("L11b: who writes nothing finds out that the fence is lost all the same", async () => {
  const lost = Object.assign(new Error("the etcd went back in time"), { retryable: false });
  let renewals = 0;
  const publisher = newPublisher({
    renewFence: () => (++renewals < 3 ? Promise.resolve(moveFence()) : Promise.reject(lost)),
  });
  const running = publisher.run(stop.signal);
  await clock.advance(2 * 60_000 + 1_000);
  assert.equal(renewals, 2);
  publisher.put("k/1", bytes("v"), "live");
  await clock.settle(publisher.drained());
  assert.equal(storedValue("k/1"), "v", "with the fence as it was moved last");
  const ended = assert.rejects(running, FenceLostError);
  await clock.advance(60_000);
  await ended;
});

test("L03: a fence that cannot be moved for want of space stays where it is, and deletions go on", async () => {
  let refused = 0;
  const renewFence = async (): Promise<Fence> => {
    try {
      return await renewThrough(etcd.client({ timeoutMs: 500 }));
    } catch (error) {
      refused++;
      throw error;
    }
  };
  const publisher = newPublisher({ renewFence });
  publisher.put("k/1", bytes("v"), "live");
  const running = publisher.run(stop.signal);
  await clock.settle(publisher.drained());
  etcd.setNoSpace(true);
  await clock.advance(3 * 60_000 + 1_000);
  assert.equal(refused, 3);
  publisher.delete("k/1", "live");
  await clock.settle(publisher.drained());
  assert.deepEqual(etcd.entries("k/"), []);
  stop.abort();
  await clock.settle(running);
});

test("L11, L03: a local etcd that was restored, the lock as it was left, is found out by the newest write; nothing is written there", async () => {
  const publisher = newPublisher();
  publisher.put("k/1", bytes("v"), "live");
  const running = publisher.run(stop.signal);
  await clock.settle(publisher.drained());
  const backup = etcd.snapshot();
  for (const key of ["k/1", "k/2"]) publisher.delete(key, "live");
  await clock.settle(publisher.drained());
  etcd.restore(backup);
  publisher.delete("k/2", "live");
  const drained = assert.rejects(publisher.drained(), FenceLostError);
  await assert.rejects(clock.settle(running), /restored/);
  await drained;
  assert.equal(storedValue("k/1"), "v", "the twin: only a comparison of everything brings the deletion back");
});

for (const restored of [true, false]) {
  test(`L11b, X02: ${restored ? "restored since the fence was moved last, and past what we knew, it is found out all the same" : "the twin: what others write ends nothing"}`, async () => {
    const publisher = newPublisher();
    publisher.put("k/1", bytes("old"), "live");
    const running = publisher.run(stop.signal);
    await clock.settle(publisher.drained());
    const backup = etcd.snapshot();
    publisher.put("k/1", bytes("new"), "live");
    await clock.settle(publisher.drained());
    if (restored) etcd.restore(backup);
    for (const value of ["1", "2", "3"]) etcd.edit({ operations: [{ put: { key: "others", value: bytes(value) } }] });
    publisher.put("k/2", bytes("v"), "live");
    if (restored) {
      const drained = assert.rejects(publisher.drained(), FenceLostError);
      await assert.rejects(clock.settle(running), /lost k\/1.*restored/);
      await drained;
    } else await clock.settle(publisher.drained());
    assert.equal(storedValue("k/2"), restored ? undefined : "v");
    stop.abort();
  });
}

test("L11b: who writes nothing more finds out that its newest write is lost", async () => {
  const publisher = newPublisher();
  const running = publisher.run(stop.signal);
  const backup = etcd.snapshot();
  publisher.put("k/1", bytes("v"), "live");
  await clock.settle(publisher.drained());
  etcd.restore(backup);
  const ended = assert.rejects(running, /lost k\/1/);
  await clock.advance(61_000);
  await ended;
});

test("writes of one key coalesce, one is in flight, the last one wins; live goes before bulk", async () => {
  const txns: TxnRequest[] = [];
  const publisher = newPublisher({ kv: recording(etcd.client(), txns), maxOperations: 1, maxTxnsInFlight: 2 });
  void publisher.run(stop.signal);
  publisher.put("bulk", bytes("1"), "bulk");
  for (let index = 0; index < 100; index++) publisher.put("hot", bytes(`${index}`), "live");
  publisher.put("bulk/2", bytes("1"), "bulk");
  publisher.put("cold", bytes("1"), "live");
  await clock.settle(publisher.drained());
  const keys = txns.flatMap(({ operations }) => operations.map((one) => ("put" in one ? one.put.key : "")));
  assert.deepEqual(keys, ["hot", "cold", "bulk", "bulk/2"]);
  assert.equal(storedValue("hot"), "99");
  stop.abort();
});

test("at most one write per key is on its way, over many writes and transactions", async () => {
  const inFlight = new Set<string>();
  let most = 0;
  const kv = etcd.client();
  const counting: KvClient = {
    ...recording(kv, []),
    txn: async (request) => {
      const keys = request.operations.map((one) => ("put" in one ? one.put.key : one.delete.key));
      for (const key of keys) {
        assert(!inFlight.has(key), `${key} is on its way already`);
        inFlight.add(key);
      }
      most = Math.max(most, inFlight.size);
      const answer = await kv.txn(request);
      for (const key of keys) inFlight.delete(key);
      return answer;
    },
  };
  const publisher = newPublisher({ kv: counting, maxOperations: 3 });
  void publisher.run(stop.signal);
  const random = seededRandom(5);
  const last = new Map<string, string>();
  for (let round = 0; round < 300; round++) {
    const key = `k/${below(random, 40)}`;
    last.set(key, `${round}`);
    publisher.put(key, bytes(`${round}`), below(random, 2) === 0 ? "live" : "bulk");
    if (round % 7 === 0) await clock.advance(1);
  }
  await clock.settle(publisher.drained());
  assert(most > 3, "several transactions were on their way at once");
  for (const [key, value] of last) assert.equal(storedValue(key), value);
  stop.abort();
});

/** The etcd stops answering, takes what was sent when it wakes, and newer values were written in between: L13. */
async function lateWrites(
  given: (kv: KvClient) => Given,
): Promise<{ readonly late: boolean; readonly value: string | undefined }> {
  const kv = etcd.client({ timeoutMs: 500 });
  let late = false;
  const slow: KvClient = {
    ...recording(kv, []),
    txn: async (request) => {
      const first = request.operations.some((one) => "put" in one && textOf(one.put.value) === "old");
      if (!first) return kv.txn(request);
      // Lost on its way for a second, then applied by the server: its sender has long given up.
      clock.after(1_000, () => {
        late = true;
        void kv.txn(request).catch(() => undefined);
      });
      return new Promise((_resolve, reject) => {
        clock.after(500, () => reject(new KvError("deadline", "no answer")));
      });
    },
  };
  const publisher = newPublisher({ kv: slow, ...given(kv) });
  void publisher.run(stop.signal);
  publisher.put("k", bytes("old"), "live");
  await clock.advance(100);
  publisher.put("k", bytes("new"), "live");
  await clock.advance(10_000);
  stop.abort();
  return { late, value: storedValue("k") };
}

test("L13: an own late write never wins, for the fence moves before anything is written again", async () => {
  const { late, value } = await lateWrites((kv) => ({ renewFence: () => renewThrough(kv) }));
  assert(late);
  assert.equal(value, "new");
});

test("L13, the twin: with a fence that does not move, the late write wins", async () => {
  const still = fence;
  const { late, value } = await lateWrites(() => ({ renewFence: () => Promise.resolve(still) }));
  assert(late);
  assert.equal(value, "old");
});

test("whatever answers are lost, the last value of each key is what stays", async () => {
  const faulty = new FaultyKv(etcd.client({ timeoutMs: 500 }), { clock, random: seededRandom(11), timeoutMs: 500 });
  const publisher = newPublisher({ kv: faulty, maxOperations: 5 });
  void publisher.run(stop.signal);
  faulty.inject({ maxDelayMs: 30, refused: 0.1, lostAnswers: 0.2 });
  const random = seededRandom(12);
  const last = new Map<string, string | undefined>();
  for (let round = 0; round < 400; round++) {
    const key = `k/${below(random, 25)}`;
    const value = below(random, 4) === 0 ? undefined : `${round}`;
    last.set(key, value);
    if (value === undefined) publisher.delete(key, "live");
    else publisher.put(key, bytes(value), "bulk");
    await clock.advance(below(random, 20));
  }
  await clock.settle(publisher.drained());
  for (const [key, value] of last) assert.equal(storedValue(key), value);
  stop.abort();
});

test("L03: out of space, deletions still flow; puts follow when there is space again", async () => {
  etcd.edit({ operations: [{ put: { key: "k/old", value: bytes("1") } }] });
  const publisher = newPublisher();
  void publisher.run(stop.signal);
  etcd.setNoSpace(true);
  publisher.put("k/new", bytes("1"), "live");
  await clock.advance(200);
  publisher.delete("k/old", "bulk");
  await clock.advance(5_000);
  assert.equal(storedValue("k/old"), undefined);
  assert.equal(storedValue("k/new"), undefined);
  assert.equal(publisher.queued, 1);
  etcd.setNoSpace(false);
  await clock.settle(publisher.drained());
  assert.equal(storedValue("k/new"), "1");
  stop.abort();
});

test("L01: a value that etcd will never take is given up; its neighbours are written", async () => {
  const publisher = newPublisher();
  void publisher.run(stop.signal);
  for (let index = 0; index < 20; index++) publisher.put(`k/${index}`, new Uint8Array(400_000), "bulk");
  publisher.put("k/huge", new Uint8Array(2_000_000), "bulk");
  await clock.settle(publisher.drained());
  assert.equal(etcd.entries("k/").length, 20);
  stop.abort();
});

test("an etcd that is down holds writes, coalesced; they are written when it is back", async () => {
  const publisher = newPublisher();
  void publisher.run(stop.signal);
  etcd.stop();
  for (let index = 0; index < 1_000; index++) {
    publisher.put(`k/${index % 10}`, bytes(`${index}`), "live");
    if (index % 50 === 0) await clock.advance(500);
  }
  assert(publisher.queued <= 20);
  etcd.start();
  await clock.settle(publisher.drained());
  assert.equal(storedValue("k/9"), "999");
  stop.abort();
});

test("there is room once all but so many writes are acknowledged, or while no put is taken", async () => {
  const publisher = newPublisher({ maxOperations: 10, maxTxnsInFlight: 2 });
  for (let index = 0; index < 100; index++) publisher.put(`k/${index}`, bytes("v"), "bulk");
  const running = publisher.run(stop.signal);
  await clock.settle(publisher.room(50));
  assert(publisher.queued <= 50 && publisher.queued > 0, `${publisher.queued} wait`);
  await clock.settle(publisher.drained());
  etcd.setNoSpace(true);
  for (let index = 0; index < 100; index++) publisher.put(`k/${index}`, bytes("w"), "bulk");
  await clock.settle(publisher.room(50));
  assert.equal(publisher.queued, 100);
  etcd.setNoSpace(false);
  await clock.settle(publisher.drained());
  assert.equal(storedValue("k/99"), "w");
  stop.abort();
  await clock.settle(running);
  await assert.rejects(publisher.room(0), FenceLostError);
});

const reconcileOptions = (prune: boolean, keep: readonly string[] = []) => ({
  prune,
  keep: new Set(keep),
  pageSize: 2,
  clock,
  signal: stop.signal,
});

test("reconcile writes only what differs, prunes only when told, frees keys of their lease", async () => {
  const kv = etcd.client();
  const { leaseId } = await clock.settle(kv.grantLease(3_600));
  for (const key of ["a", "b", "c", "d"]) etcd.edit({ operations: [{ put: { key: `p/${key}`, value: bytes("1") } }] });
  etcd.edit({ operations: [{ put: { key: "p/leased", value: bytes("1"), leaseId } }] });
  etcd.edit({ operations: [{ put: { key: "p2/other", value: bytes("1") } }] });
  const publisher = newPublisher();
  void publisher.run(stop.signal);
  const desired = new Map(["a", "leased", "e"].map((key) => [`p/${key}`, bytes("1")]));
  desired.set("p/b", bytes("2"));

  const first = await clock.settle(reconcile(publisher, kv, "p/", desired, reconcileOptions(false)));
  assert.deepEqual(first, { written: 3, removed: 0, unchanged: 1 });
  await clock.settle(publisher.drained());
  const second = await clock.settle(reconcile(publisher, kv, "p/", desired, reconcileOptions(true, ["p/d"])));
  assert.deepEqual(second, { written: 0, removed: 1, unchanged: 4 });
  await clock.settle(publisher.drained());
  assert.deepEqual(
    etcd.entries("p").map(({ key, value, leaseId: lease }) => [key, textOf(value), lease]),
    [
      ["p/a", "1", 0n],
      ["p/b", "2", 0n],
      ["p/d", "1", 0n],
      ["p/e", "1", 0n],
      ["p/leased", "1", 0n],
      ["p2/other", "1", 0n],
    ],
  );
  stop.abort();
});

test("reconcile is not misled by older writes that are still on their way", async () => {
  etcd.edit({ operations: [{ put: { key: "p/a", value: bytes("wanted") } }] });
  const publisher = newPublisher();
  publisher.put("p/a", bytes("older"), "live");
  publisher.put("p/b", bytes("older"), "live");
  void publisher.run(stop.signal);
  const desired = new Map([["p/a", bytes("wanted")]]);
  await clock.settle(reconcile(publisher, etcd.client(), "p/", desired, reconcileOptions(true)));
  await clock.settle(publisher.drained());
  assert.deepEqual(
    etcd.entries("p/").map(({ key, value }) => [key, textOf(value)]),
    [["p/a", "wanted"]],
  );
  stop.abort();
});

test("I8: who waits for his own writes does not wait for those of others", async () => {
  const publisher = newPublisher({ maxOperations: 1, maxTxnsInFlight: 2 });
  for (let number = 0; number < 200; number++) publisher.put(`other/${number}`, bytes("v"), "bulk");
  const own = publisher.scope("own");
  own.put("own/1", bytes("v"), "live");
  const done = publisher.run(stop.signal);
  await clock.settle(own.drained());
  assert.equal(textOf(etcd.entries("own/1")[0]?.value), "v");
  assert(publisher.queued > 100, "the others are still waiting");
  await clock.settle(publisher.drained());
  assert.equal(publisher.queued, 0);
  stop.abort();
  await clock.settle(done);
});

/** Delays each Txn by what `latencyMs` says for how many are on their way with it; notes how many these were, and what they held. */
function slowed(kv: KvClient, latencyMs: (inFlight: number) => number, seen: Set<string>[][]): KvClient {
  const inFlight = new Set<Set<string>>();
  return {
    ...passing(kv),
    txn: async (request) => {
      const keys = new Set(request.operations.map((one) => ("put" in one ? one.put.key : one.delete.key)));
      inFlight.add(keys);
      seen.push([...inFlight]);
      await sleep(clock, latencyMs(inFlight.size));
      inFlight.delete(keys);
      return await kv.txn(request);
    },
  };
}

async function mostInFlight(latencyMs: (inFlight: number) => number): Promise<number> {
  const seen: Set<string>[][] = [];
  const kv = slowed(etcd.client(), latencyMs, seen);
  const publisher = newPublisher({ kv, maxOperations: 1, maxTxnsInFlight: 9 });
  for (let number = 0; number < 400; number++) publisher.put(`k/${number}`, bytes("v"), "bulk");
  const running = publisher.run(stop.signal);
  await clock.settle(publisher.drained());
  assert.equal(etcd.entries("k/").length, 400);
  stop.abort();
  await clock.settle(running);
  return Math.max(...seen.map(({ length }) => length));
}

test("as many bulk Txns are on their way as there are slots but one, while answers stay quick", async () => {
  assert.equal(await mostInFlight(() => 10), 8);
});

test("where each Txn more makes all of them slower, fewer are on their way", async () => {
  const most = await mostInFlight((inFlight) => 10 * inFlight ** 2);
  assert(most >= 2 && most <= 4, `${most}`);
});

test("while bulk Txns hang, live writes go through; bulk ones have all slots but one", async () => {
  const seen: Set<string>[][] = [];
  let hanging = false;
  const kv = slowed(etcd.client(), () => (hanging ? 60_000 : 1), seen);
  const publisher = newPublisher({ kv, maxOperations: 1, maxTxnsInFlight: 4 });
  const running = publisher.run(stop.signal);
  for (let number = 0; number < 20; number++) publisher.put(`k/${number}`, bytes("v"), "bulk");
  await clock.settle(publisher.drained());
  hanging = true;
  for (let number = 0; number < 20; number++) publisher.put(`k/${number}`, bytes("w"), "bulk");
  await clock.advance(10);
  assert.equal(seen.at(-1)?.length, 3);
  hanging = false;
  publisher.put("live", bytes("v"), "live");
  await clock.advance(10);
  assert.equal(storedValue("live"), "v");
  assert.equal(publisher.queued, 20, "the bulk ones still wait");
  await clock.settle(publisher.drained());
  stop.abort();
  await clock.settle(running);
});
