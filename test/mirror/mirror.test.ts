import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeClusterConfig } from "../../src/wire/cluster-config.ts";
import { cachedDrainCanary, canaryKey, clusterConfigKey } from "../../src/wire/keys.ts";
import { RESOURCES } from "../../src/wire/resources.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { DIRECTORY, eachInItsOwnWorld, LEASE_TTL_SECONDS, type World } from "./world.ts";

let clock: VirtualClock;
let world: World;
eachInItsOwnWorld((newWorld, newClock) => {
  world = newWorld;
  clock = newClock;
});

const synced = () => new Set(world.local.entries("cilium/synced/").map(({ key }) => key));

test("a remote is mirrored byte for byte, with config and canaries, nothing under a lease", async () => {
  world.addRemote("osaka", 2);
  await clock.advance(3_000);
  world.assertMirrored("osaka");
  const [config] = world.local.entries(clusterConfigKey("osaka"));
  assert(config);
  const judged = judgeClusterConfig(config.key, config.value);
  assert(judged.ok && judged.value.cached && judged.value.syncedCanaries && judged.value.id === 2);
  const canaries = RESOURCES.map(({ cacheCanary }) => canaryKey("osaka", cacheCanary));
  assert.deepEqual(synced(), new Set([...canaries, cachedDrainCanary("osaka")]));
  const ours = world.local.entries("cilium/").filter(({ key }) => !key.startsWith("cilium/kvstoremesh-lock/"));
  assert(ours.length > 30 && ours.every(({ leaseId }) => leaseId === 0n));
  const status = world.status("osaka");
  assert.deepEqual(status.entries, {
    nodes: 1,
    identities: 1,
    ip: 25,
    services: 1,
    endpointslices: 0,
    serviceexports: 0,
  });
  assert.deepEqual(
    [status.phase, status.connected, status.synced, status.grade, status.breaker, status.clusterId],
    ["watching", true, true, "fresh", "closed", 2],
  );
  assert.deepEqual(world.mirror.ready(), { ready: true, detail: "leading" });
});

test("changes follow: put, change, delete", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  osaka.putIp(200);
  osaka.putService("cart", [3]);
  osaka.remove(osaka.ipKey(1));
  await clock.advance(100);
  world.assertMirrored("osaka");
  assert.equal(world.status("osaka").entries["ip"], 25);
});

test("an outage of the remote changes nothing, ages the state, opens the breaker; return converges", async () => {
  const osaka = world.addRemote("osaka", 2);
  const virginia = world.addRemote("virginia", 3);
  await clock.advance(3_000);
  const before = world.fingerprint("osaka");
  osaka.etcd.stop();
  await clock.advance(120_000);
  assert.equal(world.fingerprint("osaka"), before);
  const silent = world.status("osaka");
  assert.deepEqual([silent.connected, silent.grade, silent.breaker], [false, "stale", "open"]);
  assert((silent.ageMs ?? 0) >= 120_000);
  assert.notEqual(silent.lastError, undefined);
  assert((world.status("virginia").ageMs ?? Number.POSITIVE_INFINITY) < 2_000, "the other one does not notice");
  virginia.putIp(99);
  osaka.putIp(100);
  osaka.remove(osaka.ipKey(2));
  osaka.putService("cart", []);
  osaka.etcd.compact(osaka.etcd.revision);
  osaka.etcd.start();
  await clock.advance(60_000);
  world.assertMirrored("osaka");
  world.assertMirrored("virginia");
  assert.equal(world.status("osaka").breaker, "closed");
  assert((world.status("osaka").ageMs ?? Number.POSITIVE_INFINITY) < 2_000);
});

test("N01: a remote that falls silent without a word is noticed, and nothing is lost", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  const before = world.fingerprint("osaka");
  osaka.etcd.pause();
  await clock.advance(30_000);
  assert.equal(world.status("osaka").connected, false);
  assert.equal(world.fingerprint("osaka"), before);
  osaka.etcd.resume();
  osaka.putIp(50);
  await clock.advance(60_000);
  world.assertMirrored("osaka");
});

test("W13: a remote that comes back empty withdraws nothing; refilled, it converges", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  const before = world.fingerprint("osaka");
  osaka.etcd.wipe();
  await clock.advance(60_000);
  assert.equal(world.fingerprint("osaka"), before);
  assert.match(world.status("osaka").lastError ?? "", /has no cilium\/cluster-config\/osaka/);

  osaka.putConfig(2);
  osaka.putIp(7);
  await clock.advance(60_000);
  assert.equal(world.cache("osaka").size, 28, "config alone is no reason to withdraw");
  assert.equal(world.status("osaka").synced, false);
  osaka.announce(["ip"]);
  await clock.advance(60_000);
  assert.equal(world.cache("osaka").size, 4, "only addresses are known to be complete");
  osaka.announce();
  await clock.advance(60_000);
  world.assertMirrored("osaka");
  assert.equal(world.status("osaka").synced, true);
});

