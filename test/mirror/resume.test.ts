/** A connection that comes back goes on where it was; what a watch loses is found. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KvClient, WatchEvent } from "../../src/kv/client.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import type { FakeCluster } from "./fake-cluster.ts";
import { eachInItsOwnWorld, LIMITS, type World } from "./world.ts";

let clock: VirtualClock;
let world: World;
eachInItsOwnWorld((newWorld, newClock) => {
  world = newWorld;
  clock = newClock;
});

const PODS = 100;

/** Counts pages of full lists, and lets `filter` lose watched events. */
function observe(remote: FakeCluster, filter: (event: WatchEvent) => boolean = () => true): { pages: number } {
  const seen = { pages: 0 };
  const client = remote.etcd.client.bind(remote.etcd);
  remote.etcd.client = (options) => {
    const kv = client(options);
    const { range, watch } = { range: kv.range.bind(kv), watch: kv.watch.bind(kv) };
    const bent: Pick<KvClient, "range" | "watch"> = {
      range(request, callOptions) {
        if (request.limit !== undefined && !request.keysOnly) seen.pages++;
        return range(request, callOptions);
      },
      watch: (request, sink) =>
        watch(request, {
          created: (header) => sink.created(header),
          events: (events, header) => sink.events(events.filter(filter), header),
          progress: (header) => sink.progress(header),
          ended: (end) => sink.ended(end),
        }),
    };
    return Object.assign(kv, bent);
  };
  return seen;
}

test("H02: after a short cut nothing is listed: the watch goes on, puts and deletions of the meantime arrive", async () => {
  const osaka = world.addRemote("osaka", 2, PODS);
  const seen = observe(osaka);
  await clock.advance(5_000);
  assert(seen.pages >= 10, "it was listed once");
  seen.pages = 0;
  osaka.etcd.stop();
  osaka.putIp(300);
  osaka.remove(osaka.ipKey(1));
  osaka.putService("cart", [3]);
  await clock.advance(500);
  osaka.etcd.start();
  await clock.advance(10_000);
  world.assertMirrored("osaka");
  assert.equal(seen.pages, 0);
  const { connected, synced, grade, lastError } = world.status("osaka");
  assert.deepEqual([connected, synced, grade, lastError], [true, true, "fresh", undefined]);
});

test("a remote that only goes on beating is still the same one: after a cut, and to the next process", async () => {
  const osaka = world.addRemote("osaka", 2, PODS);
  const seen = observe(osaka);
  await clock.advance(5_000);
  for (let beat = 0; beat < 5; beat++) {
    osaka.beat();
    await clock.advance(2_000);
  }
  seen.pages = 0;
  osaka.etcd.cut();
  await clock.advance(5_000);
  assert.equal(seen.pages, 0);
  await world.kill();
  osaka.remove(osaka.ipKey(1));
  await world.restart();
  await clock.advance(15_000);
  assert(seen.pages > 0);
  world.assertMirrored("osaka");
});

test("after many changes, or when the history is gone, it is listed", async () => {
  const osaka = world.addRemote("osaka", 2, PODS);
  const seen = observe(osaka);
  for (const meanwhile of [
    () => {
      for (let round = 0; round < PODS; round++) osaka.putIp(1, `pod-${round}`);
    },
    () => {
      osaka.putIp(2, "other");
      osaka.etcd.compact(osaka.etcd.revision);
    },
  ]) {
    await clock.advance(5_000);
    seen.pages = 0;
    osaka.etcd.stop();
    meanwhile();
    osaka.etcd.start();
    await clock.advance(10_000);
    world.assertMirrored("osaka");
    assert(seen.pages >= 10, `${seen.pages} pages`);
  }
});

test("a changed file is no reason to list, unless it allows other CIDRs than before", async () => {
  const osaka = world.addRemote("osaka", 2, PODS);
  const file = (cidr: string) => `endpoints:\n- http://osaka:2379\nbulkhead-allowed-cidrs: [${cidr}]\n`;
  world.configure("osaka", file("10.2.0.0/16"));
  const seen = observe(osaka);
  await clock.advance(40_000);
  for (const [text, lists] of [
    [`${file("10.2.0.0/16")}# a comment\n`, false],
    [file("10.0.0.0/8"), true],
  ] as const) {
    seen.pages = 0;
    const dialled = world.dialled.get("osaka") ?? 0;
    world.configure("osaka", text);
    await clock.advance(3_000);
    assert.equal(world.status("osaka").phase, "watching");
    assert((world.dialled.get("osaka") ?? 0) > dialled, "the file is a new way to reach it");
    assert.equal(seen.pages >= 10, lists, `${seen.pages} pages: ${text}`);
    if (!lists) assert.equal(seen.pages, 0);
  }
});

test("a new term lists: another process may have written into the cache", async () => {
  const osaka = world.addRemote("osaka", 2, PODS);
  const seen = observe(osaka);
  await clock.advance(5_000);
  seen.pages = 0;
  const [lock] = world.local.entries("cilium/kvstoremesh-lock/");
  assert(lock);
  world.local.edit({ operations: [{ delete: { key: lock.key } }] });
  world.local.edit({ operations: [{ delete: { key: "cilium/cache/ip/v1/osaka/10.2.0.1" } }] });
  osaka.putIp(5, "a write shows that the lock is gone");
  await clock.advance(15_000);
  assert(seen.pages >= 10);
  world.assertMirrored("osaka");
});

for (const [what, lose, change] of [
  ["a deletion (W05)", "delete", (osaka: FakeCluster) => osaka.remove(osaka.ipKey(7))],
  ["a changed value (W05)", "put", (osaka: FakeCluster) => osaka.putIp(7, "changed")],
  ["a new key (W05)", "put", (osaka: FakeCluster) => osaka.putIp(400)],
] as const) {
  test(`an audit finds ${what} that the watch lost`, async () => {
    const osaka = world.addRemote("osaka", 2, PODS);
    let deaf = false;
    observe(osaka, (event) => !(deaf && event.type === lose));
    await clock.advance(3_000);
    deaf = true;
    change(osaka);
    await clock.advance(500);
    deaf = false;
    assert.throws(() => world.assertMirrored("osaka"), "it was lost");
    await clock.advance(2 * LIMITS.auditIntervalMs + 5_000);
    world.assertMirrored("osaka");
    assert.equal(world.status("osaka").audited, true);
  });
}

test("an audit of what is right changes nothing and cuts nothing, whatever changes meanwhile", async () => {
  const osaka = world.addRemote("osaka", 2, PODS);
  const seen = observe(osaka);
  await clock.advance(3_000);
  seen.pages = 0;
  world.dialled.clear();
  for (let round = 0; round < 400; round++) {
    osaka.putIp(1 + (round % PODS), `pod-${round}`);
    if (round % 3 === 0) osaka.remove(osaka.ipKey(1 + ((round * 7) % PODS)));
    await clock.advance(100);
  }
  await clock.advance(2_000);
  world.assertMirrored("osaka");
  assert.equal(seen.pages, 0);
  assert.equal(world.dialled.size, 0);
});
