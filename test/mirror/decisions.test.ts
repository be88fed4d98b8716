/** What an operator decides about single keys, through the whole mirror. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "../../src/runtime/user-error.ts";
import { MAX_DISCARDED_KEYS } from "../../src/wire/holds.ts";
import { drainKey, holdsKey } from "../../src/wire/keys.ts";
import { cacheKey } from "../../src/wire/resources.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import type { FakeCluster } from "./fake-cluster.ts";
import { eachInItsOwnWorld, LIMITS, type World } from "./world.ts";

let clock: VirtualClock;
let world: World;
eachInItsOwnWorld((newWorld, newClock) => {
  world = newWorld;
  clock = newClock;
});

const PODS = 200;
const CONFIRMED_MS = LIMITS.holdConfirmMs + 10_000;

const ipKey = (osaka: FakeCluster, number: number): string => cacheKey("ip", "osaka", osaka.address(number));
const isCached = (key: string): boolean => world.local.entries(key).some((found) => found.key === key);
const rows = () => world.status("osaka").holds.map(({ kind, state, keys }) => [kind, state, keys]);
const setAside = () => world.mirror.setAside("osaka").map(({ key, reason }) => `${key.split("/").at(-1)} ${reason}`);

async function held(count = 60): Promise<FakeCluster> {
  const osaka = world.addRemote("osaka", 2, PODS);
  await clock.advance(5_000);
  for (let number = 1; number <= count; number++) osaka.remove(osaka.ipKey(number));
  await clock.advance(1_000);
  return osaka;
}

test("one held key is confirmed: it goes at once, and the others when their time has come", async () => {
  const osaka = await held();
  assert.equal(world.mirror.heldKeys("osaka").length, 60);
  assert.equal(world.mirror.confirmHold("osaka", "ip", [ipKey(osaka, 5)]), 1);
  await clock.advance(1_000);
  assert.equal(isCached(ipKey(osaka, 5)), false);
  assert.equal(isCached(ipKey(osaka, 6)), true);
  assert.deepEqual(rows(), [["ip", "held", 59]]);
  await clock.advance(CONFIRMED_MS);
  world.assertMirrored("osaka");
});

test("a key that is not held changes nothing, whatever is named beside it", async () => {
  const osaka = await held();
  const before = world.fingerprint("osaka");
  const keys = [ipKey(osaka, 5), ipKey(osaka, 100)];
  for (const decide of ["confirmHold", "discardHold"] as const) {
    assert.throws(() => world.mirror[decide]("osaka", "ip", keys), /10\.2\.0\.100 is not held of osaka\/ip; nothing/);
  }
  await clock.advance(1_000);
  assert.equal(world.fingerprint("osaka"), before);
  assert.deepEqual(rows(), [["ip", "held", 60]]);
});

test("one held key is discarded: it stays when the others go, through restarts, until it is confirmed by name", async () => {
  const osaka = await held();
  world.mirror.discardHold("osaka", "ip", [ipKey(osaka, 5)]);
  assert.deepEqual(rows(), [
    ["ip", "held", 59],
    ["ip", "discarded", 1],
  ]);
  await clock.advance(1_000);
  await world.restart();
  await clock.advance(10_000);
  assert.deepEqual(rows(), [
    ["ip", "held", 59],
    ["ip", "discarded", 1],
  ]);
  assert.equal(world.mirror.confirmHold("osaka", "ip"), 59, "whoever confirms the rest did not mean the one");
  await clock.advance(CONFIRMED_MS);
  assert.deepEqual(rows(), [["ip", "discarded", 1]]);
  assert.equal(isCached(ipKey(osaka, 5)), true);
  assert.throws(() => world.mirror.confirmHold("osaka", "ip"), /discarded key by key: name the keys/);
  world.mirror.confirmHold("osaka", "ip", [ipKey(osaka, 5)]);
  await clock.advance(1_000);
  world.assertMirrored("osaka");
  assert.equal(world.local.entries(holdsKey("osaka")).length, 0);
});

test("a discarded key that is said again is as any other: withdrawn later, it goes", async () => {
  const osaka = await held();
  world.mirror.discardHold("osaka", "ip", [ipKey(osaka, 5)]);
  world.mirror.confirmHold("osaka", "ip");
  osaka.putIp(5);
  await clock.advance(1_000);
  assert.deepEqual(rows(), []);
  osaka.remove(osaka.ipKey(5));
  await clock.advance(1_000);
  world.assertMirrored("osaka");
});

test("a remote that is being drained means discarded keys too", async () => {
  const osaka = await held();
  world.mirror.discardHold("osaka", "ip", [ipKey(osaka, 5)]);
  osaka.put(drainKey("osaka"), "");
  await clock.advance(1_000);
  world.assertMirrored("osaka");
});

test("more keys than are remembered cannot be discarded one by one", async () => {
  await held(MAX_DISCARDED_KEYS + 1);
  const keys = world.mirror.heldKeys("osaka").map(({ key }) => key);
  assert.throws(() => world.mirror.discardHold("osaka", "ip", keys), UserError);
  assert.deepEqual(rows(), [["ip", "held", MAX_DISCARDED_KEYS + 1]]);
  world.mirror.discardHold("osaka", "ip", keys.slice(1));
  assert.throws(() => world.mirror.discardHold("osaka", "ip", keys.slice(0, 1)), /discard osaka\/ip as a whole/);
});

test("a refused value is discarded: the last good one goes, and does not come back before the remote mends it", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  const before = world.fingerprint("osaka");
  osaka.put(osaka.ipKey(1), "{}");
  osaka.put(osaka.ipKey(99), "{}");
  await clock.advance(1_000);
  assert.deepEqual(setAside(), ["10.2.0.1 malformed", "10.2.0.99 malformed"]);
  assert.equal(world.fingerprint("osaka"), before);
  assert.throws(
    () => world.mirror.discardRefused("osaka", undefined, [osaka.ipKey(1), "cilium/state/nodes/v1/osaka/none"]),
    /none is not refused or parked of osaka; nothing was changed/,
  );
  assert.throws(() => world.mirror.discardRefused("osaka", "parked", [osaka.ipKey(1)]), /not set aside as parked/);
  assert.throws(() => world.mirror.discardRefused("osaka", "parked", []), /nothing of osaka is set aside as parked/);
  assert.equal(world.fingerprint("osaka"), before);
  const done = world.mirror.discardRefused("osaka", "malformed", []);
  assert.deepEqual(done, { remote: "osaka", withdrawn: 1, forgotten: 1 });
  await clock.advance(1_000);
  assert.equal(isCached(ipKey(osaka, 1)), false);
  assert.equal(world.status("osaka").entries["ip"], 24);
  assert.deepEqual([setAside(), world.status("osaka").rejected], [[], 0]);
  await clock.advance(LIMITS.auditIntervalMs * 3);
  assert.equal(world.status("osaka").audited, true, "nothing is missing");
  await world.restart();
  await clock.advance(10_000);
  assert.deepEqual(setAside().sort(), ["10.2.0.1 malformed", "10.2.0.99 malformed"], "listed again, judged again");
  assert.equal(isCached(ipKey(osaka, 1)), false);
  osaka.putIp(1);
  osaka.putIp(99);
  await clock.advance(1_000);
  world.assertMirrored("osaka");
});

test("a refused node's last good value goes as by a deletion: what it declared is free for others", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  osaka.put(osaka.nodeKey("node-1"), "{}");
  await clock.advance(1_000);
  const oslo = world.addRemote("oslo", 4);
  const wants = () => oslo.putNode("greedy", "10.2.255.1");
  wants();
  await clock.advance(3_000);
  const reasons = () => world.mirror.setAside("oslo").map(({ reason }) => reason);
  assert.deepEqual(reasons(), ["foreign-address"], "the last good value still claims it");
  world.mirror.discardRefused("osaka", undefined, [osaka.nodeKey("node-1")]);
  wants();
  await clock.advance(1_000);
  assert.deepEqual(reasons(), []);
});

test("a parked value is forgotten, and judged again by the next listing; what stands of its key stays", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  osaka.put(osaka.ipKey(1), `{"IP":"10.2.0.1","HostIP":"","ID":${osaka.identity(5)}}`);
  await clock.advance(1_000);
  const [parked] = world.mirror.setAside("osaka");
  assert.equal(parked?.reason, "parked");
  const done = world.mirror.discardRefused("osaka", undefined, [parked?.key ?? ""]);
  assert.deepEqual(done, { remote: "osaka", withdrawn: 0, forgotten: 1 });
  assert.deepEqual([setAside(), world.status("osaka").parked], [[], 0]);
  osaka.putIdentity(5);
  await clock.advance(1_000);
  assert.equal(isCached(ipKey(osaka, 1)), true, "the value before it");
  await world.restart();
  await clock.advance(10_000);
  world.assertMirrored("osaka");
});

test("who does not lead, or does not know yet what is cached, decides nothing", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  osaka.put(osaka.ipKey(1), "{}");
  await clock.advance(1_000);
  osaka.etcd.stop();
  const [lock] = world.local.entries("cilium/kvstoremesh-lock/");
  assert(lock);
  world.local.edit({ operations: [{ delete: { key: lock.key } }] });
  const discard = () => world.mirror.discardRefused("osaka", undefined, []);
  await clock.advance(20_000);
  assert.throws(discard, /was not listed since this kvstoremesh leads/);
  assert.equal(isCached(ipKey(osaka, 1)), true);
  osaka.etcd.start();
  await clock.advance(60_000);
  await world.kill();
  assert.throws(discard, /does not lead/);
  await world.restart();
  await clock.advance(20_000);
  assert.equal(discard().withdrawn, 1);
});

test("who led once has no say about what it held then", async () => {
  const osaka = await held();
  await world.kill();
  for (const keys of [[], [ipKey(osaka, 5)]]) {
    for (const decide of ["confirmHold", "discardHold"] as const) {
      assert.throws(() => world.mirror[decide]("osaka", "ip", keys), /does not lead/);
    }
  }
});

test("while a listing is worked in, it takes what it began with for what stands: nothing is decided", async () => {
  const osaka = await held();
  world.mirror.confirmHold("osaka", "ip", [ipKey(osaka, 5)]);
  await clock.advance(1_000);
  osaka.putConfig(2, { serviceExportsEnabled: true });
  world.local.pause();
  for (let step = 0; step < 30 && world.status("osaka").phase !== "reconciling"; step++) await clock.advance(100);
  assert.equal(world.status("osaka").phase, "reconciling");
  assert.throws(() => world.mirror.confirmHold("osaka", "ip"), /try again in a moment/);
  assert.throws(() => world.mirror.confirmHold("osaka", "ip", [ipKey(osaka, 6)]), /try again in a moment/);
  world.local.resume();
  await clock.advance(5_000);
  assert.equal(world.mirror.confirmHold("osaka", "ip"), 59);
});