test("I4: without a canary keys are added and changed, and no cache canary is written", async () => {
  const osaka = world.addRemote("osaka", 2);
  osaka.remove(canaryKey("osaka", "cilium/state/ip/v1"));
  world.local.edit({
    operations: [{ put: { key: "cilium/cache/ip/v1/osaka/10.2.9.9", value: new Uint8Array([1]) } }],
  });
  await clock.advance(3_000);
  assert.equal(world.cache("osaka").size, 29);
  assert(!synced().has(canaryKey("osaka", "cilium/cache/ip/v1")));
  assert(synced().has(canaryKey("osaka", "cilium/cache/services/v1")));
  osaka.announce();
  await clock.advance(5_000);
  world.assertMirrored("osaka");
  assert(synced().has(canaryKey("osaka", "cilium/cache/ip/v1")));
});

test("L05: what the remote deleted while the mirror was down goes when it is back", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  await world.kill();
  const before = world.fingerprint("osaka");
  await clock.advance(LEASE_TTL_SECONDS * 10_000);
  assert.equal(world.fingerprint("osaka"), before, "nothing expires");
  osaka.remove(osaka.ipKey(3));
  osaka.putService("cart", [1]);
  await world.restart();
  await clock.advance(LEASE_TTL_SECONDS * 1_000 + 5_000);
  world.assertMirrored("osaka");
});

test("a mirror that comes back rewrites nothing that is right", async () => {
  world.addRemote("osaka", 2);
  await clock.advance(3_000);
  const before = world.fingerprint("osaka");
  await world.restart();
  await clock.advance(5_000);
  assert.equal(world.fingerprint("osaka"), before);
  assert.equal(world.status("osaka").synced, true);
});

test("a restarted mirror shows what the cache holds of a remote that it cannot reach", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  osaka.etcd.stop();
  await world.restart();
  await clock.advance(5_000);
  const status = world.status("osaka");
  assert.deepEqual(status.entries, {
    nodes: 1,
    identities: 1,
    ip: 25,
    services: 1,
    endpointslices: 0,
    serviceexports: 0,
  });
  assert.deepEqual([status.synced, status.grade, status.ageMs], [true, "unproven", undefined]);
});

test("L04: the local etcd down: remotes stay watched, writes wait and converge, the process lives", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  const dialled = world.dialled.get("osaka");
  world.local.stop();
  for (let round = 0; round < 60; round++) {
    osaka.putIp(100 + (round % 5), `pod-${round}`);
    await clock.advance(1_000);
  }
  assert(world.mirror.status().queued <= 10, "one write per key at most is held");
  assert.equal(world.status("osaka").grade, "stale", "what is not written is not proved");
  assert.equal(world.status("osaka").connected, true);
  world.local.start();
  await clock.advance(5_000);
  world.assertMirrored("osaka");
  assert.equal(world.dialled.get("osaka"), dialled, "no second list was needed");
  assert.equal(world.status("osaka").grade, "fresh");
});

test("L11: the local etcd wiped: everything is written again", async () => {
  world.addRemote("osaka", 2);
  await clock.advance(3_000);
  world.local.wipe();
  await clock.advance(LEASE_TTL_SECONDS * 1_000 + 5_000);
  world.assertMirrored("osaka");
  assert(synced().has(canaryKey("osaka", "cilium/cache/ip/v1")));
});

test("a lock that is taken away: it stands for election again in the same process and lists again", async () => {
  world.addRemote("osaka", 2);
  await clock.advance(2_000);
  assert.equal(world.mirror.status().leader, true);
  const [lock] = world.local.entries("cilium/kvstoremesh-lock/");
  assert(lock);
  world.local.edit({ operations: [{ delete: { key: lock.key } }] });
  const osaka = world.remotes.get("osaka");
  osaka?.putIp(77);
  await clock.advance(10_000);
  assert.equal(world.mirror.status().leader, true);
  world.assertMirrored("osaka");
});

test("a refused value keeps the last good one, is counted and listed, live and in a listing", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  const good = world.cache("osaka").get("cilium/state/ip/v1/osaka/10.2.0.1")?.modRevision;
  osaka.put(osaka.ipKey(1), `{"IP":"10.2.0.1","HostIP":"","ID":${3 * 65536 + 300}}`);
  await clock.advance(500);
  assert.equal(world.cache("osaka").get("cilium/state/ip/v1/osaka/10.2.0.1")?.modRevision, good);
  assert.equal(world.status("osaka").rejected, 1);
  assert.match(
    world.mirror.status().problems.join("\n"),
    /remote osaka: 1 refused, last good values stay; .*identity-range/,
  );

  osaka.etcd.cut();
  await clock.advance(5_000);
  assert.equal(world.cache("osaka").get("cilium/state/ip/v1/osaka/10.2.0.1")?.modRevision, good);
  assert.equal(world.status("osaka").rejected, 1);
  osaka.putIp(1, "good-again");
  await clock.advance(500);
  world.assertMirrored("osaka");
  assert.equal(world.status("osaka").rejected, 0);
});

