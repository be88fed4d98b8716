/** Handing the cache to a kvstoremesh of Cilium. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "../../src/runtime/user-error.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { eachInItsOwnWorld, type World } from "./world.ts";

let clock: VirtualClock;
let world: World;
eachInItsOwnWorld((newWorld, newClock) => {
  world = newWorld;
  clock = newClock;
});

const mirrored = () =>
  world.local
    .entries("cilium/")
    .filter(({ key }) => /^cilium\/(cache|synced|cluster-config)\//.test(key) && key.includes("osaka"));

test("released, every mirrored key hangs on one lease of 15 minutes; what a successor writes stays, the rest goes", async () => {
  const osaka = world.addRemote("osaka", 2, 250);
  await clock.advance(5_000);
  const before = mirrored();
  assert(before.length > 250 && before.every(({ leaseId }) => leaseId === 0n));
  const { keys, ttlSeconds } = await clock.settle(world.mirror.release());
  assert.deepEqual([keys, ttlSeconds], [before.length, 900]);
  const leases = new Set(mirrored().map(({ leaseId }) => leaseId));
  assert.equal(leases.size, 1);
  assert(!leases.has(0n));
  assert.deepEqual(
    mirrored().map(({ key, value }) => [key, Buffer.from(value).toString()]),
    before.map(({ key, value }) => [key, Buffer.from(value).toString()]),
  );

  osaka.putIp(300);
  await clock.advance(60_000);
  assert.equal(mirrored().length, before.length, "nothing is mirrored any more");
  assert.equal(world.local.entries("cilium/kvstoremesh-lock/").length, 0, "the lock is free");
  const { leader, problems } = world.mirror.status();
  assert.equal(leader, false);
  assert.match(problems.join("\n"), /released/);

  // As Cilium does: puts without a look at what is there.
  const kept = before.slice(0, 10);
  for (const { key, value } of kept) world.local.edit({ operations: [{ put: { key, value } }] });
  await clock.advance(900_000);
  assert.deepEqual(
    mirrored().map(({ key }) => key),
    kept.map(({ key }) => key),
  );
});

test("after a release a new process takes the cache back: no key keeps the lease", async () => {
  world.addRemote("osaka", 2);
  await clock.advance(5_000);
  await clock.settle(world.mirror.release());
  await world.restart();
  await clock.advance(10_000);
  assert(mirrored().every(({ leaseId }) => leaseId === 0n));
  await clock.advance(1_000_000);
  world.assertMirrored("osaka");
});

test("a release that fails half-way is undone by itself: mirroring goes on and takes the lease off again", async () => {
  world.addRemote("osaka", 2, 250);
  await clock.advance(5_000);
  let writes = 0;
  const txn = world.local.txn.bind(world.local);
  world.local.txn = (request) => {
    const leasing = request.operations.some((one) => "put" in one && one.put.leaseId && one.put.key.includes("cache"));
    if (leasing && ++writes === 2) world.local.setNoSpace(true);
    return txn(request);
  };
  await assert.rejects(clock.settle(world.mirror.release()), UserError);
  world.local.setNoSpace(false);
  await clock.advance(60_000);
  assert.equal(world.mirror.status().leader, true);
  assert(mirrored().every(({ leaseId }) => leaseId === 0n));
  world.assertMirrored("osaka");
});

test("who does not lead cannot release", async () => {
  world.local.stop();
  await world.restart();
  await clock.advance(1_000);
  await assert.rejects(world.mirror.release(), UserError);
  world.local.start();
});
