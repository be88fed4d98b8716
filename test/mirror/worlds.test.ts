/** Etcds that are not the ones they were, remote and own, and remotes that are not who they were. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventKey, KvError } from "../../src/kv/client.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import type { FakeCluster } from "./fake-cluster.ts";
import { DIRECTORY, eachInItsOwnWorld, LEASE_TTL_SECONDS, LIMITS, type World } from "./world.ts";

let clock: VirtualClock;
let world: World;
eachInItsOwnWorld((newWorld, newClock) => {
  world = newWorld;
  clock = newClock;
});

const LEASE_MS = LEASE_TTL_SECONDS * 1_000;
const CONFIRMED_MS = LIMITS.holdConfirmMs + 10_000;

/** Keys of the cache that were put or deleted since, one for each event. */
function watchCache(type: "put" | "delete" = "put"): string[] {
  const seen: string[] = [];
  world.local.client({ timeoutMs: 1_000 }).watch(
    { key: "cilium/cache/", rangeEnd: "cilium/cache0" },
    {
      created() {},
      events: (events) => seen.push(...events.filter((event) => event.type === type).map(eventKey)),
      progress() {},
      ended() {},
    },
  );
  return seen;
}

function relabel(remote: FakeCluster, labels: string): void {
  remote.put(`cilium/state/identities/v1/id/${remote.identity(0)}`, labels);
}

function cachedLabels(remote: FakeCluster): string {
  return Buffer.from(
    world.cache(remote.name).get(`cilium/state/identities/v1/${remote.name}/id/${remote.identity(0)}`)?.value ?? [],
  ).toString();
}

test("L11b: an own etcd that is restored with the leader's lock in it, and past the known revision, is noticed and brought up to date", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(5_000);
  const backup = world.local.snapshot();
  await clock.advance(2_000);
  osaka.putIp(300);
  osaka.remove(osaka.ipKey(1));
  await clock.advance(2_000);
  world.assertMirrored("osaka");
  const { revision } = world.local;
  world.local.restore(backup);
  while (world.local.revision <= revision)
    world.local.edit({ operations: [{ put: { key: "else", value: new Uint8Array() } }] });
  assert.throws(() => world.assertMirrored("osaka"), "the backup is older");
  await clock.advance(LEASE_MS);
  world.assertMirrored("osaka");
});

test("L11, W10: what an own etcd's backup brings back of a remote that was restored since is held, though the remote is the one that was followed last", async () => {
  const empty = world.local.snapshot();
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(5_000);
  const remoteBackup = osaka.etcd.snapshot();
  osaka.putIp(300);
  await clock.advance(5_000);
  const backup = world.local.snapshot();
  osaka.etcd.restore(remoteBackup);
  world.local.restore(empty);
  for (const number of [301, 302, 303]) osaka.putIp(number);
  await clock.advance(30_000);
  world.assertMirrored("osaka");
  world.local.restore(backup);
  await clock.advance(LIMITS.holdConfirmMs / 2);
  const kept = world.local.range({ key: `cilium/cache/ip/v1/osaka/${osaka.address(300)}` });
  assert.equal(kept.count, 1, "nobody withdrew it");
  assert.deepEqual(
    world.status("osaka").holds.map(({ kind, withdrawals }) => [kind, withdrawals]),
    [["ip", 1]],
  );
  await clock.advance(CONFIRMED_MS);
  world.assertMirrored("osaka");
});

test("what came and went while the connection was cut never shows in the cache", async () => {
  const osaka = world.addRemote("osaka", 2, 100);
  await clock.advance(5_000);
  const puts = watchCache();
  osaka.etcd.stop();
  osaka.putIp(300);
  osaka.putIp(2, "once");
  osaka.remove(osaka.ipKey(300));
  osaka.putIp(2, "twice");
  await clock.advance(500);
  osaka.etcd.start();
  await clock.advance(10_000);
  world.assertMirrored("osaka");
  assert.deepEqual(puts, ["cilium/cache/ip/v1/osaka/10.2.0.2"]);
});