test("S01: an id equal to ours, or held by another: that remote alone is refused, the incumbent stays", async () => {
  world.addRemote("osaka", 2);
  await clock.advance(3_000);
  world.addRemote("oslo", 2);
  world.addRemote("rome", 1);
  world.addRemote("virginia", 3);
  await clock.advance(5_000);
  assert.equal(world.status("oslo").phase, "refused");
  assert.match(world.status("oslo").lastError ?? "", /which osaka holds already/);
  assert.match(world.status("rome").lastError ?? "", /which is our own/);
  assert.equal(world.cache("oslo").size + world.cache("rome").size, 0);
  world.assertMirrored("osaka");
  world.assertMirrored("virginia");
  assert.equal(world.mirror.status().problems.length, 2);

  await world.restart();
  world.disk.remove(`${DIRECTORY}/osaka`);
  await clock.advance(10_000);
  assert.match(world.status("oslo").lastError ?? "", /which osaka holds already/, "the cache is the incumbent");
  world.assertMirrored("osaka");
});

test("S02: a remote that changes its id is refused; its state stays under the old one", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  const before = world.fingerprint("osaka");
  osaka.putConfig(9);
  await clock.advance(10_000);
  assert.equal(world.status("osaka").phase, "refused");
  assert.match(world.status("osaka").lastError ?? "", /changed its id from 2 to 9/);
  assert.equal(world.fingerprint("osaka"), before);
  osaka.putConfig(2);
  await clock.advance(60_000);
  assert.equal(world.status("osaka").phase, "watching");
  assert.deepEqual(world.mirror.status().problems, []);
});

test("bad files are refused alone; the last good configuration stays in force; our own is ignored", async () => {
  world.configure("amsterdam");
  world.configure("Bad_Name");
  world.configure("paris", "endpoints: 7\n");
  world.disk.put(`${DIRECTORY}/ca.crt`, "-----BEGIN CERTIFICATE-----\n");
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  assert.deepEqual(
    world.mirror.status().remotes.map(({ name, phase }) => `${name} ${phase}`),
    ["osaka watching", "paris refused"],
  );
  const problems = world.mirror.status().problems;
  assert.equal(problems.length, 2);
  assert(problems.every((line) => !line.includes("\n")));
  assert.match(problems[0] ?? "", /Bad_Name: a cluster's name may hold only .*; rename the file/);
  assert.match(problems[1] ?? "", /remote paris: .*\/etc\/mesh\/paris/);

  world.configure("osaka", "endpoints: [\n");
  await clock.advance(1_000);
  osaka.putIp(60);
  await clock.advance(1_000);
  world.assertMirrored("osaka");
  assert.equal(world.status("osaka").connected, true);
  assert.match(world.status("osaka").lastError ?? "", /osaka/);
  world.configure("osaka");
  await clock.advance(3_000);
  assert.equal(world.status("osaka").lastError, undefined);
});

test("a remote that mirrors others is read in its cache form", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  const relay = world.addRemote("relay", 4);
  for (const [key] of [...world.truth("relay")]) relay.remove(key);
  for (const { key, value } of world.local.entries("cilium/")) {
    if (key.includes("/osaka")) relay.put(key, value);
  }
  await world.kill();
  world.local.wipe();
  world.configure("osaka", "endpoints:\n- http://relay:2379\n");
  await world.restart();
  await clock.advance(10_000);
  world.assertMirrored("osaka");
  assert.equal(osaka.id, world.status("osaka").clusterId);
});

test("a heartbeat that stops makes the state suspect though the etcd answers", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(100_000);
  osaka.beat();
  await clock.advance(100_000);
  assert.equal(world.status("osaka").grade, "fresh");
  await clock.advance(30_000);
  assert.equal(world.status("osaka").grade, "suspect");
  assert.match(world.status("osaka").lastError ?? "", /no heartbeat for 130 s/);
});

test("I11: at most so many lists at once", async () => {
  let running = 0;
  let most = 0;
  for (let id = 2; id < 10; id++) world.addRemote(`remote-${id}`, id, 45);
  for (const remote of world.remotes.values()) {
    const client = remote.etcd.client.bind(remote.etcd);
    remote.etcd.client = (options) => {
      const kv = client(options);
      const range = kv.range.bind(kv);
      kv.range = async (request, callOptions) => {
        const listing = request.limit !== undefined;
        if (listing) most = Math.max(most, ++running);
        try {
          return await range(request, callOptions);
        } finally {
          if (listing) running--;
        }
      };
      return kv;
    };
  }
  await clock.advance(10_000);
  for (const name of world.remotes.keys()) world.assertMirrored(name);
  assert.equal(most, 2);
});
