/** How many keys the cache holds is said as soon as it is known, and not before. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RESOURCES } from "../../src/wire/resources.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { eachInItsOwnWorld, type World } from "./world.ts";

let clock: VirtualClock;
let world: World;
eachInItsOwnWorld((newWorld, newClock) => {
  world = newWorld;
  clock = newClock;
});

const IPS = 25;

/** What a leader says of osaka, millisecond by millisecond; "unknown" where a kind is not said. */
async function saidByLeader(kind: string, durationMs: number): Promise<readonly (number | "unknown")[]> {
  const said: (number | "unknown")[] = [];
  for (let passedMs = 0; passedMs < durationMs; passedMs++) {
    await clock.advance(1);
    const { leader, remotes } = world.mirror.status();
    const osaka = remotes.find(({ name }) => name === "osaka");
    if (leader && osaka) said.push(osaka.entries[kind] ?? "unknown");
  }
  return said.filter((word, at) => word !== said[at - 1]);
}

test("a new mirror that cannot reach the remote says nothing of a kind before it has counted it", async () => {
  const osaka = world.addRemote("osaka", 2, IPS);
  await clock.advance(3_000);
  osaka.etcd.stop();
  await world.restart();
  assert.deepEqual(await saidByLeader("ip", 20_000), ["unknown", IPS]);
  assert.deepEqual(
    Object.keys(world.status("osaka").entries),
    RESOURCES.map(({ kind }) => kind),
  );
});

test("one that leads again counts again: another may have written meanwhile", async () => {
  const osaka = world.addRemote("osaka", 2, IPS);
  await clock.advance(3_000);
  osaka.etcd.stop();
  const [lock] = world.local.entries("cilium/kvstoremesh-lock/");
  const keys = world.local.entries("cilium/cache/ip/v1/osaka/").slice(0, 5);
  assert(lock && keys.length === 5);
  const gone = [lock, ...keys].map(({ key }) => ({ delete: { key } }));
  world.local.edit({ operations: gone });
  const said = await saidByLeader("ip", 20_000);
  assert.deepEqual(said.slice(said.indexOf("unknown")), ["unknown", IPS - 5]);
});

test("a listing changes what is said by what it changes, at no time to less", async () => {
  const osaka = world.addRemote("osaka", 2, IPS);
  await clock.advance(3_000);
  osaka.putIp(200);
  osaka.etcd.compact(osaka.etcd.revision);
  osaka.etcd.stop();
  await clock.advance(1_000);
  osaka.etcd.start();
  await world.restart();
  assert.deepEqual(await saidByLeader("ip", 20_000), ["unknown", IPS, IPS + 1]);
  world.assertMirrored("osaka");
});
