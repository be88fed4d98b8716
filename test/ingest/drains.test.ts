/** What a node believes of drains: what its local etcd says, and of an etcd that was never told, what it knew. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeDrain } from "../../src/wire/drain.ts";
import { cachedDrainCanary, cachedDrainKey, drainKey } from "../../src/wire/keys.ts";
import { OSAKA, OWN } from "../tables/world.ts";
import { LocalEtcd, SETTLE_MS, stage } from "./stage.ts";

const now = new TextEncoder().encode("2026-01-01T00:00:00Z");

const at = (weight: number) =>
  encodeDrain({ all: { weight, target: 0, step: 10, stepMs: 1_000 }, services: new Map() });

async function full() {
  const local = new LocalEtcd(OWN);
  local.cluster(OWN, "10.2.0");
  local.cluster(OSAKA, "10.1.0");
  local.put(cachedDrainCanary("osaka"), now);
  local.put(cachedDrainKey("osaka"), at(40));
  const running = stage(local, OWN);
  await local.clock.advance(SETTLE_MS);
  return { local, weight: (cluster: string) => running.tables.weight(cluster, "shop/web"), ...running };
}

test("markers are listed and followed, the own cluster's too; without one it is full weight", async () => {
  const { local, weight, tables, stop } = await full();
  assert.deepEqual([weight("osaka"), weight("amsterdam"), weight("virginia")], [40, 100, 100]);
  tables.takeChanges();
  local.put(cachedDrainKey("osaka"), at(30));
  local.put(drainKey("amsterdam"), at(70));
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual([weight("osaka"), weight("amsterdam")], [30, 70]);
  assert.deepEqual([...tables.takeChanges().services], ["shop/web"]);
  local.delete(cachedDrainKey("osaka"));
  await local.clock.advance(SETTLE_MS);
  assert.equal(weight("osaka"), 100);
  await stop();
});

test("a marker that is refused leaves the last good one, and is a problem; nobody speaks of the own cluster in the cache", async () => {
  const { local, weight, ingest, stop } = await full();
  local.put(cachedDrainKey("osaka"), new TextEncoder().encode('{"version":1,"all":{"weight":400}}'));
  local.put(cachedDrainKey("amsterdam"), at(0));
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual([weight("osaka"), weight("amsterdam")], [40, 100]);
  assert.match(ingest.status().problems.join("\n"), /osaka\/drain: refused: all\.weight/);
  await stop();
});

test("an etcd without marker and canary has said nothing; with the canary it has", async () => {
  const { local, weight, stop } = await full();
  local.etcd.wipe();
  local.cluster(OWN, "10.2.0");
  local.cluster(OSAKA, "10.1.0");
  await local.clock.advance(5_000);
  assert.equal(weight("osaka"), 40);
  local.put(cachedDrainCanary("osaka"), now);
  local.etcd.stop();
  local.etcd.start();
  await local.clock.advance(5_000);
  assert.equal(weight("osaka"), 100);
  await stop();
});
