import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Guard, type Withdrawal } from "../../src/mirror/guard.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const LIMITS = { guardWindowMs: 60_000, guardMinWithdrawals: 50, guardPercent: 20, holdConfirmMs: 600_000 };
const STANDING = { weight: 1_000, newWorld: false };

let clock: VirtualClock;
let guard: Guard;
beforeEach(() => {
  clock = new VirtualClock();
  guard = new Guard(clock, LIMITS);
});

function withdrawals(count: number, from = 0, tag = ""): readonly Withdrawal[] {
  return Array.from({ length: count }, (_, index) => ({ key: `k${from + index}`, weight: 1, tag }));
}

const judged = (count: number, from = 0, tag = "") => guard.judge("ip", withdrawals(count, from, tag), STANDING).length;

test("withdrawals up to the share are believed, one more holds the whole batch", () => {
  assert.equal(judged(200), 200);
  guard = new Guard(clock, LIMITS);
  assert.equal(judged(201), 0);
  const [hold] = guard.holds();
  assert.deepEqual([hold?.kind, hold?.state, hold?.keys, hold?.withdrawals], ["ip", "held", 201, 201]);
});

test("of few, 50 are always believed", () => {
  const few = { weight: 60, newWorld: false };
  assert.equal(guard.judge("ip", withdrawals(50), few).length, 50);
  guard = new Guard(clock, LIMITS);
  assert.equal(guard.judge("ip", withdrawals(51), few).length, 0);
});

test("they add up over the window, and only over the window; kinds are apart", async () => {
  assert.equal(judged(150), 150);
  await clock.advance(30_000);
  assert.equal(guard.judge("ip", withdrawals(81, 150), { weight: 850, newWorld: false }).length, 0, "231 of 1,000");
  assert.equal(guard.judge("identities", withdrawals(150), STANDING).length, 150);
  guard = new Guard(clock, LIMITS);
  assert.equal(judged(150), 150);
  await clock.advance(60_001);
  assert.equal(judged(150, 150), 150, "a minute later");
});

test("while a kind is held, every further withdrawal of it is", () => {
  judged(201);
  assert.equal(judged(1, 500), 0);
  assert.equal(guard.holds()[0]?.keys, 202);
});

test("what is said again is not held any more; the last one ends the hold", () => {
  judged(201);
  for (let index = 0; index < 201; index++) guard.said("ip", `k${index}`);
  assert.deepEqual(guard.holds(), []);
  assert.equal(judged(1), 1);
});

test("a listing confirms what has been held long enough, and no sooner", async () => {
  judged(201);
  await clock.advance(LIMITS.holdConfirmMs - 1);
  assert.equal(guard.due, false);
  assert.equal(guard.relist("ip", withdrawals(201), STANDING, { listedAtMs: clock.nowMs() }).length, 0);
  await clock.advance(1);
  assert.equal(guard.due, true);
  assert.equal(
    guard.relist("ip", withdrawals(200), STANDING, { listedAtMs: clock.nowMs() }).length,
    200,
    "one was there again",
  );
  assert.deepEqual(guard.holds(), []);
});

test("what joined a hold later is confirmed later", async () => {
  judged(201);
  await clock.advance(LIMITS.holdConfirmMs - 1_000);
  judged(10, 900);
  await clock.advance(1_000);
  const lacking = [...withdrawals(201), ...withdrawals(10, 900)];
  assert.equal(guard.relist("ip", lacking, STANDING, { listedAtMs: clock.nowMs() }).length, 201);
  assert.equal(guard.holds()[0]?.keys, 10);
});

test("pods go with their node: they do not count, before it and after it", () => {
  const pods = withdrawals(300, 0, "10.2.255.1");
  guard.nodesGone(["10.2.255.1"]);
  assert.equal(guard.judge("ip", pods, STANDING).length, 300);
  guard = new Guard(clock, LIMITS);
  assert.equal(guard.judge("ip", pods, STANDING).length, 0, "the node still stands");
  assert.equal(guard.nodesGone(["10.2.255.1"]).length, 300, "now it went");
  assert.deepEqual(guard.holds(), []);
});

test("a node that went long ago explains nothing", async () => {
  guard.nodesGone(["10.2.255.1"]);
  await clock.advance(LIMITS.guardWindowMs);
  assert.equal(judged(300, 0, "10.2.255.1"), 0);
});

test("a node that is back explains no loss any more", () => {
  guard.nodesGone(["10.2.255.1"]);
  guard.nodesCame(["10.2.255.1"]);
  assert.equal(judged(300, 0, "10.2.255.1"), 0);
});

test("a withdrawal that grows while it is held is as young as its last growth", async () => {
  const shrunk = (weight: number): Withdrawal => {
    return {
      key: "cart",
      weight,
      tag: "",
      left: { value: new Uint8Array(), weight: { weight: 300 - weight, tag: "" } },
    };
  };
  assert.equal(guard.judge("services", [shrunk(250)], { weight: 300, newWorld: false }).length, 0);
  await clock.advance(LIMITS.holdConfirmMs - 1);
  guard.judge("services", [shrunk(300)], { weight: 300, newWorld: false });
  await clock.advance(1);
  assert.equal(guard.due, false);
  assert.equal(
    guard.relist("services", [shrunk(300)], { weight: 300, newWorld: false }, { listedAtMs: clock.nowMs() }).length,
    0,
  );
  await clock.advance(LIMITS.holdConfirmMs - 1);
  assert.equal(
    guard.relist("services", [shrunk(300)], { weight: 300, newWorld: false }, { listedAtMs: clock.nowMs() }).length,
    1,
  );
});

test("in a new world nothing is believed at once, were it one key", () => {
  assert.equal(
    guard.relist("ip", withdrawals(1), { weight: 1_000, newWorld: true }, { listedAtMs: clock.nowMs() }).length,
    0,
  );
  assert.equal(guard.holds()[0]?.keys, 1);
});

test("an operator confirms: everything is believed; or discards: no time confirms it", async () => {
  judged(201);
  assert.equal(guard.confirm("ip").length, 201);
  assert.deepEqual(guard.holds(), []);
  judged(201);
  guard.discard("ip");
  await clock.advance(10 * LIMITS.holdConfirmMs);
  assert.equal(guard.due, false);
  assert.equal(guard.relist("ip", withdrawals(201), STANDING, { listedAtMs: clock.nowMs() }).length, 0);
  const [hold] = guard.holds();
  assert.deepEqual([hold?.state, hold?.keys, hold?.confirmsInMs], ["discarded", 201, undefined]);
  assert.equal(guard.confirm("ip").length, 201, "an operator may change his mind");
});

test("what was discarded before a restart is discarded when it is held again", async () => {
  guard.discard("ip");
  judged(201);
  assert.equal(guard.holds()[0]?.state, "discarded");
  await clock.advance(LIMITS.holdConfirmMs);
  assert.equal(guard.due, false);
});
