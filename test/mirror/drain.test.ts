/** Remotes that are taken away: on purpose, or because their configuration is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { WatchEvent } from "../../src/kv/client.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { DIRECTORY, eachInItsOwnWorld, LIMITS, type World } from "./world.ts";

let clock: VirtualClock;
let world: World;
eachInItsOwnWorld((newWorld, newClock) => {
  world = newWorld;
  clock = newClock;
});

/** Keys of a remote in the local etcd. */
const keysOf = (name: string) =>
  world.local.entries("").filter(({ key }) => key.split("/").includes(name) && !key.includes("kvstoremesh-lock"));

async function twoRemotes(): Promise<void> {
  world.addRemote("osaka", 2);
  world.addRemote("virginia", 3);
  await clock.advance(3_000);
  world.assertMirrored("osaka");
}

test("a removed file drains in Cilium's order: config, grace, canaries, then kind by kind", async () => {
  await twoRemotes();
  const deleted: string[] = [];
  world.local.client().watch(
    { key: "cilium/", rangeEnd: "cilium0" },
    {
      created() {},
      events: (events: readonly WatchEvent[]) => {
        for (const event of events) if (event.type === "delete") deleted.push(event.key);
      },
      progress() {},
      ended() {},
    },
  );
  world.disk.remove(`${DIRECTORY}/osaka`);
  await clock.advance(LIMITS.drainGraceMs - 1_000);
  assert.deepEqual(deleted, ["cilium/cluster-config/osaka"]);
  assert.equal(world.status("osaka").phase, "draining");
  await clock.advance(5_000);
  const order = [...new Set(deleted.map((key) => key.split("/").slice(1, 3).join("/")))];
  assert.deepEqual(order, [
    "cluster-config/osaka",
    "synced/osaka",
    "cache/ip",
    "cache/identities",
    "cache/nodes",
    "cache/services",
  ]);
  assert.deepEqual(keysOf("osaka"), []);
  assert(!world.mirror.status().remotes.some(({ name }) => name === "osaka"), "nothing is left to tell");
  world.assertMirrored("virginia");
});

test("a file that comes back within the grace: nothing was lost", async () => {
  await twoRemotes();
  const before = world.fingerprint("osaka");
  world.disk.remove(`${DIRECTORY}/osaka`);
  await clock.advance(LIMITS.drainGraceMs - 1_000);
  world.configure("osaka");
  await clock.advance(20_000);
  assert.equal(world.fingerprint("osaka"), before);
  assert.equal(world.local.entries("cilium/cluster-config/osaka").length, 1);
  assert.equal(world.status("osaka").grade, "fresh");
});

test("a file that comes back later: the remote is mirrored anew, and its id is free for others before", async () => {
  await twoRemotes();
  world.disk.remove(`${DIRECTORY}/osaka`);
  await clock.advance(LIMITS.drainGraceMs + 5_000);
  world.addRemote("oslo", 2);
  await clock.advance(5_000);
  world.assertMirrored("oslo");
  world.disk.remove(`${DIRECTORY}/oslo`);
  await clock.advance(LIMITS.drainGraceMs + 5_000);
  world.configure("osaka");
  await clock.advance(5_000);
  world.assertMirrored("osaka");
});

const disconnect = (name: string): void => {
  world.disk.put(`${DIRECTORY}/${name}.disconnected`, "disconnected\n");
  world.disk.remove(`${DIRECTORY}/${name}`);
};

test("a tombstone in place of the last file: the remote is drained; a file beside a tombstone counts", async () => {
  await twoRemotes();
  disconnect("osaka");
  await clock.advance(LIMITS.drainGraceMs + 5_000);
  assert.deepEqual(keysOf("osaka"), []);
  world.assertMirrored("virginia");
  disconnect("virginia");
  await clock.advance(LIMITS.drainGraceMs + 5_000);
  assert.deepEqual(keysOf("virginia"), []);
  assert.deepEqual(world.mirror.status().remotes, []);
  world.configure("osaka");
  await clock.advance(5_000);
  world.assertMirrored("osaka");
});

