/** Remotes that mean harm, or might as well. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KvClient } from "../../src/kv/client.ts";
import { encodeClusterConfig } from "../../src/wire/cluster-config.ts";
import { canaryKey, clusterConfigKey } from "../../src/wire/keys.ts";
import { resource } from "../../src/wire/resources.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import type { FakeCluster } from "./fake-cluster.ts";
import { eachInItsOwnWorld, LIMITS, type World } from "./world.ts";

let clock: VirtualClock;
let world: World;
eachInItsOwnWorld((newWorld, newClock) => {
  world = newWorld;
  clock = newClock;
});

/** Bends every connection made to `remote` from now on. */
function bend(remote: FakeCluster, bent: (kv: KvClient) => Partial<KvClient>): void {
  const client = remote.etcd.client.bind(remote.etcd);
  remote.etcd.client = (options) => {
    const kv = client(options);
    return Object.assign(kv, bent(kv));
  };
}

function wait(delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.after(delayMs, resolve));
}

/** In which order a server serves its watches is its own affair: here those that say that all is gone come last. */
function configAndCanariesLate(kv: KvClient): Partial<KvClient> {
  const watch = kv.watch.bind(kv);
  const late = (action: () => void): void => void clock.after(20, action);
  return {
    watch(request, sink) {
      if (!/^cilium\/(cluster-config|synced)\//.test(request.key)) return watch(request, sink);
      return watch(request, {
        created: (header) => late(() => sink.created(header)),
        events: (events, header) => late(() => sink.events(events, header)),
        progress: (header) => late(() => sink.progress(header)),
        ended: (end) => late(() => sink.ended(end)),
      });
    },
  };
}

test("N03: a remote that is listed each time and whose watch dies each time is not listed over and over", async () => {
  const osaka = world.addRemote("osaka", 2);
  bend(osaka, () => ({
    watch(_request, sink) {
      clock.after(1, () => sink.ended({ cause: "broken", detail: "cut" }));
      return { requestProgress() {}, cancel() {} };
    },
  }));
  await clock.advance(30_000);
  world.dialled.clear();
  const minutes = 20;
  await clock.advance(minutes * 60_000);
  const perMinute = (world.dialled.get("osaka") ?? 0) / minutes;
  assert(perMinute > 0 && perMinute <= 12, `${perMinute} connections a minute`);
  world.assertMirrored("osaka");
});

test("a remote whose canaries come and go makes no flood of lists", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  world.dialled.clear();
  for (let round = 0; round < 600; round++) {
    osaka.remove(canaryKey("osaka", "cilium/state/ip/v1"));
    await clock.advance(50);
    osaka.announce();
    await clock.advance(950);
  }
  const perMinute = (world.dialled.get("osaka") ?? 0) / 10;
  assert(perMinute <= 12, `${perMinute} connections a minute`);
  await clock.advance(60_000);
  world.assertMirrored("osaka");
});

test("I2: all keys of a living remote vanish in one revision: its cache stays, and it is not called synced", async () => {
  const osaka = world.addRemote("osaka", 2);
  bend(osaka, configAndCanariesLate);
  await clock.advance(3_000);
  const before = world.fingerprint("osaka");
  osaka.etcd.edit({ operations: [{ delete: { key: "cilium/", rangeEnd: "cilium0" } }] });
  await clock.advance(60_000);
  assert.equal(world.fingerprint("osaka"), before);
  assert.equal(world.status("osaka").connected, false);
  assert.notEqual(world.status("osaka").grade, "fresh");
  osaka.populate(3);
  osaka.announce();
  await clock.advance(60_000);
  world.assertMirrored("osaka");
});

test("I4: while a canary is withdrawn deletions of its kind wait; others go; all is settled when it is back", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  osaka.remove(canaryKey("osaka", "cilium/state/ip/v1"));
  osaka.remove(osaka.ipKey(1));
  osaka.remove(osaka.serviceKey("cart"));
  osaka.putIp(90);
  await clock.advance(1_000);
  assert(world.cache("osaka").has("cilium/state/ip/v1/osaka/10.2.0.1"), "the address waits");
  assert(world.cache("osaka").has("cilium/state/ip/v1/osaka/10.2.0.90"), "what is added does not");
  assert(!world.cache("osaka").has(osaka.serviceKey("cart")), "services are still vouched for");
  assert.equal(world.status("osaka").synced, false);
  await clock.advance(LIMITS.suspectAfterMs + 2_000);
  assert.notEqual(world.status("osaka").grade, "fresh", "nobody vouches for the addresses");
  assert.match(world.status("osaka").lastError ?? "", /ip/);
  osaka.announce();
  await clock.advance(60_000);
  world.assertMirrored("osaka");
  assert.deepEqual([world.status("osaka").synced, world.status("osaka").grade], [true, "fresh"]);
  assert.equal(world.status("osaka").lastError, undefined);
});

