/** Withdrawals that are too many, and worlds that are not the one we knew. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "../../src/runtime/user-error.ts";
import { encodeDrain } from "../../src/wire/drain.ts";
import { drainKey, holdsKey } from "../../src/wire/keys.ts";
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

async function osakaWithPods(): Promise<FakeCluster> {
  const osaka = world.addRemote("osaka", 2, PODS);
  await clock.advance(5_000);
  world.assertMirrored("osaka");
  return osaka;
}

function removePods(cluster: FakeCluster, count: number): void {
  for (let number = 1; number <= count; number++) cluster.remove(cluster.ipKey(number));
}

test("W14: more deletions than are believed at once change nothing; listed again after the time, they are believed", async () => {
  const osaka = await osakaWithPods();
  const before = world.fingerprint("osaka");
  removePods(osaka, 60);
  await clock.advance(LIMITS.holdConfirmMs / 2);
  assert.equal(world.fingerprint("osaka"), before);
  const [hold] = world.status("osaka").holds;
  assert.deepEqual([hold?.kind, hold?.state, hold?.keys, hold?.withdrawals], ["ip", "held", 60, 60]);
  assert.match(world.mirror.status().problems.join("\n"), /60 withdrawals of ip .* holds confirm osaka\/ip/);
  assert.equal(world.local.entries(holdsKey("osaka")).length, 1, "whoever looks into the etcd sees it too");
  await clock.advance(CONFIRMED_MS);
  world.assertMirrored("osaka");
  assert.deepEqual(world.status("osaka").holds, []);
  assert.equal(world.local.entries(holdsKey("osaka")).length, 0);
});

test("W14: fewer deletions go at once", async () => {
  const osaka = await osakaWithPods();
  removePods(osaka, 50);
  await clock.advance(1_000);
  world.assertMirrored("osaka");
});

test("W14: puts that empty are withdrawals too: a service keeps its backends while they are held", async () => {
  const osaka = await osakaWithPods();
  const backends = Array.from({ length: 100 }, (_, index) => index + 1);
  osaka.putService("till", backends);
  await clock.advance(1_000);
  const before = world.fingerprint("osaka");
  osaka.putService("till", []);
  await clock.advance(5_000);
  assert.equal(world.fingerprint("osaka"), before);
  assert.deepEqual(
    world.status("osaka").holds.map(({ kind, keys, withdrawals }) => [kind, keys, withdrawals]),
    [["services", 1, 100]],
  );
  osaka.putService("till", backends.slice(1));
  await clock.advance(1_000);
  assert.equal(world.fingerprint("osaka"), before, "one less is held too, as long as the kind is");
  osaka.putService("till", [...backends, 101]);
  await clock.advance(1_000);
  world.assertMirrored("osaka");
  assert.deepEqual(world.status("osaka").holds, []);
});

test("W14: found by a listing after an outage, it is held likewise", async () => {
  const osaka = await osakaWithPods();
  const before = world.fingerprint("osaka");
  osaka.etcd.stop();
  await clock.advance(1_000);
  removePods(osaka, 60);
  osaka.putService("cart", []);
  osaka.etcd.start();
  await clock.advance(10_000);
  assert.equal(world.status("osaka").connected, true);
  assert.notEqual(world.fingerprint("osaka"), before, "the service lost two backends: that is believed");
  assert.equal(world.cache("osaka").size, PODS + 3);
  assert.equal(world.status("osaka").holds[0]?.keys, 60);
  await clock.advance(CONFIRMED_MS);
  world.assertMirrored("osaka");
});

test("pods that go with their node are no mass withdrawal", async () => {
  const osaka = world.addRemote("osaka", 2, 10);
  osaka.putNode("node-2", "10.2.255.2");
  for (let number = 100; number < 200; number++) osaka.putIp(number, "pod", "10.2.255.2");
  await clock.advance(5_000);
  for (let number = 100; number < 200; number++) osaka.remove(osaka.ipKey(number));
  await clock.advance(1_000);
  assert.equal(world.status("osaka").holds[0]?.keys, 100, "the node stands");
  osaka.remove(osaka.nodeKey("node-2"));
  await clock.advance(1_000);
  world.assertMirrored("osaka");
  assert.deepEqual(world.status("osaka").holds, []);
});

test("an operator confirms: it is believed at once", async () => {
  const osaka = await osakaWithPods();
  removePods(osaka, 60);
  await clock.advance(1_000);
  world.mirror.confirmHold("osaka", "ip");
  await clock.advance(1_000);
  world.assertMirrored("osaka");
  assert.throws(() => world.mirror.confirmHold("osaka", "ip"), UserError, "nothing is held any more");
  assert.throws(() => world.mirror.confirmHold("oslo", "ip"), UserError, "no such remote");
});

test("an operator discards: it stays, also through a restart, until he confirms it after all", async () => {
  const osaka = await osakaWithPods();
  const before = world.fingerprint("osaka");
  removePods(osaka, 60);
  await clock.advance(1_000);
  world.mirror.discardHold("osaka", "ip");
  await clock.advance(CONFIRMED_MS);
  assert.equal(world.fingerprint("osaka"), before);
  await world.restart();
  await clock.advance(CONFIRMED_MS);
  assert.equal(world.fingerprint("osaka"), before);
  assert.equal(world.status("osaka").holds[0]?.state, "discarded");
  world.mirror.confirmHold("osaka", "ip");
  await clock.advance(1_000);
  world.assertMirrored("osaka");
});

test("a remote that is being drained means it: nothing is held, and what was is believed", async () => {
  const osaka = await osakaWithPods();
  removePods(osaka, 60);
  await clock.advance(1_000);
  assert.equal(world.status("osaka").holds.length, 1);
  osaka.put(drainKey("osaka"), "");
  await clock.advance(1_000);
  world.assertMirrored("osaka");
  assert.equal(world.local.entries("cilium/cache/bulkhead/v1/osaka/drain").length, 1, "agents can see it");
  for (let number = 61; number <= PODS; number++) osaka.remove(osaka.ipKey(number));
  await clock.advance(1_000);
  assert.equal(world.status("osaka").entries["ip"], 0);
  osaka.remove(drainKey("osaka"));
  await clock.advance(1_000);
  assert.equal(world.local.entries("cilium/cache/bulkhead/v1/osaka/drain").length, 0);
});

const MARKER_AT = { all: { weight: 0, target: 0, step: 10, stepMs: 1_000 }, services: new Map() };

for (const [what, drain] of [
  ["a drain that is under way", { ...MARKER_AT, all: { ...MARKER_AT.all, weight: 10 } }],
  ["a return that begins", { ...MARKER_AT, all: { ...MARKER_AT.all, target: 100 } }],
  ["a drain of services", { services: new Map([["shop/web", MARKER_AT.all]]) }],
] as const) {
  test(`${what} releases nothing; a cluster that traffic has left means what it withdraws`, async () => {
    const osaka = await osakaWithPods();
    osaka.put(drainKey("osaka"), encodeDrain(drain));
    removePods(osaka, 60);
    await clock.advance(1_000);
    assert.equal(world.status("osaka").holds.length, 1);
    osaka.put(drainKey("osaka"), encodeDrain(MARKER_AT));
    await clock.advance(1_000);
    world.assertMirrored("osaka");
  });
}

test("W10: an etcd restored from a backup, same cluster id: not one key is withdrawn unconfirmed", async () => {
  const osaka = await osakaWithPods();
  const backup = osaka.etcd.snapshot();
  for (let number = 300; number < 310; number++) osaka.putIp(number);
  osaka.beat();
  await clock.advance(3_000);
  world.assertMirrored("osaka");
  const before = world.fingerprint("osaka");
  osaka.etcd.restore(backup);
  await clock.advance(10_000);
  assert.equal(world.status("osaka").connected, true);
  assert.equal(world.fingerprint("osaka"), before);
  assert.equal(world.status("osaka").holds[0]?.keys, 10);
  await clock.advance(CONFIRMED_MS);
  world.assertMirrored("osaka");
});

test("W11: a restored etcd that has caught up past our revision is known by its witnesses, also by the next process", async () => {
  for (const restarted of [false, true]) {
    const name = restarted ? "osaka" : "virginia";
    const remote = world.addRemote(name, restarted ? 2 : 3, PODS);
    await clock.advance(5_000);
    const backup = remote.etcd.snapshot();
    for (let number = 300; number < 310; number++) remote.putIp(number);
    remote.beat();
    await clock.advance(3_000);
    const before = world.cache(name).size;
    if (restarted) await world.kill();
    remote.etcd.restore(backup);
    for (let round = 0; round < 40; round++) remote.putIp(1, `again-${round}`);
    if (restarted) await world.restart();
    await clock.advance(15_000);
    assert.equal(world.status(name).connected, true);
    assert.equal(world.cache(name).size, before, `${name}: nothing was withdrawn`);
    assert.equal(world.status(name).holds[0]?.keys, 10);
    await clock.advance(CONFIRMED_MS);
    world.assertMirrored(name);
  }
});

test("W12: another etcd behind the address, other cluster id: nothing is withdrawn unconfirmed", async () => {
  const osaka = await osakaWithPods();
  const before = world.cache("osaka").size;
  const other = world.addRemote("osaka", 2, PODS - 20, 0x77n);
  assert.notEqual(other, osaka);
  osaka.etcd.stop();
  await clock.advance(20_000);
  assert.equal(world.status("osaka").connected, true);
  assert.equal(world.cache("osaka").size, before);
  await clock.advance(CONFIRMED_MS);
  world.assertMirrored("osaka");
});