test("a tombstone that comes after the file has gone drains too: also one that stands when the mirror begins", async () => {
  await twoRemotes();
  world.disk.remove(`${DIRECTORY}/osaka`);
  world.disk.remove(`${DIRECTORY}/virginia`);
  await clock.advance(100_000);
  assert.notDeepEqual(keysOf("osaka"), [], "held: nobody said that it is meant");
  disconnect("osaka");
  await clock.advance(LIMITS.drainGraceMs + 5_000);
  assert.deepEqual(keysOf("osaka"), []);
  assert.notDeepEqual(keysOf("virginia"), [], "that is no word about another");
  disconnect("virginia");
  await world.restart();
  await clock.advance(LIMITS.drainGraceMs + 20_000);
  assert.deepEqual(keysOf("virginia"), []);
});

test("one tombstone and another file that vanishes with it: the other is held", async () => {
  await twoRemotes();
  disconnect("osaka");
  world.disk.remove(`${DIRECTORY}/virginia`);
  await clock.advance(100_000);
  assert.deepEqual(keysOf("osaka"), []);
  assert.notDeepEqual(keysOf("virginia"), []);
  assert.match(world.status("virginia").lastError ?? "", /vanished at once/);
});

test("C01: all files vanish at once: nothing is drained; a person confirms it, or puts them back", async () => {
  await twoRemotes();
  const before = world.fingerprint("osaka") + world.fingerprint("virginia");
  world.disk.remove(`${DIRECTORY}/osaka`);
  world.disk.remove(`${DIRECTORY}/virginia`);
  await clock.advance(100_000);
  assert.equal(world.fingerprint("osaka") + world.fingerprint("virginia"), before);
  assert.equal(world.status("osaka").connected, false);
  assert.equal(world.status("osaka").grade, "stale");
  assert.match(world.status("osaka").lastError ?? "", /all configuration files vanished at once/);
  assert.deepEqual(
    world.status("osaka").holds.map(({ kind }) => kind),
    ["config"],
  );
  world.configure("virginia");
  await clock.advance(5_000);
  assert.equal(world.status("virginia").grade, "fresh");
  assert.deepEqual(world.status("virginia").holds, []);
  world.mirror.confirmHold("osaka", "config");
  await clock.advance(LIMITS.drainGraceMs + 5_000);
  assert.deepEqual(keysOf("osaka"), []);
});

test("C01: the last of several files that vanish one after the other takes those before it out of danger", async () => {
  await twoRemotes();
  const before = world.fingerprint("osaka") + world.fingerprint("virginia");
  world.disk.remove(`${DIRECTORY}/osaka`);
  await clock.advance(1_000);
  world.disk.remove(`${DIRECTORY}/virginia`);
  await clock.advance(100_000);
  assert.equal(world.fingerprint("osaka") + world.fingerprint("virginia"), before);
  assert.equal(world.local.entries("cilium/cluster-config/osaka").length, 1, "its config is back");
});

test("C01: a mirror that starts without files keeps what is cached, and says so", async () => {
  await twoRemotes();
  const before = world.fingerprint("osaka");
  await world.kill();
  world.disk.remove(`${DIRECTORY}/osaka`);
  await world.restart();
  await clock.advance(100_000);
  assert.equal(world.fingerprint("osaka"), before);
  assert.match(world.mirror.status().problems.join("\n"), /remote osaka: .* of config .* held/);
  world.mirror.confirmHold("osaka", "config");
  await clock.advance(LIMITS.drainGraceMs + 5_000);
  assert.deepEqual(keysOf("osaka"), []);
});

test("a drain goes on after an outage of the local etcd", async () => {
  await twoRemotes();
  world.disk.remove(`${DIRECTORY}/osaka`);
  await clock.advance(1_000);
  world.local.stop();
  await clock.advance(LIMITS.drainGraceMs + 20_000);
  world.local.start();
  await clock.advance(LIMITS.drainGraceMs + 20_000);
  assert.deepEqual(keysOf("osaka"), []);
  world.assertMirrored("virginia");
});
