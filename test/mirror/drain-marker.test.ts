/** The drain marker of a remote in the local cache. What it releases: `holds.test.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeDrain } from "../../src/wire/drain.ts";
import { cachedDrainCanary, cachedDrainKey, clusterConfigKey, drainKey } from "../../src/wire/keys.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { DIRECTORY, eachInItsOwnWorld, type World } from "./world.ts";

let clock: VirtualClock;
let world: World;
eachInItsOwnWorld((newWorld, newClock) => {
  world = newWorld;
  clock = newClock;
});

const at = (weight: number) =>
  encodeDrain({ all: { weight, target: 0, step: 10, stepMs: 1_000 }, services: new Map() });
const cached = (): readonly Uint8Array[] => world.local.entries(cachedDrainKey("osaka")).map(({ value }) => value);

test("a marker is copied byte for byte, followed, and goes when the remote's goes", async () => {
  const osaka = world.addRemote("osaka", 2);
  osaka.put(drainKey("osaka"), at(90));
  await clock.advance(3_000);
  assert.deepEqual(cached(), [at(90)]);
  osaka.put(drainKey("osaka"), at(80));
  await clock.advance(1_000);
  assert.deepEqual(cached(), [at(80)]);
  osaka.remove(drainKey("osaka"));
  await clock.advance(1_000);
  assert.deepEqual(cached(), []);
});

test("of a remote that knows of no drains, and of one without, the cache says that none means none", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  assert.deepEqual(cached(), []);
  assert.equal(world.local.entries(cachedDrainCanary("osaka")).length, 1);
  osaka.put(drainKey("osaka"), at(0));
  await clock.advance(1_000);
  await world.restart();
  osaka.remove(drainKey("osaka"));
  await clock.advance(3_000);
  assert.deepEqual(cached(), [], "gone while nobody mirrored");
});

test("hostile markers are refused and counted, and the last good one stays, through a new listing too", async () => {
  const osaka = world.addRemote("osaka", 2);
  osaka.put(drainKey("osaka"), at(70));
  await clock.advance(3_000);
  for (const marker of ['{"version":1,"all":{"weight":-1}}', "x".repeat(70_000), '{"version":9}']) {
    osaka.put(drainKey("osaka"), marker);
    await clock.advance(1_000);
    assert.deepEqual(cached(), [at(70)]);
    assert.equal(world.status("osaka").rejected, 1);
  }
  await world.restart();
  await clock.advance(3_000);
  assert.deepEqual(cached(), [at(70)]);
  const [refused] = world.mirror.setAside("osaka");
  assert.equal(refused?.reason, "unsupported");
  assert.throws(() => world.mirror.discardRefused("osaka", undefined, []), /nothing of osaka is refused or parked/);
  osaka.put(drainKey("osaka"), at(60));
  await clock.advance(1_000);
  assert.deepEqual([cached(), world.status("osaka").rejected], [[at(60)], 0]);
});

test("a cluster speaks of its own drain only", async () => {
  const osaka = world.addRemote("osaka", 2);
  osaka.put(drainKey("virginia"), at(0));
  osaka.put(drainKey("amsterdam"), at(0));
  osaka.put(drainKey("osaka"), at(50));
  await clock.advance(3_000);
  assert.deepEqual(
    world.local.entries("cilium/cache/bulkhead/v1/").map(({ key }) => key),
    [cachedDrainKey("osaka")],
  );
});

test("a remote that is removed takes its marker and canary along", async () => {
  const osaka = world.addRemote("osaka", 2);
  world.addRemote("virginia", 3);
  osaka.put(drainKey("osaka"), at(50));
  await clock.advance(3_000);
  assert.deepEqual(cached(), [at(50)]);
  world.disk.remove(`${DIRECTORY}/osaka`);
  await clock.advance(20_000);
  assert.deepEqual(cached(), []);
  assert.equal(world.local.entries(cachedDrainCanary("osaka")).length, 0);
  assert.equal(world.local.entries(clusterConfigKey("osaka")).length, 0);
});