for (const back of [true, false]) {
  test(`L03: a listing that waited for room in the own etcd is no word on what is gone: what ${back ? "came back" : "stayed away"}`, async () => {
    const osaka = world.addRemote("osaka", 2);
    await clock.advance(5_000);
    const deleted = watchCache("delete");
    world.local.setNoSpace(true);
    osaka.etcd.stop();
    osaka.remove(osaka.ipKey(1));
    for (let pod = 300; pod < 330; pod++) osaka.putIp(pod);
    osaka.etcd.start();
    await clock.advance(5_000);
    assert.equal(world.status("osaka").phase, "reconciling");
    if (back) osaka.putIp(1);
    await clock.advance(LIMITS.progressTimeoutMs);
    assert.ok(!deleted.some((key) => key.includes("/ip/")), "the listing waits");
    world.local.setNoSpace(false);
    await clock.advance(60_000);
    world.assertMirrored("osaka");
    assert.equal(deleted.includes("cilium/cache/ip/v1/osaka/10.2.0.1"), !back);
  });
}

test("W09: answers from the past are asked for again, and believed when nothing else comes for a while", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(5_000);
  const client = osaka.etcd.client.bind(osaka.etcd);
  let isBehind = true;
  osaka.etcd.client = (options) => {
    const kv = client(options);
    const range = kv.range.bind(kv);
    return Object.assign(kv, {
      range: (request: Parameters<typeof range>[0]) =>
        isBehind && request.revision !== undefined
          ? Promise.reject(new KvError("future-revision", "required revision is a future revision"))
          : range(request),
    });
  };
  osaka.etcd.cut();
  await clock.advance(2_000);
  assert.match(world.status("osaka").lastError ?? "", /answers from before what was seen of it/);
  isBehind = false;
  await clock.advance(30_000);
  assert.equal(world.status("osaka").connected, true);
  assert.deepEqual(world.status("osaka").holds, []);
});

test("S07: an etcd that was restored relabels an identity: held, given up when the old labels are back, believed when they are not", async () => {
  const osaka = world.addRemote("osaka", 2);
  const labels = "k8s:app=old;k8s:io.cilium.k8s.policy.cluster=osaka;";
  relabel(osaka, labels);
  await clock.advance(5_000);
  const backup = osaka.etcd.snapshot();
  osaka.remove(`cilium/state/identities/v1/id/${osaka.identity(0)}`);
  const newer = labels.replace("old", "new");
  relabel(osaka, newer);
  osaka.beat();
  await clock.advance(3_000);
  assert.equal(cachedLabels(osaka), newer, "deleted in between: it is another one");

  osaka.etcd.restore(backup);
  await clock.advance(10_000);
  assert.equal(cachedLabels(osaka), newer);
  assert.equal(world.status("osaka").holds.find(({ kind }) => kind === "identities")?.keys, 1);
  relabel(osaka, newer);
  await clock.advance(2_000);
  assert.deepEqual(world.status("osaka").holds, []);

  osaka.etcd.restore(backup);
  await clock.advance(3 * CONFIRMED_MS);
  assert.equal(cachedLabels(osaka), labels);
});

test("S02: another id is held, and a mistake that is mended changes nothing", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(5_000);
  const before = world.fingerprint("osaka");
  osaka.putConfig(7);
  await clock.advance(5_000);
  const [hold] = world.status("osaka").holds;
  assert.deepEqual([hold?.kind, hold?.state, hold?.example], ["config", "held", "its id was 2 and is 7"]);
  assert.match(world.status("osaka").lastError ?? "", /changed its id from 2 to 7 .*`bulkhead holds`/);
  osaka.putConfig(2);
  await clock.advance(CONFIRMED_MS);
  assert.deepEqual(world.status("osaka").holds, []);
  assert.equal(world.fingerprint("osaka"), before);
});

