/** What a remote offers by its cluster config is mirrored; what it does not, or no more, is not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterConfig } from "../../src/model/resource.ts";
import { encodeEndpointSlice } from "../../src/wire/endpoint-slice.ts";
import { canaryKey, clusterConfigKey } from "../../src/wire/keys.ts";
import { type ResourceKind, resource, stateKey } from "../../src/wire/resources.ts";
import { encodeServiceExport } from "../../src/wire/service-export.ts";
import { ENDPOINT_SLICE, SERVICE_EXPORT } from "../golden/values.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import type { FakeCluster } from "./fake-cluster.ts";
import { eachInItsOwnWorld, type World } from "./world.ts";

let world: World;
let clock: VirtualClock;
let osaka: FakeCluster;

eachInItsOwnWorld((newWorld, newClock) => {
  world = newWorld;
  clock = newClock;
  osaka = world.addRemote("osaka", 2);
});

const BOTH: Partial<ClusterConfig> = {
  endpointSlicesExportMode: "services-and-endpointslices",
  serviceExportsEnabled: true,
};

function putSliceAndExport(): void {
  const own = { cluster: "osaka", clusterId: 2 };
  const endpoints = ENDPOINT_SLICE.endpoints.map((endpoint) => ({ ...endpoint, addresses: [osaka.address(1)] }));
  const slice = encodeEndpointSlice({ ...ENDPOINT_SLICE, ...own, endpoints });
  osaka.put(stateKey("endpointslices", "osaka", "shop/cart-x7k2p"), slice);
  osaka.put(
    stateKey("serviceexports", "osaka", "shop/cart"),
    encodeServiceExport({ ...SERVICE_EXPORT, cluster: "osaka" }),
  );
}

function cached(kind: ResourceKind): number {
  return world.local.entries(resource(kind).cachePrefix("osaka")).length;
}

function assertSynced(): void {
  const { synced, grade } = world.status("osaka");
  assert.deepEqual([synced, grade], [true, "fresh"]);
  for (const kind of ["services", "endpointslices", "serviceexports"] as const) {
    const key = canaryKey("osaka", resource(kind).cacheCanary);
    assert.equal(world.local.entries(key).length, 1, key);
  }
}

test("slices and exports are mirrored byte for byte, at once and later", async () => {
  osaka.putConfig(2, BOTH);
  putSliceAndExport();
  await clock.advance(5_000);
  world.assertMirrored("osaka");
  assert.deepEqual([cached("endpointslices"), cached("serviceexports")], [1, 1]);
  assertSynced();

  osaka.remove(stateKey("endpointslices", "osaka", "shop/cart-x7k2p"));
  osaka.put(stateKey("serviceexports", "osaka", "shop/cart"), "{}");
  await clock.advance(5_000);
  assert.deepEqual([cached("endpointslices"), cached("serviceexports")], [0, 1]);
  assert.equal(world.status("osaka").rejected, 1);
});

test("of an older remote, what it does not offer is not read, and nobody waits for its canaries", async () => {
  osaka.put(clusterConfigKey("osaka"), '{"id":2,"capabilities":{"syncedCanaries":true}}');
  putSliceAndExport();
  for (const kind of ["endpointslices", "serviceexports"] as const) {
    osaka.remove(canaryKey("osaka", resource(kind).stateCanary));
  }
  await clock.advance(5_000);
  assert.deepEqual([cached("services"), cached("endpointslices"), cached("serviceexports")], [1, 0, 0]);
  assertSynced();
});

test("a kind that is offered waits for its canary", async () => {
  osaka.putConfig(2, BOTH);
  osaka.remove(canaryKey("osaka", resource("endpointslices").stateCanary));
  await clock.advance(5_000);
  assert.equal(world.status("osaka").synced, false);
  assert.match(world.status("osaka").lastError ?? "", /endpointslices$/);
  assert.equal(world.local.entries(canaryKey("osaka", resource("endpointslices").cacheCanary)).length, 0);
});

test("a capability that goes takes along what was cached of it, and comes back with it", async () => {
  osaka.putConfig(2, BOTH);
  putSliceAndExport();
  await clock.advance(5_000);
  assert.equal(cached("endpointslices"), 1);
  osaka.putConfig(2, { ...BOTH, endpointSlicesExportMode: "" });
  await clock.advance(5_000);
  assert.deepEqual([cached("endpointslices"), cached("serviceexports"), cached("services")], [0, 1, 1]);
  assertSynced();
  osaka.putConfig(2, BOTH);
  await clock.advance(5_000);
  world.assertMirrored("osaka");
});