test("a remote that never says that it has written everything is neither synced nor fresh", async () => {
  const osaka = world.addRemote("osaka", 2);
  for (const kind of ["ip", "nodes"] as const) osaka.remove(canaryKey("osaka", resource(kind).stateCanary));
  await clock.advance(30_000);
  const { synced, grade, connected, lastError } = world.status("osaka");
  assert.deepEqual([synced, grade, connected], [false, "unproven", true]);
  assert.match(lastError ?? "", /nodes, ip/);
});

test("a remote that writes endpoint slices only has no canary for services, and is complete without", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  osaka.remove(canaryKey("osaka", "cilium/state/services/v1"));
  osaka.remove(osaka.serviceKey("cart"));
  await clock.advance(1_000);
  const config = encodeClusterConfig({
    id: 2,
    syncedCanaries: true,
    cached: false,
    maxConnectedClusters: 255,
    serviceExportsEnabled: false,
    endpointSlicesExportMode: "endpointslices-only",
  });
  osaka.put(clusterConfigKey("osaka"), config);
  await clock.advance(30_000);
  world.assertMirrored("osaka");
  assert.deepEqual([world.status("osaka").synced, world.status("osaka").grade], [true, "fresh"]);
});

test("I8: remotes whose lists never end do not keep others from being listed, and are given up", async () => {
  for (let id = 2; id < 2 + LIMITS.maxConcurrentLists + 1; id++) {
    let pages = 0;
    bend(world.addRemote(`slow-${id}`, id), (kv) => {
      const range = kv.range.bind(kv);
      return {
        async range(request) {
          const answer = await range({ ...request, ...(request.limit && { limit: 1 }) });
          if (request.limit === undefined) return answer;
          await wait(900);
          const [
            kv = { key: "", value: new Uint8Array(), createRevision: 1, modRevision: 1, version: 1, leaseId: 0n },
          ] = answer.kvs;
          return { ...answer, kvs: [{ ...kv, key: `${request.key}${pages++}` }], more: true };
        },
      };
    });
  }
  await clock.advance(5_000);
  world.addRemote("virginia", 3 + LIMITS.maxConcurrentLists);
  await clock.advance(60_000);
  world.assertMirrored("virginia");
  assert.equal(world.status("virginia").grade, "fresh");
  await clock.advance(LIMITS.maxRemoteKeys * 1_000);
  assert.match(world.status("slow-2").lastError ?? "", /more than \d+ keys/);
});

test("I7: a remote with too many keys is refused with a reason; what is cached of it stays", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  const address = (number: number): string => osaka.ipKey(number);
  for (let number = 1_000; number < 1_000 + LIMITS.maxRemoteKeys; number++) osaka.putIp(number);
  await clock.advance(60_000);
  const status = world.status("osaka");
  assert.match(status.lastError ?? "", new RegExp(`more than ${LIMITS.maxRemoteKeys} keys`));
  assert((status.entries["ip"] ?? 0) <= LIMITS.maxRemoteKeys + 100, "and growth ends there");
  assert(world.cache("osaka").size >= 28);
  for (let number = 1_000; number < 1_000 + LIMITS.maxRemoteKeys; number++) osaka.remove(address(number));
  await clock.advance(120_000);
  world.assertMirrored("osaka");
});

test("I12: an old heartbeat does not become young by being read again after every lost connection", async () => {
  const osaka = world.addRemote("osaka", 2);
  for (let elapsedMs = 0; elapsedMs <= LIMITS.heartbeatTimeoutMs; elapsedMs += 40_000) {
    await clock.advance(40_000);
    osaka.etcd.cut();
  }
  await clock.advance(10_000);
  assert.equal(world.status("osaka").connected, true);
  assert.equal(world.status("osaka").grade, "suspect");
  assert.match(world.status("osaka").lastError ?? "", /no heartbeat/);
  osaka.beat();
  await clock.advance(1_000);
  assert.equal(world.status("osaka").grade, "fresh");
});

test("I7: refused keys count too: a remote cannot fill our memory with them", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(3_000);
  for (let number = 0; number < 3 * LIMITS.maxRemoteKeys; number++) osaka.put(osaka.ipKey(number + 300), "{}");
  await clock.advance(60_000);
  const { rejected, lastError } = world.status("osaka");
  assert.match(lastError ?? "", /more than \d+ keys/);
  assert(rejected <= LIMITS.maxRemoteKeys + 100, `${rejected} refused keys are kept`);
  assert.equal(world.cache("osaka").size, 28);
});