test("S02: another id that stays is believed after the time; discarded, only when an operator says so", async () => {
  for (const discarded of [false, true]) {
    const name = discarded ? "virginia" : "osaka";
    const remote = world.addRemote(name, discarded ? 3 : 2);
    await clock.advance(5_000);
    const before = world.fingerprint(name);
    remote.putConfig(discarded ? 8 : 7);
    await clock.advance(5_000);
    if (discarded) {
      world.mirror.discardHold(name, "config");
      await clock.advance(2 * CONFIRMED_MS);
      assert.equal(world.fingerprint(name), before);
      assert.equal(world.status(name).holds[0]?.state, "discarded");
      world.mirror.confirmHold(name, "config");
    }
    await clock.advance(CONFIRMED_MS + LIMITS.drainGraceMs + 30_000);
    assert.equal(world.status(name).connected, true);
    assert.equal(world.cache(name).size, 0, "its values are of its old id: they are refused");
    const [config] = world.local.entries(`cilium/cluster-config/${name}`);
    assert.match(Buffer.from(config?.value ?? []).toString(), new RegExp(`"id":${discarded ? 8 : 7},`));
  }
});

test("S02: an id of somebody else is no renumbering, however long it is said", async () => {
  world.addRemote("virginia", 3);
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(5_000);
  const before = world.fingerprint("osaka");
  for (const id of [1, 3]) {
    osaka.putConfig(id);
    await clock.advance(2 * CONFIRMED_MS);
    assert.deepEqual(world.status("osaka").holds, []);
    assert.equal(world.fingerprint("osaka"), before);
  }
});

test("C01: files that take each other's place are no removal: nothing stayed that would show it to be meant", async () => {
  world.addRemote("osaka", 2);
  await clock.advance(5_000);
  const before = world.fingerprint("osaka");
  world.addRemote("virginia", 3);
  world.disk.remove(`${DIRECTORY}/osaka`);
  await clock.advance(LIMITS.drainGraceMs + 10_000);
  assert.equal(world.fingerprint("osaka"), before);
  assert.equal(world.status("osaka").holds[0]?.kind, "config");
  world.disk.remove(`${DIRECTORY}/virginia`);
  world.configure("osaka");
  await clock.advance(5_000);
  world.configure("virginia");
  await clock.advance(5_000);
  world.disk.remove(`${DIRECTORY}/osaka`);
  await clock.advance(LIMITS.drainGraceMs + 10_000);
  assert.equal(world.cache("osaka").size, 0, "one of two is meant");
});

test("W14: a service that was listed with a refused value still weighs what the cache holds of it", async () => {
  const osaka = world.addRemote("osaka", 2);
  const many = Array.from({ length: 80 }, (_, index) => index + 1);
  osaka.putService("cart", many);
  await clock.advance(5_000);
  osaka.put(osaka.serviceKey("cart"), "{");
  osaka.etcd.compact(osaka.etcd.revision);
  osaka.etcd.cut();
  await clock.advance(10_000);
  const before = world.fingerprint("osaka");
  osaka.putService("cart", []);
  await clock.advance(5_000);
  assert.equal(world.fingerprint("osaka"), before);
  const [hold] = world.status("osaka").holds;
  assert.deepEqual([hold?.kind, hold?.withdrawals], ["services", 80]);
});

test("I7: what a watch holds back while it catches up is bounded: beyond that the remote is listed", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(5_000);
  const client = osaka.etcd.client.bind(osaka.etcd);
  let isMute = true;
  osaka.etcd.client = (options) => {
    const kv = client(options);
    const watch = kv.watch.bind(kv);
    return Object.assign(kv, {
      watch: (request: Parameters<typeof watch>[0], sink: Parameters<typeof watch>[1]) =>
        watch(request, {
          created: (header) => sink.created(header),
          events: (events, header) => sink.events(events, header),
          progress: (header) => isMute || sink.progress(header),
          ended: (end) => sink.ended(end),
        }),
    });
  };
  osaka.etcd.cut();
  do await clock.advance(100);
  while (world.status("osaka").phase !== "watching");
  for (let number = 1; number <= 30; number++) osaka.put(osaka.serviceKey(`big-${number}`), "x".repeat(50_000));
  await clock.advance(200);
  // Left at once, before its silence would end it; and its etcd is too large to be listed.
  assert.match(world.status("osaka").lastError ?? "", /more than 1048576 bytes/);
  isMute = false;
  for (let number = 1; number <= 30; number++) osaka.remove(osaka.serviceKey(`big-${number}`));
  await clock.advance(60_000);
  world.assertMirrored("osaka");
});
