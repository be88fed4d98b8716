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

test("single keys are confirmed: the others wait on, and with the last one the hold ends", async () => {
  judged(201);
  const keys = ["k3", "k7"];
  assert.deepEqual(
    guard.confirm("ip", keys).map(({ key }) => key),
    keys,
  );
  assert.equal(guard.holds()[0]?.keys, 199);
  assert.equal(judged(1, 500), 0, "the kind is still held");
  assert.equal(
    guard.confirm(
      "ip",
      [...guard.heldKeys()].map(({ key }) => key),
    ).length,
    200,
  );
  assert.deepEqual(guard.holds(), []);
});

test("single keys are discarded: no time confirms them, and they are a row of their own until they are said again", async () => {
  judged(201);
  guard.discardKeys("ip", ["k3", "k7"]);
  const rows = () => guard.holds().map(({ state, keys }) => [state, keys]);
  assert.deepEqual(rows(), [
    ["held", 199],
    ["discarded", 2],
  ]);
  await clock.advance(LIMITS.holdConfirmMs);
  const listed = { listedAtMs: clock.nowMs() };
  assert.equal(guard.relist("ip", withdrawals(201), STANDING, listed).length, 199);
  assert.deepEqual(rows(), [["discarded", 2]]);
  assert.equal(guard.due, false);
  assert.equal(judged(1, 500), 0, "one that is discarded holds its kind");
  guard.said("ip", "k3");
  assert.deepEqual(guard.discardedKeys("ip"), ["k7"]);
  assert.equal(guard.relist("ip", withdrawals(1, 500), STANDING, listed).length, 0);
  assert.deepEqual(guard.discardedKeys("ip"), [], "k7 was listed: it is there again");
});

test("single keys that were discarded before a restart are held by the first listing that lacks them, however few", async () => {
  guard.discardKeys("ip", ["k3"]);
  const listed = { listedAtMs: clock.nowMs() };
  const unsaid = new Map([["k3", undefined]]);
  guard.relist("ip", [], STANDING, { ...listed, unsaid });
  assert.deepEqual(guard.discardedKeys("ip"), ["k3"], "a listing that is not complete says nothing of it");
  assert.equal(guard.relist("ip", withdrawals(1, 3), STANDING, listed).length, 0);
  assert.equal(guard.holds()[0]?.state, "discarded");
  assert.equal(guard.confirm("ip", ["k3"]).length, 1);
  assert.deepEqual([guard.holds(), guard.discardedKeys("ip")], [[], []]);
});

test("a key that was discarded stays, also when its node goes", () => {
  guard.judge("ip", withdrawals(201, 0, "10.0.0.1"), STANDING);
  guard.discardKeys("ip", ["k3"]);
  assert.equal(guard.nodesGone(["10.0.0.1"]).length, 200);
  assert.deepEqual(
    guard.heldKeys().map(({ key, state }) => [key, state]),
    [["k3", "discarded"]],
  );
});

test("the whole kind discarded is the last word: single ones are a part of it", () => {
  judged(201);
  guard.discardKeys("ip", ["k3"]);
  guard.discard("ip");
  assert.deepEqual(guard.discardedKeys("ip"), []);
  assert.deepEqual(
    guard.holds().map(({ state, keys }) => [state, keys]),
    [["discarded", 201]],
  );
});

test("what is held and grows stays held, also where alone it would be little; a discarded hold stays discarded", async () => {
  const shrunk = (weight: number): Withdrawal => ({ key: "s", weight, tag: "" });
  for (const discarded of [false, true]) {
    guard = new Guard(clock, LIMITS);
    const relist = (weight: number, newWorld: boolean) =>
      guard.relist("services", [shrunk(weight)], { weight: 1_000, newWorld }, { listedAtMs: clock.nowMs() });
    assert.equal(relist(1, true).length, 0);
    if (discarded) guard.discard("services");
    await clock.advance(LIMITS.holdConfirmMs);
    assert.equal(relist(2, false).length, 0, "one more was lost since");
    assert.equal(guard.holds()[0]?.state, discarded ? "discarded" : "held");
    await clock.advance(LIMITS.holdConfirmMs);
    assert.equal(relist(2, false).length, discarded ? 0 : 1);
  }
});
